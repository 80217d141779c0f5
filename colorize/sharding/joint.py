"""Make the splits of a union: link the shards of its members, and write the tables and manifests.

The manifest lists the plain data sets in the union, its parts. The key of an image is the key in its tar plus the first
key of its part. In the table, the names and the groups of the images begin with the name of the member.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colorize import runtime
from colorize.data import shards, verified
from colorize.data.shards import SPLITS, SplitName
from colorize.layout import Folders, stage_name
from colorize.runtime import DataError, ParameterError
from colorize.sharding import leakage, summary
from colorize.sharding.union import Member, digest

if TYPE_CHECKING:
    from colorize.config.params import Shard


def link(name: str, members: Sequence[Member], settings: Shard, folders: Folders) -> dict[SplitName, dict]:
    """Make the splits of a union.

    Args:
        name: name of the union.
        members: the two members, as described.
        settings: the section `shard` of the parameters.
        folders: folders of the splits of the members and of the union; the manifests are written last.

    Returns:
        The manifest of each split.

    Raises:
        DataError: a member is missing, damaged or not as described, or more than `max_leaked` held-out images of the
            union are also in its training images.
        ParameterError: both members contain one data set, or the mix needs too long a pattern.
    """
    manifests = {split: _link_split(name, split, members, settings, folders) for split in SPLITS}
    outs = {split: folders.shards(split, name) for split in SPLITS}
    with runtime.workers() as pool:
        leakage.add(pool, manifests, outs)
    summary.write(name, manifests, outs, settings.max_leaked)
    return manifests


def _link_split(name: str, split: SplitName, members: Sequence[Member], settings: Shard, folders: Folders) -> dict:
    """Link the shards of one split and write its table; returns its manifest, without leaks."""
    out, sources = folders.shards(split, name), [folders.shards(split, member.dataset) for member in members]
    manifests = [_read(split, member, name, settings, folders) for member in members]
    linked = [
        (source / shard["name"], shard)
        for source, manifest in zip(sources, manifests, strict=True)
        for shard in manifest["shards"]
    ]
    summary.clear(out)
    with runtime.progress(f"link {name} {split}", len(linked), "shards") as advance:
        for number, (path, _) in enumerate(linked):
            runtime.link(path, out / f"{number:06d}.tar")
            advance(1)
    with runtime.atomic_text(out / shards.TABLE) as file:
        file.write(shards.table_lines([shards.COLUMNS]))
        for start, source in zip(_starts(manifests), sources, strict=True):
            file.writelines(shards.table_lines([row]) for row in _rows(source, start))
    archive = {"file": ", ".join(map(str, sources)), "bytes": None, "is_published": None}
    return {
        **summary.begin(name, split, settings, archive, Counter(), Counter()),
        **_sums(members, manifests),
        "shards": [{**shard, "name": f"{number:06d}.tar"} for number, (_, shard) in enumerate(linked)],
        "parts": _parts(name, split, members, manifests),
    }


def _read(split: SplitName, member: Member, name: str, settings: Shard, folders: Folders) -> dict:
    """Check the files of a member; returns its manifest."""
    folder = folders.shards(split, member.dataset)
    manifest = shards.read_manifest(folder)
    if digest(folders, split, member.dataset) != member.sha256.get(split) or manifest["size"] != settings.size:
        command = f"dvc repro {stage_name('shard', name)}"
        raise DataError(f"{folder}: differs from the description in {folders.source(name)}; run `{command}`")
    remedy = f"run `{runtime.repair_command(folder, stage_name('shard', member.dataset))}`"
    paths = [folder / shard["name"] for shard in manifest["shards"]]
    verified.check(paths, [shard["sha256"] for shard in manifest["shards"]], remedy)
    return manifest


def _starts(manifests: Sequence[dict]) -> list[int]:
    """The number that is added to the keys of each member, so that no two images of the union have the same key."""
    return [0, *itertools.accumulate(manifest["listed"] for manifest in manifests[:-1])]


def _rows(folder: Path, start: int) -> Iterator[list[str]]:
    """The rows of a member's table as they are in the union's table."""
    member = folder.name
    for key, class_name, group, source, *values in shards.read_rows(folder):
        yield [str(int(key) + start), class_name, group and f"{member}/{group}", f"{member}/{source}", *values]


def _parts(name: str, split: SplitName, members: Sequence[Member], manifests: Sequence[dict]) -> list[dict]:
    """The parts of a split, for its manifest. Only train has weights: the other splits use each image once."""
    parts = [[part._asdict() for part in shards.parts_of(manifest)] for manifest in manifests]
    datasets = [{part["dataset"] for part in of_member} for of_member in parts]
    if shared := set.intersection(*datasets):
        raise ParameterError(f"unions.{name}: {min(shared)} is in both members, so its images would occur twice")
    for of_member, start in zip(parts, _starts(manifests), strict=True):
        for part in of_member:
            part["first_key"] += start
    joined = list(itertools.chain(*parts))
    weights = _weights(name, members, parts)
    for part, weight in zip(joined, weights, strict=True):
        part["weight"] = weight
        if split != "train":
            del part["weight"]
    return joined


def _weights(name: str, members: Sequence[Member], parts: Sequence[list[dict]]) -> list[int]:
    """The weights of all parts in the union, without a common divisor."""
    totals = [sum(part["weight"] for part in of_member) for of_member in parts]
    weights = [
        member.weight * part["weight"] * math.prod(totals) // total
        for member, of_member, total in zip(members, parts, totals, strict=True)
        for part in of_member
    ]
    divisor = math.gcd(*weights)
    if (length := sum(weights) // divisor) > shards.LARGEST_WEIGHT:
        raise ParameterError(
            f"unions.{name}.mix: the smallest number of training images with exactly this mix is {length:,}, more than "
            f"{shards.LARGEST_WEIGHT:,}; choose smaller numbers"
        )
    return [weight // divisor for weight in weights]


def _sums(members: Sequence[Member], manifests: Sequence[dict]) -> dict:
    """The counts in the manifest: those of both members together."""
    rejected = (
        {
            reason: entry | {"first": [f"{member.dataset}/{source}" for source in entry["first"]]}
            for reason, entry in manifest["rejected"].items()
        }
        for member, manifest in zip(members, manifests, strict=True)
    )
    return {
        **{key: sum(manifest[key] for manifest in manifests) for key in ("listed", "images", "without_color")},
        "converted": dict(sum((Counter(manifest["converted"]) for manifest in manifests), Counter())),
        "rejected": summary.join_rejected(rejected),
    }
