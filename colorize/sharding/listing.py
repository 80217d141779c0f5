"""List the images of a source: one archive at a time, so that many processes can do it.

    listed = list_part(source, part, found, place_of)   # members of each split in this archive, sorted by name
    check_images(source, found, [listed.counts, ...])     # of all archives: is anything missing?

The images of a split are those of its archives, in the order of the archives. The position of an image is its key.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from colorize import runtime
from colorize.archives import containers
from colorize.archives.entry import Entry
from colorize.archives.parts import Part
from colorize.data.shards import SPLITS, SplitName
from colorize.runtime import DataError
from colorize.sharding import formats, image_list, labels
from colorize.sharding.index import Member
from colorize.sharding.sources import ClassFile, Source

# CPU time for matching all names of an archive: a useful pattern takes a few microseconds per name
MATCH_S, _MATCH_S_PER_FILE = 10.0, 1e-4

OTHER = "in no split"  # kind of files that no split uses, such as lists of classes

_MAX_CLASS_FILE = 1 << 20  # bytes of a file that gives the class of one image


class Counts(NamedTuple):
    """What the coordinator needs to know of the listing of one archive."""

    images: dict[SplitName, int]
    skipped: dict[str, int]  # kind (such as OTHER) -> number of files that are in no split
    endings: dict[str, int]  # of the files of the kind OTHER -> their number
    labeled: dict[str, int]  # name of a list -> images that it names
    files: int
    unsplit: dict[SplitName, int]  # images that match the pattern of a split, or of `images`
    example: str  # name of the first file


class Listed(NamedTuple):
    """The images of one archive."""

    splits: dict[SplitName, list[Member]]  # sorted by name
    counts: Counts


def list_part(
    source: Source,
    part: Part,
    found: Sequence[Part],
    place_of: Callable[[Part], Path],
    splits: Sequence[SplitName] = SPLITS,
) -> Listed:
    """List the images of one archive, without decoding any.

    Args:
        source: the description of the data set.
        part: the archive.
        found: all archives of the data set; a list of classes or groups may be in another one.
        place_of: gives the path of an archive whose members can be read in place.
        splits: names of the splits to list.

    Raises:
        DataError: the archive is damaged, or a list of classes is wrong.
    """
    path = place_of(part)
    rows = image_list.read(path) if containers.kind_of(path) == "list" else None
    listing = (
        containers.Listing([row.entry for row in rows], {})
        if rows is not None
        else containers.scan(path, part.subfolder)
    )
    here = [split for split in splits if source.archive_of(split) == part.file]
    if rows is not None:
        members, others = _by_list(source, here, rows, path)
    else:
        members, others = _by_names(source, here, part, listing)
    by_files: dict[str, int] = {}
    if source.class_file is not None:
        ending, used = f".{source.class_file.ending}", _read_classes(members, source.class_file, path, listing)
        others[ending] -= used
        by_files[f"*{ending}"] = used
    by_lists, list_files = _add_labels(members, source, part, found, place_of, listing)
    others.subtract(formats.endings(list_files))
    skipped = dict(sorted((+Counter({**listing.skipped, OTHER: others.total()})).items()))
    example = part.prefix + listing.entries[0].name if listing.entries else ""
    images = {split: len(members[split]) for split in here}
    unsplit = {split: _matching(source, split, part, listing) for split in here if not images[split]}
    labeled = by_lists | by_files
    return Listed(members, Counts(images, skipped, +others, labeled, len(listing.entries), unsplit, example))


def check_splits(source: Source, splits: Sequence[SplitName] = SPLITS) -> None:
    """Raise DataError if the source lacks one of these splits."""
    if missing := [split for split in splits if source.splits and split not in source.splits]:
        raise DataError(
            f"{source._file}: no split {missing[0]!r} (splits: {', '.join(source.splits)}); add it under `splits`"
        )


def check_images(
    source: Source, found: Sequence[Part], counts: Sequence[Counts], splits: Sequence[SplitName] = SPLITS
) -> None:
    """Check that every split has an image, and that every list names one.

    Raises:
        DataError: a split is empty, or a list names no image of a split.
    """
    for split in splits:
        here = [entry for part, entry in zip(found, counts, strict=True) if part.file == source.archive_of(split)]
        if not sum(entry.images.get(split, 0) for entry in here):
            place = next(part.path for part in found if part.file == source.archive_of(split))
            raise DataError(f"{place}: {_why_empty(source, split, here)}")
    for name in counts[0].labeled if counts else ():
        if not sum(entry.labeled[name] for entry in counts):
            raise DataError(f"{name}: names no image of a split; correct `lists` or `class_file` in {source._file}")


def _by_names(
    source: Source, splits: Sequence[SplitName], part: Part, listing: containers.Listing
) -> tuple[dict[SplitName, list[Member]], Counter[str]]:
    """Call `_by_fractions` or `_by_patterns` with a limit of time, because some regular expressions take forever."""
    assign = _by_fractions if source.fractions else _by_patterns
    limit_s = MATCH_S + _MATCH_S_PER_FILE * len(listing.entries)
    try:
        with runtime.cpu_limit(limit_s):
            return assign(source, splits, part, listing)
    except TimeoutError:
        raise DataError(
            f"{source._file}: matching the {len(listing.entries):,} names in {part.path} takes more than {limit_s:.0f} "
            "seconds of CPU time; simplify `regex`: a repetition inside of a repetition, as in (a+)+, takes forever"
        ) from None


def _by_patterns(
    source: Source, splits: Sequence[SplitName], part: Part, listing: containers.Listing
) -> tuple[dict[SplitName, list[Member]], Counter[str]]:
    """Members of the splits, by the pattern of each split, and the endings of the files that match no pattern."""
    members: dict[SplitName, list[Member]] = {split: [] for split in splits}
    wanted = [(source.splits[split].compiled().fullmatch, found) for split, found in members.items()]
    others: list[str] = []
    for entry in listing.entries:
        name, is_asked_for = part.prefix + entry[0], False
        for match, found in wanted:
            if matched := match(name):
                found.append(Member(entry, name, _class_of(matched, part.prefix)))
                is_asked_for = True
        if not is_asked_for:
            others.append(name)
    return members, Counter(formats.endings(others))


def _by_fractions(
    source: Source, splits: Sequence[SplitName], part: Part, listing: containers.Listing
) -> tuple[dict[SplitName, list[Member]], Counter[str]]:
    """Members of the splits, by a hash of the name, and the endings of the files that are not images."""
    members: dict[SplitName, list[Member]] = {split: [] for split in splits}
    assert source.fractions is not None  # else the splits have patterns
    split_of, match = source.fractions.split_of, source.images.compiled().fullmatch
    others: list[str] = []
    for entry in listing.entries:
        name = part.prefix + entry[0]
        if not (matched := match(name)):
            others.append(name)
        elif (split := split_of(name)) in members:
            members[split].append(Member(entry, name, _class_of(matched, part.prefix)))
    return members, Counter(formats.endings(others))


def _class_of(matched: re.Match, prefix: str) -> str:
    if "class" in matched.re.groupindex:
        return sys.intern(matched["class"] or "")  # 1.8 million images of Places share 365 names
    return sys.intern(matched.string.removeprefix(prefix).rpartition("/")[0])


def _by_list(
    source: Source, splits: Sequence[SplitName], rows: Sequence[image_list.Row], path: Path
) -> tuple[dict[SplitName, list[Member]], Counter[str]]:
    """Members of the splits of a list of images, and the endings of the images of other splits."""
    members: dict[SplitName, list[Member]] = {split: [] for split in splits}
    patterns = {split: pattern.compiled() for split, pattern in source.splits.items()}
    others: list[str] = []
    for row in rows:
        name = row.entry.name
        if source.is_list and row.split not in (*SPLITS, ""):
            raise DataError(f"{path}: {name!r} has the split {row.split!r}; expected {', '.join(SPLITS)} or no text")
        split = row.split if source.is_list else source.fractions.split_of(name) if source.fractions else None
        matching = [wanted for wanted in splits if split == wanted or (patterns and patterns[wanted].fullmatch(name))]
        for wanted in matching:
            members[wanted].append(Member(row.entry, name, row.class_name or name.rpartition("/")[0]))
        if not matching:
            others.append(name)
    return members, Counter(formats.endings(others))


def _read_classes(
    members: dict[SplitName, list[Member]], wanted: ClassFile, path: Path, listing: containers.Listing
) -> int:
    """Replace the class of each image by that in the file beside it; returns the number of these files."""
    ending = f".{wanted.ending}"
    beside = {entry.name.removesuffix(ending): entry for entry in listing.entries if entry.name.endswith(ending)}
    used = 0
    with containers.Reader(path) as reader:
        for listed in members.values():
            for position, member in enumerate(listed):
                entry = beside.get(member.entry.name.rpartition(".")[0])
                if entry is not None:
                    class_name = _class_in(reader, entry, wanted, path)
                    listed[position] = member._replace(class_name=sys.intern(class_name))
                    used += 1
    return used


def _class_in(reader: containers.Reader, entry: Entry, wanted: ClassFile, path: Path) -> str:
    """The class that one file gives; empty if its JSON object does not have the key, or has null."""
    try:
        if entry.size > _MAX_CLASS_FILE:
            raise ValueError(f"{entry.size:,} bytes")
        text = bytes(reader.read(entry)).decode("utf-8-sig")
        if wanted.key is None:
            return text.strip()
        value = json.loads(text).get(wanted.key)
    except DataError:
        raise
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: {entry.name!r} gives no class ({error}); correct the file or `class_file`") from None
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _add_labels(
    members: dict[SplitName, list[Member]],
    source: Source,
    part: Part,
    found: Sequence[Part],
    place_of: Callable[[Part], Path],
    listing: containers.Listing,
) -> tuple[dict[str, int], set[str]]:
    """Replace class and group of the images that a list names.

    Returns:
        The number of images that each list names, and the files of lists in this archive.
    """
    labeled: dict[str, int] = {}
    files: set[str] = set()
    for home in found if source.lists else ():
        for wanted in source.lists_of(home.file):
            if home.prefix:
                raise DataError(f"{source._file}: `lists` needs a single archive; use `class_file` for a set of tars")
            if home == part:
                files |= {name for name in (wanted.file, wanted.classes) if name}
            path = place_of(home)
            read = labels.read(wanted, path, listing if home == part else containers.scan(path, home.subfolder))
            labeled[f"{home.path}: {wanted.file}"] = sum(_label(listed, read) for listed in members.values())
    return labeled, files


def _label(members: list[Member], read: dict[str, labels.Label]) -> int:
    """Replace class and group of the members that a list names; returns their number."""
    count = 0
    for position, member in enumerate(members):
        label = labels.label_of(read, member.name)
        if label is not None:
            class_name, group = label.class_name or member.class_name, label.group or member.group
            members[position] = member._replace(class_name=sys.intern(class_name), group=sys.intern(group))
            count += 1
    return count


def _matching(source: Source, split: SplitName, part: Part, listing: containers.Listing) -> int:
    """Number of files that the pattern of a split matches; with `fractions`, of files that are images."""
    pattern = (source.splits[split] if source.splits else source.images).compiled()
    return sum(1 for entry in listing.entries if pattern.fullmatch(part.prefix + entry.name))


def _why_empty(source: Source, split: SplitName, counts: Sequence[Counts]) -> str:
    images = sum(entry.unsplit.get(split, 0) for entry in counts)
    if source.is_list:
        return f"no line has the split {split!r}; correct the column `split`"
    if images:  # `fractions` assigned all of them to other splits
        remedy = "lower fractions.val and fractions.test" if split == "train" else f"raise fractions.{split}"
        return f"none of its {images:,} images falls into split {split!r}; {remedy} in the source file, or add images"
    pattern = source.splits[split] if source.splits else source.images
    example = next((f", such as {entry.example!r}" for entry in counts if entry.example), "")
    kinds = sum((Counter(entry.skipped) for entry in counts), Counter())
    skipped = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()) if kind != OTHER)
    return (
        f"no file is an image of split {split!r}; {sum(entry.files for entry in counts):,} files were listed{example}"
        f"{f' (skipped: {skipped})' if skipped else ''}; "
        f"expected names like {pattern.glob or pattern.regex or 'any image name'!r}; correct {source._file}"
    )
