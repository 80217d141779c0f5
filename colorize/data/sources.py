"""Descriptions of data sets, `sources/<name>.yaml`, and the way from a description to a list of images.

    source = load("tiny_imagenet")
    paths = locate(source, raw_dir)              # found, built (the sample) or downloaded
    images = members(source, "train", paths)     # sorted; the position is the key

A source names archives to be had from somewhere (`archives`), a folder, zip or tar of one's own (`path`), or
photographs to build archives from (`sample`). Its checksum in the pipeline is what names the data.
"""

import fnmatch
import functools
import hashlib
import re
import sys
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from colorize import strict_yaml
from colorize.data import archives, download
from colorize.data import sample as embedded
from colorize.data.entry import Entry
from colorize.runtime import DataError, ParameterError

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
PATH = "path"  # stands for the archive of a source that names a local path

# hidden files and the resource forks that macOS puts into zips are no images, whatever their ending
_ANY_IMAGE = r"(?!(?:.*/)?(?:\.|__MACOSX/))(?s:.*)\.(?i:jpe?g|png|webp|tiff?|bmp|gif|ppm)"


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Archive(_Section):
    """A file that is downloaded where it is missing."""

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
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5)


class Pattern(_Section):
    """Which member names belong: a shell pattern or a regular expression for the whole name.

    The class of an image is the regular expression's group `class`, without one the name of its folder.
    """

    glob: str | None = None  # `*` crosses folders
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
        """The pattern for `fullmatch`; without glob and regex, every file with an image's ending."""
        return re.compile(fnmatch.translate(self.glob) if self.glob is not None else self.regex or _ANY_IMAGE)


class Split(Pattern):
    """Where the images of one split are."""

    archive: str | None = None  # may be left out where there is only one


class Fractions(_Section):
    """Shares of the images that are held out, chosen by a hash of the name."""

    val: Annotated[float, Field(ge=0, lt=1)]
    test: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _leaves_training_images(self) -> "Fractions":
        if self.val + self.test >= 1:
            raise ValueError("val and test together leave nothing for training")
        return self

    def split_of(self, name: str) -> SplitName:
        """The split of one image; it stays the same when other images come or go."""
        share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
        return "test" if share < self.test else "val" if share < self.test + self.val else "train"


class Source(_Section):
    """One data set: where it comes from and which of its files make which split."""

    title: str
    credit: str = ""  # authors, citation
    license: str = ""  # terms of use
    archives: dict[str, Archive] = {}  # file name: where to get it
    path: str | None = None  # own images: a folder, zip or tar
    sample: embedded.Recipe | None = None  # built from photographs of installed packages
    splits: dict[SplitName, Split] = {}
    fractions: Fractions | None = None  # instead of `splits`
    images: Pattern = Pattern()  # with `fractions`: which files are images, and their class

    @field_validator("archives")
    @classmethod
    def _are_file_names(cls, named: dict[str, Archive]) -> dict[str, Archive]:
        for name in named:
            if Path(name).name != name:
                raise ValueError(f"{name!r} is not a plain file name")
        return named

    @model_validator(mode="after")
    def _is_complete(self) -> "Source":
        if sum([bool(self.archives), self.path is not None, self.sample is not None]) != 1:
            raise ValueError("give exactly one of archives, path and sample")
        if bool(self.splits) == bool(self.fractions):
            raise ValueError("give exactly one of splits and fractions")
        for split in self.splits:
            self._archive_of(split)
        if self.fractions and len(self.files) != 1:
            raise ValueError("fractions need a single archive")
        return self

    @property
    def files(self) -> list[str]:
        """Names of the archives; `path` for a local path."""
        return [PATH] if self.path is not None else list(self.archives) if self.archives else self.sample.files

    def _archive_of(self, split: str) -> str:
        named = self.splits[split].archive if self.splits else None
        if named is None and len(self.files) == 1:
            return self.files[0]
        if named not in self.files:
            raise ValueError(f"splits.{split}.archive is {named!r}, expected one of {', '.join(self.files)}")
        return named

    def _pattern_of(self, split: str) -> Pattern:
        return self.splits[split] if self.splits else self.images


class Member(NamedTuple):
    """One image of a split."""

    key: int  # position in the sorted listing of the split
    class_name: str
    entry: Entry
    archive: Path


def load(name: str, folder: Path | str = "sources") -> Source:
    """Read and check the description of a data set.

    Args:
        name: of the data set; the file is `<folder>/<name>.yaml`.
        folder: of the descriptions.

    Raises:
        ParameterError: no such file, or wrong contents; one line that names every problem.
    """
    path = Path(folder) / f"{name}.yaml"
    have = ", ".join(sorted(file.stem for file in Path(folder).glob("*.yaml"))) or "none"
    values = strict_yaml.read(path, missing=f"no such data set; there are: {have}")
    try:
        return Source.model_validate(values)
    except ValidationError as error:
        raise ParameterError(f"{path}: {'; '.join(_explain(problem) for problem in error.errors())}") from None


def _explain(problem: dict) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    message = {"missing": "is missing", "extra_forbidden": "no such key"}.get(problem["type"], problem["msg"])
    return f"{where}: {message}" if where else message


def locate(source: Source, raw_dir: Path | str) -> dict[str, Path]:
    """Find the archives of a source; build or download what is missing.

    Args:
        source: the description.
        raw_dir: folder of the raw archives.

    Returns:
        File name of each archive (`path` for a local path) and where it lies.

    Raises:
        DataError: a local path or photograph is missing, or a download failed or does not match; one line.
    """
    raw_dir = Path(raw_dir)
    if source.path is not None:
        return {PATH: _find_local(source.path, raw_dir)}
    if source.sample is not None:
        return embedded.build(source.sample, raw_dir)
    return {
        name: download.ensure(raw_dir / name, archive.url, archive.bytes, *archive.digest)
        for name, archive in source.archives.items()
    }


def _find_local(path: str, raw_dir: Path) -> Path:
    """An absolute path, or one relative to the folder of raw archives or to the project."""
    candidates = [raw_dir / Path(path).expanduser(), Path(path).expanduser()]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    tried = " or ".join(dict.fromkeys(str(candidate) for candidate in candidates))
    raise DataError(f"{tried}: no such folder, zip or tar; correct `path` in the source file")


def members(source: Source, split: str, paths: dict[str, Path]) -> list[Member]:
    """The images of one split, sorted by name; decodes nothing.

    Args:
        source: the description.
        split: `train`, `val` or `test`.
        paths: what `locate` returned.

    Raises:
        DataError: the source has no such split, no file matches, or the archive is damaged.
    """
    if source.splits and split not in source.splits:
        raise DataError(
            f"{source.title}: no split {split!r}; add it under `splits` (there are: {', '.join(source.splits)})"
        )
    archive, pattern = paths[source._archive_of(split)], source._pattern_of(split)
    match = pattern.compiled().fullmatch
    found: list[Member] = []
    for entry in _scan(archive).entries:
        matched = match(entry.name)
        if matched and (source.fractions is None or source.fractions.split_of(entry.name) == split):
            found.append(Member(len(found), _class_of(matched), entry, archive))
    if not found:
        raise DataError(
            f"{archive}: no image for split {split!r} of {source.title} among {_describe(archive, pattern)}"
        )
    return found


def skipped(paths: dict[str, Path]) -> dict[str, int]:
    """Links, devices and the like that the archives hold and no split sees, counted by kind."""
    total: dict[str, int] = {}
    for path in paths.values():
        for kind, count in _scan(path).skipped.items():
            total[kind] = total.get(kind, 0) + count
    return total


def _class_of(matched: re.Match) -> str:
    name = matched["class"] or "" if "class" in matched.re.groupindex else matched.string.rpartition("/")[0]
    return sys.intern(name)  # 1.8 million images of Places share 365 names


def _describe(archive: Path, pattern: Pattern) -> str:
    wanted = pattern.glob or pattern.regex or "any image name"
    entries = _scan(archive).entries
    example = f", such as {entries[0].name!r}" if entries else ""
    return f"its {len(entries):,} files{example}; expected names like {wanted!r}"


def _scan(path: Path) -> archives.Listing:
    """The listing of an archive; three splits of one zip read it once. A folder has no version and is read anew."""
    if not path.is_file():
        return archives.scan(path)
    status = path.stat()
    return _scan_once(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1)  # one only: the listing of Places takes half a gigabyte
def _scan_once(path: Path, _size: int, _mtime_ns: int) -> archives.Listing:
    return archives.scan(path)
