"""Read the description of a data set, `sources/<name>.yaml`, and list its images.

    source = load("tiny_imagenet")
    paths = locate(source, raw_dir)              # paths of existing, built (the sample) or downloaded archives
    splits = list_images(source, paths).splits   # one sorted list per split; an image's position is its key

A source names archives to download (`archives`), a local folder, zip or tar (`path`), or photographs from which
archives are built (`sample`). The pipeline does not track raw archives. The checksum of the source file identifies
the data.
"""

import fnmatch
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, field_validator, model_validator

from colorize import runtime
from colorize.archives import containers, download
from colorize.archives.entry import Entry
from colorize.config import strict_yaml
from colorize.config.strict_yaml import Section
from colorize.data.shards import SPLITS, SplitName
from colorize.runtime import DataError, ParameterError
from colorize.sharding import builtin as embedded
from colorize.sharding import formats, labels
from colorize.sharding.labels import LabelList

OTHER = "in no split"  # kind of files that no split uses, such as lists of classes
TITLES = "titles"  # `titles.yaml` holds the titles of all data sets for the report; it describes no data set
PATH = "path"  # name of the archive of a source that has a local path


class Archive(Section):
    """An archive that is downloaded if it is missing."""

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    bytes: Annotated[int, Field(gt=0)] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _has_digest(self) -> "Archive":
        if self.md5 is None and self.sha256 is None:
            raise ValueError("give an md5 or a sha256: an unchecked download cannot be trusted")
        return self

    @property
    def digest(self) -> tuple[str, str]:
        """Name of the hash function and the expected value in hex."""
        if self.sha256 is not None:
            return "sha256", self.sha256
        assert self.md5 is not None  # _has_digest
        return "md5", self.md5


class Pattern(Section):
    """Selects members by name: a shell pattern or a regular expression for the whole name.

    The class of an image is the group `class` of the regular expression. Without this group, it is the image's folder.
    """

    glob: str | None = None  # `*` also matches `/`
    regex: str | None = None

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str | None) -> str | None:
        try:
            re.compile(regex or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from None
        return regex

    @model_validator(mode="after")
    def _is_one(self) -> "Pattern":
        if self.glob is not None and self.regex is not None:
            raise ValueError("give a glob or a regex, not both")
        return self

    def compiled(self) -> re.Pattern:
        """The pattern for `fullmatch`; without glob and regex, it matches all files with the ending of an image."""
        return re.compile(fnmatch.translate(self.glob) if self.glob is not None else self.regex or formats.ANY_IMAGE)


class SplitPattern(Pattern):
    """Selects the images of one split."""

    archive: str | None = None  # one of `Source.files`; optional if there is only one


class Fractions(Section):
    """Shares of the images that are held out for val and test; a hash of its name assigns each image to a split."""

    val: Annotated[float, Field(ge=0, lt=1)]
    test: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _leaves_training_images(self) -> "Fractions":
        if self.val + self.test >= 1:
            raise ValueError("val and test together leave no images for training")
        return self

    def split_of(self, name: str) -> SplitName:
        """The split of one image; it does not change if other images are added or removed."""
        share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
        return "test" if share < self.test else "val" if share < self.test + self.val else "train"


class Source(Section):
    """Description of one data set: where it comes from, and which files belong to each split."""

    _file: str = "the source file"  # path of the file, set by `load`; for error messages
    credit: str = ""  # authors, citation
    license: str = ""  # terms of use
    archives: dict[str, Archive] = Field(default_factory=dict)  # file name: where to get it
    path: str | None = None  # local images: a folder, zip or tar
    sample: embedded.Recipe | None = None  # built from photographs of installed packages
    splits: dict[SplitName, SplitPattern] = Field(default_factory=dict)
    fractions: Fractions | None = None  # instead of `splits`
    images: Pattern = Pattern()  # with `fractions`: which files are images, and their class
    lists: list[LabelList] = Field(default_factory=list)  # classes and groups of images whose names do not tell them

    @field_validator("archives")
    @classmethod
    def _are_file_names(cls, named: dict[str, Archive]) -> dict[str, Archive]:
        for name in named:
            if Path(name).name != name or name == ".." or not name.isprintable():
                raise ValueError(f"{name!r} is not a plain file name")
        return named

    @model_validator(mode="after")
    def _is_complete(self) -> "Source":
        if sum([bool(self.archives), self.path is not None, self.sample is not None]) != 1:
            raise ValueError("give exactly one of archives, path and sample")
        if bool(self.splits) == bool(self.fractions):
            raise ValueError("give exactly one of splits and fractions")
        for split in self.splits:
            self.archive_of(split)
        for number, wanted in enumerate(self.lists):
            self._archive_named(wanted.archive, f"lists.{number}")
        if self.fractions and len(self.files) != 1:
            raise ValueError("fractions needs exactly one archive")
        return self

    @property
    def files(self) -> list[str]:
        """Names of the archives; only `PATH` if the source has a local path."""
        if self.sample is not None:
            return self.sample.files
        return [PATH] if self.path is not None else list(self.archives)

    def archive_of(self, split: SplitName) -> str:
        """The name in `files` of the archive that holds a split.

        Raises:
            ValueError: the split names an archive that is not in `files`, or none although there are several.
        """
        return self._archive_named(self.splits[split].archive if self.splits else None, f"splits.{split}")

    def _archive_named(self, name: str | None, place: str) -> str:
        if name is None and len(self.files) == 1:
            return self.files[0]
        if name not in self.files:
            raise ValueError(f"{place}.archive is {name!r}, expected one of {', '.join(self.files)}")
        return name

    def lists_of(self, archive: str) -> list[LabelList]:
        """The lists in one archive, by its name in `files`."""
        return [wanted for wanted in self.lists if self._archive_named(wanted.archive, "lists") == archive]


class Member(NamedTuple):
    """One image of a split."""

    key: int  # position in the sorted listing of the split
    class_name: str
    entry: Entry
    archive: Path
    group: str = ""  # name of a group of images that are not independent; empty if it is unknown


class Images(NamedTuple):
    """The images of a source."""

    splits: dict[SplitName, list[Member]]
    skipped: dict[str, dict[str, int]]  # archive -> kind (such as OTHER) -> number of files that are in no split


def load(name: str, folder: Path | str = "sources") -> Source:
    """Read and check the description of a data set.

    Args:
        name: name of the data set; the file is `<folder>/<name>.yaml`.
        folder: folder of the descriptions.

    Raises:
        ParameterError: the file is missing or wrong; the message names every problem in one line.
    """
    path, titles = Path(folder) / f"{name}.yaml", Path(folder) / f"{TITLES}.yaml"
    if path == titles:
        raise ParameterError(
            f"{path} holds the titles of all data sets, so no data set can be named {name!r}; choose another name"
        )
    names = sorted(file.stem for file in Path(folder).glob("*.yaml") if file != titles)
    values = strict_yaml.read(path, missing=f"no such data set; the data sets are: {', '.join(names) or 'none'}")
    if "title" in values:
        raise ParameterError(f"{path}: title: no such key; titles are in {titles}: move it there")
    source = strict_yaml.check(values, path, Source)
    source._file = str(path)
    return source


def locate(source: Source, raw_dir: Path | str) -> dict[str, Path]:
    """Find the archives of a source; build or download missing ones.

    Args:
        source: the description.
        raw_dir: folder of the raw archives.

    Returns:
        The path of each archive, by its name in `Source.files`.

    Raises:
        DataError: a local path or a photograph is missing, or a download failed or has another digest.
        ParameterError: the sample cannot be built from its recipe.
    """
    raw_dir = Path(raw_dir)
    if source.path is not None:
        return {PATH: _find_local(source.path, raw_dir)}
    if source.sample is not None:
        try:
            return embedded.build(source.sample, raw_dir)
        except ParameterError as error:
            raise ParameterError(f"{source._file}: {error}") from None
    return {
        name: download.ensure(raw_dir / name, archive.url, archive.bytes, *archive.digest)
        for name, archive in source.archives.items()
    }


def _find_local(path: str, raw_dir: Path) -> Path:
    """Find a path that is absolute, or relative to the folder of raw archives or to the main repository."""
    # not relative to the working folder, because an experiment's copy of the project lacks untracked folders
    candidates = [folder / Path(path).expanduser() for folder in (raw_dir, runtime.repo_root())]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    tried = " or ".join(dict.fromkeys(str(candidate) for candidate in candidates))
    raise DataError(f"{tried}: no such folder, zip or tar; correct `path` in the source file")


def describe_archives(source: Source, paths: dict[str, Path]) -> dict[str, dict]:
    """Describe the archives for the manifests; the result is the same on all machines with the same archives.

    Args:
        source: the description.
        paths: the result of `locate`.

    Returns:
        For each name in `files`: `file`, the name on the disk; `bytes`, the length; `is_published`, whether the file is
        the verified published archive (None if none was published). `bytes` is None for a folder. It is also None for
        the sample, because the length of its zip depends on the version of zlib.
    """
    found = {}
    for name, path in paths.items():
        size = None if path.is_dir() or source.sample else path.stat().st_size
        published = source.archives.get(name)
        # `locate` has verified every file of the published length
        is_published = published and published.bytes in (None, size)
        found[name] = {"file": path.name, "bytes": size, "is_published": is_published}
    return found


def list_images(source: Source, paths: dict[str, Path], splits: Sequence[SplitName] = SPLITS) -> Images:
    """List the images of the splits, sorted by name. Every archive is scanned once, and no image is decoded.

    Args:
        source: the description.
        paths: the result of `locate`.
        splits: names of the splits to list.

    Raises:
        DataError: the source lacks one of the splits, no file matches, or an archive is damaged.
    """
    if source.splits and (missing := [split for split in splits if split not in source.splits]):
        raise DataError(
            f"{source._file}: no split {missing[0]!r} (splits: {', '.join(source.splits)}); add it under `splits`"
        )
    found: dict[SplitName, list[Member]] = {}
    label_lists: dict[str, dict[str, labels.Label]] = {}  # by archive and file, for error messages
    skipped = {}
    for file, path in paths.items():
        listing = containers.scan(path)  # half a gigabyte for Places, so only one listing exists at a time
        here = [split for split in splits if source.archive_of(split) == file]
        assign = _by_fractions if source.fractions else _by_names
        members, others = assign(source, here, path, listing)
        found |= members
        lists = source.lists_of(file)
        label_lists |= {f"{path}: {wanted.file}": labels.read(wanted, path, listing) for wanted in lists}
        others -= len({name for wanted in lists for name in (wanted.file, wanted.classes) if name})
        skipped[file] = dict(sorted((+Counter({**listing.skipped, OTHER: others})).items()))
        for split in here:
            if not found[split]:
                raise DataError(f"{path}: {_why_empty(source, split, listing)}")
    for name, read in label_lists.items():
        _add_labels(found, read, name)
    return Images({split: found[split] for split in splits}, skipped)


def _add_labels(found: dict[SplitName, list[Member]], read: dict[str, labels.Label], name: str) -> None:
    """Replace class and group of the images that a list names."""
    count = 0
    for members in found.values():
        for position, member in enumerate(members):
            label = labels.label_of(read, member.entry[0])
            if label is not None:
                class_name, group = label.class_name or member.class_name, label.group or member.group
                members[position] = member._replace(class_name=sys.intern(class_name), group=sys.intern(group))
                count += 1
    if not count:
        raise DataError(f"{name}: none of its names is an image of a split; correct `lists` in the source file")


def _by_names(source: Source, splits: list[SplitName], path: Path, listing: containers.Listing) -> tuple[dict, int]:
    """Members of the splits, by the pattern of each split, and the number of files that match no pattern."""
    found: dict[SplitName, list[Member]] = {split: [] for split in splits}
    wanted = [(source.splits[split].compiled().fullmatch, members) for split, members in found.items()]
    others = 0
    for entry in listing.entries:
        name, is_asked_for = entry[0], False
        for match, members in wanted:
            if matched := match(name):
                members.append(Member(len(members), _class_of(matched), entry, path))
                is_asked_for = True
        others += not is_asked_for
    return found, others


def _by_fractions(source: Source, _: list[SplitName], path: Path, listing: containers.Listing) -> tuple[dict, int]:
    """Members of all three splits, by a hash of the name, and the number of files that are not images."""
    found: dict[SplitName, list[Member]] = {split: [] for split in SPLITS}
    assert source.fractions is not None  # else the splits have patterns
    match = source.images.compiled().fullmatch
    others = 0
    for entry in listing.entries:
        if matched := match(entry.name):
            members = found[source.fractions.split_of(entry.name)]
            members.append(Member(len(members), _class_of(matched), entry, path))
        else:
            others += 1
    return found, others


def _why_empty(source: Source, split: SplitName, listing: containers.Listing) -> str:
    pattern = source.splits[split] if source.splits else source.images
    images = sum(1 for entry in listing.entries if pattern.compiled().fullmatch(entry.name))
    if images:  # `fractions` assigned all of them to other splits
        remedy = "lower fractions.val and fractions.test" if split == "train" else f"raise fractions.{split}"
        return f"none of its {images:,} images falls into split {split!r}; {remedy} in the source file, or add images"
    example = f", such as {listing.entries[0].name!r}" if listing.entries else ""
    skipped = ", ".join(f"{count:,} {kind}" for kind, count in listing.skipped.items())
    return (
        f"no file is an image of split {split!r}; {len(listing.entries):,} files were listed{example}"
        f"{f' (skipped: {skipped})' if skipped else ''}; "
        f"expected names like {pattern.glob or pattern.regex or 'any image name'!r}; correct {source._file}"
    )


def _class_of(matched: re.Match) -> str:
    name = matched["class"] or "" if "class" in matched.re.groupindex else matched.string.rpartition("/")[0]
    return sys.intern(name)  # 1.8 million images of Places share 365 names
