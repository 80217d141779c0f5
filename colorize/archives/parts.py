"""The archives of one data set: a folder, a zip or a tar, or any number of tars that together are one data set.

A pattern names several archives: a folder of tars, a shell pattern (`photos/*.tar`), or a range (`{00000..01023}.tar`).
`local_copy` makes an archive readable in place: a compressed tar is unpacked to the disk once, because a member in the
middle of a compressed file cannot be read without unpacking all bytes before it.
"""

import bz2
import glob
import gzip
import itertools
import lzma
import math
import os
import re
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

from colorize import runtime
from colorize.archives import buckets, containers, urls
from colorize.archives.buckets import Object
from colorize.runtime import DataError

_ENDINGS = (".tar", ".tgz", ".tar.gz", ".tar.zst", ".tar.bz2", ".tar.xz")  # of a data set's tars in a folder
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MAX_ARCHIVES = 10_000_000  # of one range; protects against a typing error
_MAX_RATIO = 100  # unpacked / packed length of an archive; photos hardly shrink, but repeated bytes shrink to 1/1000
_ALWAYS_ALLOWED = 1 << 30  # bytes that any archive may unpack to


class Part(NamedTuple):
    """One archive of a data set."""

    file: str  # its name in `Source.files`
    path: str  # absolute path, or address of an object in a bucket
    prefix: str  # comes before the names of its images, such as `00000.tar/`; empty if it is the only archive
    bytes: int | None  # length; None for a folder or a list of images
    version: str | None  # changes with the content: modification time (ns) and inode number, or ETag; None as above
    subfolder: str = ""  # of a folder: only this one belongs to the data set

    @property
    def is_folder(self) -> bool:
        """Whether the archive is a folder or a list of images, whose files are read one by one."""
        return self.version is None


def part_of(file: str, path: Path, prefix: str = "") -> Part:
    """Describe an archive as it is now.

    Raises:
        DataError: the archive cannot be read, or its name is not UTF-8.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; put the archive there, or correct the path") from error
    if prefix:
        prefix = f"{containers.checked_name(path.parent, prefix.removesuffix('/'))}/"
    if path.is_dir() or path.suffix == ".csv":
        return Part(file, str(path.absolute()), prefix, None, None)
    return Part(file, str(path.absolute()), prefix, status.st_size, f"{status.st_mtime_ns}-{status.st_ino}")


def check_unchanged(parts: list[Part]) -> None:
    """Raise DataError if an archive was replaced or changed since it was described."""
    for part in parts:
        if urls.is_url(part.path):  # its copy was made from one version
            continue
        path = Path(part.path)
        if not path.exists() or part_of(part.file, path, part.prefix)._replace(subfolder=part.subfolder) != part:
            raise DataError(f"{path}: changed during the run; run again when it is complete")


def find_objects(file: str, url: str) -> list[Part]:
    """The objects that an address names, sorted by name.

    Args:
        file: name in `Source.files`.
        url: one object, a folder that ends with `/` and holds tars, a pattern, or a range.

    Raises:
        DataError: the bucket cannot be read, or an object is missing.
    """
    is_range = _RANGE.search(url) is not None
    if is_range and glob.has_magic(url):
        raise DataError(f"{url}: in a bucket, give a range or a pattern, not both; correct `path`")
    wanted = _expand(url)
    found = buckets.list_objects(_RANGE.sub("*", url))
    if is_range:
        known = {entry.url: entry for entry in found}
        _refuse_missing([text for text in wanted if text not in known], len(wanted))
        found = [known[text] for text in wanted]
    elif url.endswith("/"):
        found = [entry for entry in found if entry.url.endswith(_ENDINGS)]
    if not found:
        raise DataError(f"{url}: no tar there; correct `path` in the source file")
    return [
        Part(file, entry.url, "" if entry.url == url else _prefix(url, entry.url), entry.size, entry.etag)
        for entry in found
    ]


def _prefix(pattern: str, name: str) -> str:
    """What comes before the names of the images of one of several archives: its name after the fixed folders."""
    fixed, slash, _ = re.split(r"[*?\[{]", pattern)[0].rpartition("/")
    return f"{name.removeprefix(fixed + slash)}/"


def _refuse_missing(missing: list[str], count: int) -> None:
    if missing:
        raise DataError(f"{missing[0]}: no such file; {len(missing):,} of the {count:,} archives are missing")


def find(file: str, folder: Path, name: str, is_image: Callable[[str], bool]) -> list[Part]:
    """The archives that a path or pattern names, sorted by name; empty if there is none.

    Args:
        file: name in `Source.files`.
        folder: what a relative path is relative to. Its own name is no pattern.
        name: a folder, a zip, a tar, a list of images (.csv), a folder of tars, or a pattern.
        is_image: whether a file is an image, by its name.

    Raises:
        DataError: a folder holds both tars and images, or an archive of a range is missing.
    """
    path = folder / name
    if path.is_dir() and (tars := _tars_in(path, is_image)):
        return [part_of(file, tar, f"{tar.name}/") for tar in tars]
    if path.exists():
        return [part_of(file, path)]
    return [part_of(file, folder / found, _prefix(name, found)) for found in _matches(folder, name)]


def _tars_in(folder: Path, is_image: Callable[[str], bool]) -> list[Path]:
    """The tars of a folder that holds tars and no folders, such as img2dataset writes. Hidden files do not count."""
    with os.scandir(folder) as items:
        children = [item for item in items if not item.name.startswith(".")]
    tars = [child.name for child in children if child.name.endswith(_ENDINGS) and child.is_file()]
    if tars and any(child.is_dir() or is_image(child.name) for child in children):
        raise DataError(
            f"{folder}: holds tars beside folders or images; write `path: {folder}/*.tar` for the tars, or move them"
        )
    return [folder / name for name in sorted(tars)]


def _matches(folder: Path, pattern: str) -> list[str]:
    """The files below a folder that a pattern matches. Every file of a range must exist."""
    names = _expand(pattern)
    if glob.has_magic(pattern):
        return sorted({found for name in names for found in glob.glob(name, root_dir=folder)})  # noqa: PTH207 - relative names
    if names == [pattern]:  # no range: a path that does not exist
        return []
    _refuse_missing([str(folder / name) for name in names if not (folder / name).exists()], len(names))
    return names


def _expand(pattern: str) -> list[str]:
    """Replace ranges by their numbers: `{08..10}.tar` -> 08.tar, 09.tar, 10.tar."""
    texts, firsts, lasts = (_RANGE.split(pattern)[start::3] for start in range(3))
    ranges = [range(int(first), int(last) + 1) for first, last in zip(firsts, lasts, strict=True)]
    if not all(ranges):
        raise DataError(f"{pattern}: a range must not count down; correct `path`")
    if math.prod(numbers.stop - numbers.start for numbers in ranges) > _MAX_ARCHIVES:
        raise DataError(f"{pattern}: a range of more than {_MAX_ARCHIVES:,} archives; correct `path`")
    choices = [[texts[0]]]
    for numbers, first, text in zip(ranges, firsts, texts[1:], strict=True):
        choices += [[str(number).zfill(len(first)) for number in numbers], [text]]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def local_copy(part: Part, copy: Path) -> Path:
    """The path of an archive whose members can be read in place.

    Args:
        part: the archive.
        copy: path of its local or unpacked copy, which is written if it is needed and missing.

    Raises:
        DataError: the archive cannot be downloaded or unpacked.
    """
    path = Path(part.path)
    if urls.is_url(part.path):
        path = copy.with_suffix(".object")
        if not path.exists():
            buckets.fetch(Object(part.path, part.bytes or 0, part.version or ""), path)
    if part.is_folder or not (unpack := _unpacker(path)):
        return path
    if not copy.exists():
        with runtime.lock(copy.with_name(f"{copy.name}.lock"), f"unpack {path.name}", wait=True):
            if not copy.exists():
                _unpack(path, unpack, copy)
    return copy


def _unpack(path: Path, unpack: Callable[[Path], IO[bytes]], copy: Path) -> None:
    try:
        with unpack(path) as source, runtime.atomic_write(copy) as target:
            limit, reason = _limit(path, copy)
            while chunk := source.read(1 << 20):
                if target.tell() + len(chunk) > limit:
                    raise DataError(f"{path}: unpacks to more than {limit:,} bytes, {reason}")
                target.write(chunk)
    except runtime.UserError:  # the copy cannot be written
        raise
    except _damage() as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); download it again") from error


def _limit(path: Path, copy: Path) -> tuple[int, str]:
    """The largest length of an unpacked copy in bytes, and what sets this limit."""
    free = shutil.disk_usage(copy.parent).free * 9 // 10
    plausible = max(_ALWAYS_ALLOWED, _MAX_RATIO * path.stat().st_size)
    if free < plausible:
        return free, "nine tenths of the free disk space; free some space and run again"
    return plausible, f"{_MAX_RATIO} times its length, which no archive of photos does; unpack it yourself"


def _damage() -> tuple[type[Exception], ...]:
    """The errors that damaged compressed files raise."""
    own = [sys.modules["zstandard"].ZstdError] if "zstandard" in sys.modules else []
    return (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error, *own)


def _unpacker(path: Path) -> Callable[[Path], IO[bytes]] | None:
    """The function that opens a compressed file; None if the file is not compressed."""
    program = containers.compression_of(path)
    openers: dict[str | None, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open, "zstd": _open_zstd}
    return openers.get(program)


def _open_zstd(path: Path) -> IO[bytes]:
    try:
        import zstandard
    except ImportError:
        raise DataError(f"{path}: compressed with zstd; run `pip install zstandard`, or `unzstd` on it") from None
    return zstandard.open(path, "rb")
