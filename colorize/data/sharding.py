"""From raw archives to shards: straight out of zip and tar, one worker task a shard, the same bytes for any number.

A task decodes `per_shard` neighbouring images of a split's sorted listing, writes one tar and returns its record; the
parent only adds the records up. Broken images are counted by reason, and named in the manifest while they are few.
"""

from __future__ import annotations

import csv
import gc
import hashlib
import sys
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from colorize import runtime
from colorize.colorfulness import colorfulness
from colorize.data import archives, images, shards, sources
from colorize.runtime import DataError

COLUMNS = ("key", "class", "source", "sha1", "colorfulness", "is_gray")
_FIRST_NAMES = 10  # rejected images that the manifest names, a reason


class Task(NamedTuple):
    """What a worker needs for one shard."""

    path: Path
    size: int
    gray: str
    members: list[sources.Member]  # all of one archive


class Record(NamedTuple):
    """What a worker has done."""

    name: str
    sha256: str  # empty where every image was rejected and no tar written
    rows: list[tuple]  # of the table
    rejected: list[tuple[str, str]]  # reason, source
    notes: Counter  # conversions, such as CMYK to RGB


def build(name: str, settings, out: Path) -> dict:
    """Shard one data set.

    Args:
        name: of `sources/<name>.yaml`.
        settings: the section `shard` of the parameters.
        out: folder to fill; the manifest is written last.

    Returns:
        the manifest.

    Raises:
        DataError: no archive, an empty split, or more rejected images than `max_reject_fraction`.
    """
    source = sources.load(name)
    paths = sources.locate(source, runtime.raw_dir())
    found = sources.describe_archives(source, paths)
    _warn_of_cuts(name, source, paths, found)
    listed = sources.list_images(source, paths)
    manifest = {"format": shards.FORMAT, "dataset": name, "size": settings.size, "gray": settings.gray}
    manifest |= {"archives": found, "skipped": listed.skipped, "splits": {}}
    gc.freeze()  # a collection in a forked worker would write to, and so copy, the pages of a million list entries
    with runtime.executor(runtime.processes()) as pool:
        for split, members in listed.splits.items():
            manifest["splits"][split] = _shard_split(pool, name, split, members, settings, out)
    runtime.write_json(out / "manifest.json", manifest)
    return manifest


def _warn_of_cuts(name: str, source: sources.Source, paths: dict[str, Path], found: list[dict]) -> None:
    """DVC cannot see that an archive in the raw folder was replaced: say what to do then."""
    for (file, path), archive in zip(paths.items(), found, strict=True):
        if archive["is_published"] is False:
            print(
                f"warning: {path}: {archive['bytes']:,} bytes, published with {source.archives[file].bytes:,}: taken "
                f"as your own cut of the data set; after replacing it, run `dvc repro -f shard@{name}`",
                file=sys.stderr, flush=True,
            )  # fmt: skip


def _shard_split(pool: Executor, name: str, split: str, members: list, settings, out: Path) -> dict:
    tasks = [
        Task(out / split / f"{start // settings.per_shard:06d}.tar", settings.size, settings.gray, part)
        for start in range(0, len(members), settings.per_shard)
        for part in [members[start : start + settings.per_shard]]
    ]
    records = []
    with (
        runtime.progress(f"shard {name} {split}", len(members), "images") as advance,
        runtime.atomic_text(out / f"{split}.csv") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for record in _in_order(pool, tasks):
            table.writerows(record.rows)
            advance(len(record.rows) + len(record.rejected))
            records.append(record._replace(rows=[row[-1] for row in record.rows]))  # keep is_gray alone
    summary = _summarize(records, len(members))
    _check(name, split, summary, settings.max_reject_fraction)
    return summary


def _in_order(pool: Executor, tasks: list[Task]) -> Iterator[Record]:
    """Records in the order of the tasks, with few in flight, so that memory does not grow with the data set."""
    waiting = deque()
    for task in tasks:
        waiting.append(pool.submit(write, task))
        if len(waiting) > 4 * runtime.processes():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def write(task: Task) -> Record:
    """Decode the members of one task and write its shard."""
    keys, pixels, rows, rejected, notes = [], [], [], [], Counter()
    with archives.Reader(task.members[0].archive) as reader:
        for member in task.members:
            try:
                image = images.decode(reader.read(member.entry), task.size, task.gray)
            except images.Reject as reject:
                rejected.append((reject.reason, member.entry.name))
                continue
            keys.append(member.key)
            pixels.append(image.rgb)
            rows.append(_row(member, image))
            if image.note:
                notes[image.note] += 1
    sha256 = shards.write_shard(task.path, task.size, keys, pixels) if keys else ""
    return Record(task.path.name, sha256, rows, rejected, notes)


def _row(member: sources.Member, image: images.Image) -> tuple:
    sha1 = hashlib.sha1(np.ascontiguousarray(image.rgb), usedforsecurity=False).hexdigest()
    shown = f"{colorfulness(image.rgb):.2f}"
    return member.key, member.class_name, member.entry.name, sha1, shown, int(image.is_gray)


def _summarize(records: list[Record], listed: int) -> dict:
    """A split's part of the manifest."""
    reasons = Counter(reason for record in records for reason, _ in record.rejected)
    names: dict[str, list[str]] = {reason: [] for reason in reasons}
    for reason, name in (pair for record in records for pair in record.rejected):
        if len(names[reason]) < _FIRST_NAMES:
            names[reason].append(name)
    written = [record for record in records if record.sha256]
    return {
        "listed": listed,
        "images": sum(len(record.rows) for record in written),
        "gray": sum(sum(record.rows) for record in written),
        "converted": dict(sum((record.notes for record in records), Counter())),
        "rejected": {reason: {"images": count, "first": names[reason]} for reason, count in reasons.items()},
        "shards": [{"name": r.name, "images": len(r.rows), "sha256": r.sha256} for r in written],
    }


def _check(name: str, split: str, summary: dict, max_reject_fraction: float) -> None:
    broken = {reason: entry for reason, entry in summary["rejected"].items() if reason != images.GRAYSCALE}
    count = sum(entry["images"] for entry in broken.values())
    if count > max_reject_fraction * summary["listed"]:
        found = ", ".join(
            f"{entry['images']} {reason} (first: {entry['first'][0]!r})" for reason, entry in broken.items()
        )
        raise DataError(
            f"{name}, {split}: {count} of {summary['listed']} images are broken, more than "
            f"shard.max_reject_fraction = {max_reject_fraction}: {found}; repair the files, or raise the fraction in "
            "params.yaml"
        )
    if not summary["images"]:
        remedy = "repair the files" if broken else "set shard.gray to keep, for all of them are gray"
        raise DataError(f"{name}, {split}: no image is left of {summary['listed']}; {remedy}")


def describe(manifest: dict) -> str:
    """What came of every split, in a few lines for the terminal."""
    lines = []
    for split, summary in manifest["splits"].items():
        line = f"{manifest['dataset']} {split}: {summary['images']:,} images, {summary['gray']:,} of them gray"
        for reason, entry in summary["rejected"].items():
            line += f"; rejected {entry['images']:,} {reason}"
        lines += [line + "".join(f"; {count:,} {note}" for note, count in summary["converted"].items())]
    return "\n".join(lines)
