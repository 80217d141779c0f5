"""List all images of a source in this process, as the workers and the coordinator of a sharding do together."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from colorize.archives import parts
from colorize.archives.parts import Part
from colorize.data.shards import SPLITS, SplitName
from colorize.sharding import listing
from colorize.sharding.index import Member
from colorize.sharding.sources import Source


class Images(NamedTuple):
    """The images of a source."""

    splits: dict[SplitName, list[Member]]
    skipped: dict[str, dict[str, int]]  # archive -> kind -> number of files that are in no split


def list_images(
    source: Source, found: Sequence[Part] | dict[str, Path], splits: Sequence[SplitName] = SPLITS
) -> Images:
    """List the images of the splits; `found` is the result of `sources.locate`, or the path of each archive."""
    if isinstance(found, dict):
        found = [parts.part_of(file, path) for file, path in found.items()]
    listing.check_splits(source, splits)
    listed = [listing.list_part(source, part, found, lambda part: Path(part.path), splits) for part in found]
    counts = [entry.counts for entry in listed]
    listing.check_images(source, found, counts, splits)
    members = {split: [m for entry in listed for m in entry.splits.get(split, ())] for split in splits}
    return Images(members, {part.file: count.skipped for part, count in zip(found, counts, strict=True)})
