"""What the manifests of a data set say: numbers of images, rejections and leaks, and when they are too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colorize import runtime
from colorize.data import shards
from colorize.data.shards import SplitName
from colorize.runtime import DataError
from colorize.sharding import formats, images, leakage
from colorize.sharding.job import FIRST_NAMES, Record

if TYPE_CHECKING:
    from colorize.config.params import Shard


def begin(
    name: str, split: SplitName, settings: Shard, archive: dict, skipped: Counter[str], endings: Counter[str]
) -> dict:
    """The first fields of a split's manifest.

    Args:
        name: name of the data set.
        split: the split.
        settings: the section `shard` of the parameters.
        archive: description of the archive.
        skipped: the number of files of each kind that are in no split.
        endings: the endings of those files that could have been images.
    """
    return {
        **{"format": shards.FORMAT, "dataset": name, "split": split, "size": settings.size},
        **{"gray": settings.gray, "min_colorfulness": settings.min_colorfulness, "archive": archive},
        **{"skipped": dict(sorted(skipped.items())), "endings": formats.in_order(endings)},
    }


def clear(folder: Path) -> None:
    """Remove the manifest and the tars of an earlier run, which may have made more tars."""
    for path in (folder / "manifest.json", *folder.glob("*.tar")):
        path.unlink(missing_ok=True)


def join_rejected(parts: Iterable[dict[str, dict]], most: int | None = None) -> dict[str, dict]:
    """Add up the rejected images of several parts.

    Args:
        parts: of each part: reason -> `images`, their number, and `first`, the names of the first of them.
        most: largest number of names per reason; None keeps all.
    """
    rejected: dict[str, dict] = {}
    for part in parts:
        for reason, entry in part.items():
            sums = rejected.setdefault(reason, {"images": 0, "first": []})
            sums["images"] += entry["images"]
            sums["first"] = [*sums["first"], *entry["first"]][:most]
    return rejected


def summarize(records: Sequence[Record]) -> dict:
    """The fields of a split's manifest that come from the records of its shards."""
    written = [(f"{number:06d}.tar", record) for number, record in enumerate(records) if record.sha256]
    return {
        "listed": sum(record.listed for record in records),
        "images": sum(record.images for _, record in written),
        "without_color": sum(record.gray for _, record in written),
        "converted": dict(sum((Counter(record.notes) for record in records), Counter())),
        "rejected": join_rejected((record.rejected for record in records), FIRST_NAMES),
        "shards": [{"name": name, "images": record.images, "sha256": record.sha256} for name, record in written],
    }


def check(name: str, split: str, summary: dict, max_reject_fraction: float) -> None:
    """Raise DataError if too many images of a split are broken, or none can be used."""
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


def write(name: str, manifests: dict[SplitName, dict], outs: dict[SplitName, Path], max_leaked: int | None) -> None:
    """Write the manifests of all splits, the last files of a data set.

    Raises:
        DataError: more than `max_leaked` held-out images are also in train.
    """
    _check_leaks(name, manifests, max_leaked)
    runtime.fault_point("shard-manifest")
    for split, manifest in manifests.items():
        runtime.write_json(outs[split] / "manifest.json", manifest)


def _check_leaks(name: str, manifests: dict[SplitName, dict], max_leaked: int | None) -> None:
    leaked = _leaks(manifests)
    if max_leaked is not None and sum(entry["images"] for entry in leaked.values()) > max_leaked:
        raise DataError(
            f"{name}: {_describe_leaks(leaked)}; more than shard.max_leaked = {max_leaked}; remove one of each pair, "
            "or raise max_leaked in params.yaml (null allows any number)"
        )


def _leaks(manifests: dict[SplitName, dict]) -> dict[str, dict]:
    """The manifest entries `leaked` of val and test, only for the splits that share images with train."""
    found = {split: manifests[split]["leaked"] for split in leakage.HELD_OUT}
    return {split: entry for split, entry in found.items() if entry["images"]}


def _describe_leaks(leaked: dict[str, dict]) -> str:
    counts = ", ".join(f"{entry['images']:,} of {split}" for split, entry in leaked.items())
    held_out, twin = next(iter(leaked.values()))["first"][0]
    return f"images that are also in train, pixel for pixel: {counts} (first: {held_out!r} equals {twin!r})"


def describe(manifests: dict[SplitName, dict]) -> str:
    """Summarize the manifests in a few lines for the terminal."""
    lines, skipped, left_out = [], {}, {}
    for split, manifest in manifests.items():
        name = manifest["dataset"]
        line = f"{name} {split}: {manifest['images']:,} images, {manifest['without_color']:,} of them gray"
        for reason, entry in manifest["rejected"].items():
            line += f"; {entry['images']:,} rejected ({reason})"
        lines += [line + "".join(f"; {count:,} converted ({note})" for note, count in manifest["converted"].items())]
        skipped[manifest["archive"]["file"]] = manifest["skipped"]
        left_out[manifest["archive"]["file"]] = manifest["endings"]
    for file, kinds in skipped.items():
        if kinds:
            counts = ", ".join(f"{count:,} ({kind})" for kind, count in kinds.items())
            lines.append(f"{name}: files skipped in {file}: {counts}")
        if left_out[file]:
            lines[-1] += f"; left out: {formats.describe(left_out[file])}"
    if leaked := _leaks(manifests):
        lines.append(f"{name}: {_describe_leaks(leaked)}")
    return "\n".join(lines)
