"""Build shards from raw archives, without extracting the archives to the disk.

A worker task decodes `per_shard` consecutive images of a split's sorted listing, writes one tar and returns its record.
The parent process combines the records. The shards are byte for byte the same for any number of workers. The manifest
counts the rejected images by reason, and names the first ones of each reason.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xxhash

from colorize import runtime
from colorize.archives import containers
from colorize.archives.entry import Entry
from colorize.color.colorfulness import colorfulness
from colorize.data import shards
from colorize.layout import Folders, stage_name
from colorize.runtime import DataError
from colorize.sharding import images, leakage, sources

if TYPE_CHECKING:
    from colorize.config.params import Shard

_FIRST_NAMES = 10  # rejected images that the manifest names, per reason


class Task(NamedTuple):
    """Input of a worker for one shard. Members are sent as columns; sending one tuple per member takes longer."""

    path: Path
    size: int
    gray: str
    min_colorfulness: float
    archive: Path
    first_key: int
    class_names: list[str]
    groups: list[str]
    entries: list[tuple]  # one tuple per field of Entry, with the values of all members


class Record(NamedTuple):
    """Result of a worker for one shard."""

    name: str
    sha256: str  # empty if every image was rejected, so that no tar was written
    images: int
    gray: int
    table: str  # rows of the table of images
    rejected: list[tuple[str, str]]  # reason, source
    notes: Counter  # conversions, such as CMYK to RGB


def shard(name: str, settings: Shard, folders: Folders) -> dict[shards.SplitName, dict]:
    """Shard one data set.

    Args:
        name: name of the data set, which `sources/<name>.yaml` describes.
        settings: the section `shard` of the parameters.
        folders: folders of the splits to write; the manifests are written last.

    Returns:
        The manifest of each split.

    Raises:
        DataError: an archive is missing or changed during the run; a split has no usable image; the share of broken
            images is larger than `max_reject_fraction`; or more than `max_leaked` held-out images are also in train.
    """
    source = sources.load(name)
    paths = sources.locate(source, runtime.raw_dir())
    stamps = {path: _stamp(path) for path in paths.values()}
    found = sources.describe_archives(source, paths)
    _warn_of_cuts(name, source, paths, found)
    listed = sources.list_images(source, paths)
    outs = {split: folders.shards(split, name) for split in listed.splits}
    manifests: dict[shards.SplitName, dict] = {}
    gc.freeze()  # garbage collection in a forked worker would write to the listing's memory and so duplicate it
    with runtime.executor(runtime.processes()) as pool:
        for split, members in listed.splits.items():
            archive = source.archive_of(split)
            manifests[split] = {
                **{"format": shards.FORMAT, "dataset": name, "split": split, "size": settings.size},
                **{"gray": settings.gray, "min_colorfulness": settings.min_colorfulness},
                **{"archive": found[archive], "skipped": listed.skipped[archive]},
                **_shard_split(pool, name, split, members, settings, outs[split]),
            }
    _check_unchanged(stamps)
    for split in leakage.HELD_OUT:
        manifests[split]["leaked"] = leakage.find(outs["train"], outs[split])
    check_leaks(name, manifests, settings.max_leaked)
    runtime.fault_point("shard-manifest")
    for split, manifest in manifests.items():
        runtime.write_json(outs[split] / "manifest.json", manifest)
    return manifests


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Length, modification time and inode number of an archive; None for a folder, whose files are read one by one."""
    status = path.stat()
    return None if path.is_dir() else (status.st_size, status.st_mtime_ns, status.st_ino)


def _check_unchanged(stamps: dict[Path, tuple[int, int, int] | None]) -> None:
    """Raise DataError if an archive was replaced or changed during the run. Tars have no checksums to detect this."""
    for path, stamp in stamps.items():
        if not path.exists() or _stamp(path) != stamp:
            raise DataError(f"{path}: changed during the run; run again when it is complete")


def _warn_of_cuts(name: str, source: sources.Source, paths: dict[str, Path], found: dict[str, dict]) -> None:
    """Warn if an archive is not the published one, and name the command to run if it is replaced.

    DVC does not notice that an archive in the raw folder was replaced.
    """
    for file, path in paths.items():
        if found[file]["is_published"] is False:
            print(
                f"warning: {path}: {found[file]['bytes']:,} bytes, but the published archive has "
                f"{source.archives[file].bytes:,}; it is used as your own selection of the data set; if you replace "
                f"it, run `dvc repro -f {stage_name('shard', name)}`",
                file=sys.stderr, flush=True,
            )  # fmt: skip


def _shard_split(pool: Executor, name: str, split: str, members: list, settings: Shard, out: Path) -> dict:
    records = []
    with (
        runtime.progress(f"shard {name} {split}", len(members), "images") as advance,
        runtime.atomic_text(out / shards.TABLE) as file,
    ):
        file.write(shards.table_lines([shards.COLUMNS]))
        for record in _in_order(pool, _tasks(members, settings, out)):
            file.write(record.table)
            advance(record.images + len(record.rejected))
            records.append(record._replace(table=""))
            if record.sha256:  # a worker process has written the tar
                length = shards.Geometry(settings.size).shard_bytes(record.images)
                runtime.note_written(out / record.name, length)
    summary = _summarize(records, len(members))
    _check(name, split, summary, settings.max_reject_fraction)
    return summary


def _tasks(members: list[sources.Member], settings: Shard, folder: Path) -> Iterator[Task]:
    for number, start in enumerate(range(0, len(members), settings.per_shard)):
        part = members[start : start + settings.per_shard]
        keys, class_names, entries, (archive, *_), groups = zip(*part, strict=True)
        yield Task(
            path=folder / f"{number:06d}.tar",
            size=settings.size,
            gray=settings.gray,
            min_colorfulness=settings.min_colorfulness,
            archive=archive,  # the same for all members of a split
            first_key=keys[0],
            class_names=list(class_names),
            groups=list(groups),
            entries=list(zip(*entries, strict=True)),
        )


def _in_order(pool: Executor, tasks: Iterable[Task]) -> Iterator[Record]:
    """Records in the order of the tasks. Few tasks wait at a time, so that memory does not grow with the data set."""
    waiting: deque[Future[Record]] = deque()
    for task in tasks:
        waiting.append(pool.submit(write, task))
        if len(waiting) > 4 * runtime.processes():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def write(task: Task) -> Record:
    """Decode the images of one task and write its shard."""
    work = _Work(task)
    sha256 = shards.write_members(task.path, work.members, work.parts())
    return Record(task.path.name, sha256, work.images, work.gray, "".join(work.table), work.rejected, work.notes)


class _Work:
    """The state of a running task, with the values of its record."""

    def __init__(self, task: Task):
        self.task = task
        self.members = shards.Members(task.size)
        self.images = self.gray = 0
        self.table: list[str] = []
        self.rejected: list[tuple[str, str]] = []
        self.notes: Counter = Counter()

    def parts(self) -> Iterator[list[int]]:
        """Decode all images of the task: repeatedly fill `members` and yield the keys of the images in it."""
        kept: list[tuple] = []  # key, class, group, source, whether it is gray
        places = list(self.members.pixels)
        entries = map(Entry, *self.task.entries)
        listed = zip(self.task.class_names, self.task.groups, entries, strict=True)
        with containers.Reader(self.task.archive) as reader:
            for key, (class_name, group, entry) in enumerate(listed, self.task.first_key):
                if image := self._decode(reader, entry, places[len(kept)]):
                    kept.append((key, class_name, group, entry.name, int(image.is_gray)))
                if len(kept) == len(places):
                    yield self._finish(kept)
                    kept = []
        if kept:
            yield self._finish(kept)

    def _decode(self, reader: containers.Reader, entry: Entry, out: np.ndarray) -> images.Image | None:
        """Decode an image into `out`; if it is rejected, record the reason and return None."""
        task = self.task
        try:
            image = images.decode(_content(reader, entry), task.size, task.gray, task.min_colorfulness, out)
        except images.Reject as reject:
            self.rejected.append((reject.reason, entry.name))
            return None
        if image.note:
            self.notes[image.note] += 1
        return image

    def _finish(self, kept: list[tuple]) -> list[int]:
        """Add one row per image to the table; returns the keys of the images."""
        pixels = self.members.pixels[: len(kept)]
        rows = zip(kept, map(xxhash.xxh3_128_hexdigest, pixels), colorfulness(pixels).tolist(), strict=True)
        lines = ((*names, xxh128, f"{amount:.2f}", gray) for (*names, gray), xxh128, amount in rows)
        self.table.append(shards.table_lines(lines))
        self.images += len(kept)
        self.gray += sum([row[-1] for row in kept])
        return [row[0] for row in kept]


def _content(reader: containers.Reader, entry: Entry) -> bytes | memoryview:
    """Read the bytes of a member. A member that is too large for an image is rejected without reading it."""
    if entry.size > images.MAX_BYTES:
        raise images.Reject(images.TOO_LARGE)
    return reader.read(entry)


def _summarize(records: list[Record], listed: int) -> dict:
    """The fields of a split's manifest that come from the records."""
    reasons = Counter(reason for record in records for reason, _ in record.rejected)
    names: dict[str, list[str]] = {reason: [] for reason in reasons}
    for reason, name in (pair for record in records for pair in record.rejected):
        if len(names[reason]) < _FIRST_NAMES:
            names[reason].append(name)
    written = [record for record in records if record.sha256]
    return {
        "listed": listed,
        "images": sum(record.images for record in written),
        "without_color": sum(record.gray for record in written),
        "converted": dict(sum((record.notes for record in records), Counter())),
        "rejected": {reason: {"images": count, "first": names[reason]} for reason, count in reasons.items()},
        "shards": [{"name": r.name, "images": r.images, "sha256": r.sha256} for r in written],
    }


def _check(name: str, split: str, summary: dict, max_reject_fraction: float) -> None:
    broken = {reason: entry for reason, entry in summary["rejected"].items() if reason not in images.UNWANTED}
    count = sum(entry["images"] for entry in broken.values())
    if count > max_reject_fraction * summary["listed"]:
        found = ", ".join(
            f"{entry['images']} {reason} (first: {entry['first'][0]!r})" for reason, entry in broken.items()
        )
        raise DataError(
            f"{name}, {split}: {count} of {summary['listed']} images are broken, more than "
            f"shard.max_reject_fraction = {max_reject_fraction}: {found}; repair the files, or raise this fraction in "
            "params.yaml"
        )
    if not summary["images"]:
        remedy = "repair the files" if broken else "set shard.gray to keep or lower shard.min_colorfulness"
        raise DataError(f"{name}, {split}: none of the {summary['listed']} images can be used; {remedy}")


def check_leaks(name: str, manifests: dict[shards.SplitName, dict], max_leaked: int | None) -> None:
    """Raise DataError if too many held-out images are also in train."""
    leaked = _leaks(manifests)
    if max_leaked is not None and sum(entry["images"] for entry in leaked.values()) > max_leaked:
        raise DataError(
            f"{name}: {_describe_leaks(leaked)}; more than shard.max_leaked = {max_leaked}; remove one of each pair, "
            "or raise max_leaked in params.yaml (null allows any number)"
        )


def _leaks(manifests: dict[shards.SplitName, dict]) -> dict[str, dict]:
    """The manifest entries `leaked` of val and test, only for the splits that share images with train."""
    found = {split: manifests[split]["leaked"] for split in leakage.HELD_OUT}
    return {split: entry for split, entry in found.items() if entry["images"]}


def _describe_leaks(leaked: dict[str, dict]) -> str:
    counts = ", ".join(f"{entry['images']:,} of {split}" for split, entry in leaked.items())
    held_out, twin = next(iter(leaked.values()))["first"][0]
    return f"images that are also in train, pixel for pixel: {counts} (first: {held_out!r} equals {twin!r})"


def describe(manifests: dict[shards.SplitName, dict]) -> str:
    """Summarize the manifests in a few lines for the terminal."""
    lines, skipped = [], {}
    for split, manifest in manifests.items():
        name = manifest["dataset"]
        line = f"{name} {split}: {manifest['images']:,} images, {manifest['without_color']:,} of them gray"
        for reason, entry in manifest["rejected"].items():
            line += f"; {entry['images']:,} rejected ({reason})"
        lines += [line + "".join(f"; {count:,} converted ({note})" for note, count in manifest["converted"].items())]
        skipped[manifest["archive"]["file"]] = manifest["skipped"]
    for file, kinds in skipped.items():
        if kinds:
            counts = ", ".join(f"{count:,} ({kind})" for kind, count in kinds.items())
            lines.append(f"{name}: files skipped in {file}: {counts}")
    if leaked := _leaks(manifests):
        lines.append(f"{name}: {_describe_leaks(leaked)}")
    return "\n".join(lines)
