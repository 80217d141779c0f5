"""Read the description of a data set, `sources/<name>.yaml`, and find its archives.

A source names archives to download (`archives`), a local folder, zip or tar, or several (`path`), or photographs from
which archives are built (`sample`). The pipeline does not track raw archives. The checksum of the source file
identifies the data.
"""

import fnmatch
import hashlib
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from colorize import runtime
from colorize.archives import download, parts, urls
from colorize.archives.parts import Part
from colorize.config import strict_yaml
from colorize.config.strict_yaml import Section
from colorize.data.shards import SplitName
from colorize.runtime import DataError, ParameterError
from colorize.sharding import builtin as embedded
from colorize.sharding import formats
from colorize.sharding.labels import LabelList

TITLES = "titles"  # `titles.yaml` holds the titles of all data sets for the report; it describes no data set
PATH = "path"  # name of the archive of a source that has a local path


class Archive(Section):
    """An archive that is downloaded if it is missing."""

    url: str  # https, http, s3, gs or az
    bytes: Annotated[int, Field(gt=0)] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    extracted: Annotated[str, Field(pattern=r"^\w[\w.-]*$")] | None = None  # the folder that the archive consists of

    @field_validator("url")
    @classmethod
    def _names_one_file(cls, url: str) -> str:
        urls.check(url)
        if urls.names_many(url):
            raise ValueError("expected the address of one object, not of a folder or a pattern")
        return url

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

    glob: Annotated[str, Field(max_length=2000)] | None = None  # `*` also matches `/`
    regex: Annotated[str, Field(max_length=2000)] | None = None

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str | None) -> str | None:
        try:
            re.compile(regex or "")
        except (re.error, OverflowError, RecursionError) as error:  # of huge counts, and of deep nesting
            raise ValueError(f"not a regular expression that can be used ({runtime.first_line(error)})") from None
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


class ClassFile(Section):
    """The file beside an image that gives its class: `cat7.cls` or `cat7.json` beside `cat7.jpg`."""

    ending: Annotated[str, Field(pattern=r"^\w+$")] = "cls"
    key: str | None = None  # of the JSON object in the file; without it, the class is the whole text of the file

    @model_validator(mode="after")
    def _has_key(self) -> "ClassFile":
        if (self.ending == "json") != (self.key is not None):
            raise ValueError("give a key for the ending json, and for no other ending")
        return self


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
    class_file: ClassFile | None = None  # the file beside each image that gives its class

    @field_validator("path")
    @classmethod
    def _holds_no_secret(cls, path: str | None) -> str | None:
        if path is not None and urls.is_url(path):
            urls.check(path)
        return path

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
        if sum([bool(self.splits), self.fractions is not None, self.is_list]) != 1:
            raise ValueError("give exactly one of splits and fractions, or a list of images (.csv) as path")
        if self.fractions is None and self.images != Pattern():
            raise ValueError("images belongs to fractions; with splits, each split has its own pattern")
        if self.path is not None and not self.path.strip():
            raise ValueError("path is empty; expected a folder, zip or tar in the folder of raw archives")
        for split in self.splits:
            self.archive_of(split)
        for number, wanted in enumerate(self.lists):
            self._archive_named(wanted.archive, f"lists.{number}")
        if self.fractions and len(self.files) != 1:
            raise ValueError("fractions needs exactly one archive")
        return self

    @property
    def is_list(self) -> bool:
        """Whether a CSV file lists the images and gives their splits."""
        return self.path is not None and self.path.endswith(".csv") and not self.splits and self.fractions is None

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


def locate(source: Source, raw_dir: Path | str) -> list[Part]:
    """Find the archives of a source; build or download missing ones.

    Args:
        source: the description.
        raw_dir: folder of the raw archives.

    Returns:
        The archives in the order of `Source.files`; several for a local path that names several.

    Raises:
        DataError: a local path or a photograph is missing, or a download failed or has another digest.
        ParameterError: the sample cannot be built from its recipe.
    """
    raw_dir = Path(raw_dir)
    if source.path is not None:
        if urls.is_url(source.path):
            return parts.find_objects(PATH, source.path)
        return _find_local(source.path, raw_dir)
    if source.sample is not None:
        try:
            paths = embedded.build(source.sample, raw_dir)
        except ParameterError as error:
            raise ParameterError(f"{source._file}: {error}") from None
        return [parts.part_of(name, path) for name, path in paths.items()]
    return [_obtain(name, archive, raw_dir) for name, archive in source.archives.items()]


def _obtain(name: str, archive: Archive, raw_dir: Path) -> Part:
    """Find an archive, or the folder to which somebody extracted it; else download it."""
    path = raw_dir / name
    if archive.extracted and not path.exists() and (raw_dir / archive.extracted).is_dir():
        return parts.part_of(name, raw_dir)._replace(subfolder=archive.extracted)
    return parts.part_of(name, download.ensure(path, archive.url, archive.bytes, *archive.digest))


def _find_local(path: str, raw_dir: Path) -> list[Part]:
    """Find a path that is absolute, or relative to the folder of raw archives or to the main repository."""
    # not relative to the working folder, because an experiment's copy of the project lacks untracked folders
    folders, path = (raw_dir, runtime.repo_root()), str(runtime.expanded(path, "path"))
    for folder in folders:
        try:
            if found := parts.find(PATH, folder, path, formats.is_image):
                return found
            if "\0" in path or (folder / path).is_symlink():  # a link to itself, or to nothing
                (folder / path).stat()
        except DataError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a null character
            what = f"{folder / path}: {runtime.first_line(error)}"
            raise DataError(f"{what}; correct `path` in the source file") from None
    tried = " or ".join(dict.fromkeys(str(folder / path) for folder in folders))
    raise DataError(f"{tried}: no such folder, zip or tar; correct `path` in the source file")


def describe_archives(source: Source, found: list[Part]) -> dict[str, dict]:
    """Describe the archives for the manifests; the result is the same on all machines with the same archives.

    Args:
        source: the description.
        found: the result of `locate`.

    Returns:
        For each name in `files`: `file`, the name on the disk; `bytes`, the length; `is_published`, whether the file is
        the verified published archive (None if none was published, or it was extracted); `archives`, their number, only
        if there are several. `bytes` is None for a folder. It is also None for the sample, because the length of its
        zip depends on the version of zlib.
    """
    described = {}
    for name in source.files:
        here = [part for part in found if part.file == name]
        is_set = bool(here[0].prefix)
        sizes = [part.bytes for part in here if part.bytes is not None]
        size = None if not sizes or source.sample else sum(sizes)
        published = source.archives.get(name)
        # `locate` has verified every file of the published length
        is_published = published and (None if here[0].is_folder else published.bytes in (None, size))
        file = Path(source.path or "").name if is_set else here[0].subfolder or Path(here[0].path).name
        described[name] = {"file": file, "bytes": size, "is_published": is_published}
        if is_set:
            described[name]["archives"] = len(here)
    return described
