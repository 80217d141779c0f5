"""Read raw archives in place, without extracting them: zip files, uncompressed tar files and folders.

`scan` lists the regular files of an archive. A `Reader`, one in each worker, maps the archive into memory and reads a
member by its offset. A member name in a zip or tar is only a label and never used as a path. Names with `..`, absolute
names, newlines and very long names are therefore harmless.
"""

import errno
import mmap
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import NamedTuple

from colorize.archives import tar
from colorize.archives.entry import Entry
from colorize.runtime import DataError, open_regular

MAX_INFLATED = 1 << 28  # bytes of one unpacked member; image files are smaller, zip bombs are larger
MAX_FILES = 20_000_000  # of a folder; the listing of so many takes 6 GB of memory
MAX_REPEATED = 25_000  # folders that are listed again because a link leads to them: links to links multiply

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, length of name, length of extra field
_COMPRESSED = {  # first bytes of a file that is compressed as a whole -> program that compressed it
    b"\x1f\x8b": "gzip",
    b"\x1f\x9d": "compress",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x5d\x00\x00": "lzma",
    b"LZIP": "lzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_OTHER_ARCHIVES = {  # first bytes of another archive -> its name, and the tool that unpacks it into a folder
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x"),
    b"Rar!\x1a\x07": ("a rar archive", "unrar x"),
    b"PK\x07\x08": ("a zip archive of several parts", "7z x"),
    b"xar!": ("a xar archive", "xar -x -f"),
    b"!<arch>": ("an ar archive", "ar x"),
    b"070701": ("a cpio archive", "cpio -i <"),
    b"MSCF": ("a cabinet archive", "7z x"),
    b"hsqs": ("a squashfs image", "unsquashfs"),
    b"MZ": ("a self-extracting program for Windows", "7z x"),
    b"\x7fELF": ("a program", "7z x"),
}


_OF_THE_MACHINE = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))  # these errors say nothing about the file


class UnreadableFile(DataError):
    """One file of a folder cannot be read, for example because of a bad sector. Others may be readable."""


class Listing(NamedTuple):
    """Content of an archive: the regular files, sorted by name, and the number of skipped members of each kind."""

    entries: list[Entry]
    skipped: dict[str, int]


def scan(path: Path, subfolder: str = "") -> Listing:
    """List an archive or folder.

    Args:
        path: the archive or folder.
        subfolder: list only this folder below the folder; the names still begin with it.

    Devices, links in archives and the resource forks that macOS adds are skipped and counted. In a folder, links are
    followed. If several members have the same name, only the last one is listed, as when extracting. Directories are
    neither listed nor counted.

    Raises:
        DataError: the archive is missing, of an unknown kind, compressed, encrypted, truncated or damaged. A tar with
            one damaged header is refused as a whole, because the members after this header cannot be found.
    """
    kind = kind_of(path)
    if kind == "list":
        raise DataError(f"{path}: a list of images holds no files; give the folder or archive that holds them")
    if kind == "folder":
        found, skipped = _list_folder(path, subfolder)
    else:
        found, skipped = {"zip": _list_zip, "tar": _list_tar}[kind](path)
    found.sort(key=itemgetter(0))  # stable: members with the same name stay in the order of the archive
    last = [entry for entry, after in pairwise(found) if entry[0] != after[0]] + found[-1:]
    entries = [entry for entry in last if not _is_resource_fork(entry[0])]
    skipped["repeated name"] += len(found) - len(last)
    skipped["resource fork of macOS"] += len(last) - len(entries)
    return Listing(entries, dict(sorted((+skipped).items())))


def _is_resource_fork(name: str) -> bool:
    """Whether a name is that of a resource fork: `._photo.jpg` holds macOS metadata of `photo.jpg`, not an image."""
    return "._" in name and name.rpartition("/")[2].startswith("._")


def kind_of(path: Path) -> str:
    """The kind of an archive, `folder`, `list`, `zip` or `tar`, determined by its first bytes and not by its name.

    A list of images has no mark in its first bytes, and is known by its name: `.csv`.

    Raises:
        DataError: the file cannot be read, is empty, is compressed as a whole, or is another kind of archive.
    """
    if path.is_dir():
        return "folder"
    head = _head(path)
    if not head:
        raise DataError(f"{path}: the file is empty; delete it and download it again")
    if tool := _compression(head):
        raise DataError(f"{path}: compressed as a whole with {tool}, so its members cannot be read in place; unpack it")
    for magic, (name, tool) in _OTHER_ARCHIVES.items():
        if head.startswith(magic):
            raise DataError(
                f"{path}: {name}, expected a zip, an uncompressed tar or a folder; unpack it with `{tool}` into a "
                "folder, and write this folder as `path` into the source file"
            )
    if path.suffix == ".csv":
        return "list"
    return "zip" if head[:4] in (b"PK\x03\x04", b"PK\x05\x06") else "tar"


def compression_of(path: Path) -> str | None:
    """The program that compressed a file as a whole, such as `gzip`; None if it is not compressed."""
    return _compression(_head(path))


def _compression(head: bytes) -> str | None:
    return next((program for magic, program in _COMPRESSED.items() if head.startswith(magic)), None)


def _head(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(8)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; put the archive there, or correct the path") from error


class Reader:
    """Reads the members of one archive or folder; open one in each process.

    Use as a context manager, or call `close`. A view that `read` returned stays valid: the archive stays mapped until
    the last view is deleted.
    """

    def __init__(self, path: Path):
        """Map the archive.

        Raises:
            DataError: the archive cannot be opened.
        """
        self.path = Path(path)
        self._kind = kind_of(self.path)
        if self._kind == "list":  # of files relative to its folder
            self.path, self._kind = self.path.parent, "folder"
        self._map = None if self._kind == "folder" else _map_file(self.path)
        self._view = None if self._map is None else memoryview(self._map)

    def read(self, entry: Entry) -> bytes | memoryview:
        """The bytes of one member; a view of the mapped archive if the member is not compressed.

        Raises:
            UnreadableFile: the file is still in the folder, but cannot be read.
            DataError: the file is gone, the archive has become shorter, or a zip member is damaged or unpacks to more
                than `MAX_INFLATED` bytes.
        """
        if self._kind == "folder":
            return self._read_file(entry)
        if self._kind == "tar":
            if entry.packed:  # a tar has replaced the listed zip; a tar has no checksums that would detect this
                raise self._damaged(entry, "the archive is no longer the zip that was listed")
            return self._slice(entry, entry.offset, entry.size)
        return self._read_zipped(entry)

    def close(self) -> None:
        """Unmap the archive; if views are left, it is unmapped when the last one is deleted."""
        if self._map is not None:
            self._view = None
            with suppress(BufferError):  # views still exist, perhaps in a traceback
                self._map.close()
            self._map = None

    def __enter__(self) -> "Reader":
        """The reader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmap the archive."""
        self.close()

    def _read_file(self, entry: Entry) -> bytes:
        try:
            with open_regular(_path_of(self.path, entry.name)) as file:
                return file.read(entry.size)  # not more, even if the file has grown
        except OSError as error:
            path = self.path / entry.name
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                remedy = "the file existed when the folder was listed; run again"
                raise DataError(f"{path}: {error.strerror}; {remedy}") from error
            if error.errno in _OF_THE_MACHINE:
                raise DataError(f"{path}: {error.strerror}; free this resource, and run again") from error
            raise UnreadableFile(f"{path}: {error.strerror}; make the file readable, or remove it") from error

    def _slice(self, entry: Entry, start: int, size: int) -> memoryview:
        assert self._view is not None  # it is None only for a folder or a closed reader
        if start < 0 or start + size > len(self._view):
            raise self._damaged(entry, "the archive has become shorter since it was listed")
        return self._view[start : start + size]

    def _read_zipped(self, entry: Entry) -> bytes | memoryview:
        """Read one zip member, and check its length and CRC-32."""
        signature, name_size, extra_size = _LOCAL_HEADER.unpack(self._slice(entry, entry.offset, _LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            raise self._damaged(entry, "no local header at this position")
        # use the lengths in the local header: its extra field often differs from the one in the central directory
        packed = self._slice(entry, entry.offset + _LOCAL_HEADER.size + name_size + extra_size, entry.packed)
        data = packed if entry.method == zipfile.ZIP_STORED else self._inflate(entry, packed)
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise self._damaged(entry, "the data does not match its checksum")
        return data

    def _inflate(self, entry: Entry, packed: memoryview) -> bytes:
        if entry.size > MAX_INFLATED:
            raise DataError(
                f"{self.path}: {entry.name!r} unpacks to {entry.size:,} bytes, the limit is {MAX_INFLATED:,}; remove it"
            )
        try:  # unpack at most one byte more than the header announces, to detect a stream that is too long
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.size + 1)
        except zlib.error as error:
            raise self._damaged(entry, "the data cannot be unpacked") from error

    def _damaged(self, entry: Entry, what: str) -> DataError:
        return DataError(f"{self.path}: {entry.name!r} at byte {entry.offset}: {what}; download the archive again")


@contextmanager
def _opened(path: Path) -> Iterator[mmap.mmap]:
    mapped = _map_file(path)
    try:
        yield mapped
    finally:
        mapped.close()


def _map_file(path: Path) -> mmap.mmap:
    try:
        with open_regular(path) as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be mapped into memory ({error}); download it again") from error


def _list_tar(path: Path) -> tuple[list[Entry], Counter]:
    with _opened(path) as data:
        return tar.walk(data, path)


def _list_zip(path: Path) -> tuple[list[Entry], Counter]:
    """Members of the central directory, in its order."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        raise DataError(f"{path}: truncated or damaged zip ({error}); download it again") from error
    _refuse_overlaps(path, infos)
    found: list[Entry] = []
    skipped: Counter[str] = Counter()
    for info in infos:
        if not info.filename:
            raise DataError(f"{path}: damaged zip (a member without a name); download it again")
        if info.is_dir():
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            skipped["symbolic link"] += 1
            continue
        if info.flag_bits & 1:
            raise DataError(f"{path}: {info.filename!r} is encrypted; make the archive again without a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(
                f"{path}: {info.filename!r} is neither stored nor compressed with deflate; make the archive again with "
                "`zip`"
            )
        found.append(
            Entry(info.filename, info.header_offset, info.file_size, info.compress_size, info.CRC, info.compress_type)
        )
    return found, skipped


def _refuse_overlaps(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    """Refuse members that share bytes: they can unpack 42 kB to terabytes, and normal tools do not write them."""
    for member, after in pairwise(sorted(infos, key=attrgetter("header_offset"))):
        if after.header_offset < member.header_offset + _LOCAL_HEADER.size + member.compress_size:
            raise DataError(
                f"{path}: {member.filename!r} and {after.filename!r} overlap; make the archive again with `zip`"
            )


def _list_folder(path: Path, subfolder: str = "") -> tuple[list[Entry], Counter]:
    """Regular files below a folder, and the number of skipped items of each kind.

    Links are followed, except to a folder above themselves: they would never end.

    Raises:
        DataError: a folder is not readable, or there are more files or repeated folders than the limits allow.
    """
    found: list[Entry] = []
    skipped: Counter[str] = Counter()
    top = path / subfolder
    folders = [(f"{subfolder}/" if subfolder else "", frozenset([_identity(top.stat())]))]
    known: set[tuple[int, int]] = set()
    repeated = 0
    while folders:
        prefix, above = folders.pop()
        for child in _children(path / prefix):
            name = prefix + child.name
            try:
                status = child.stat()
            except OSError:
                skipped["broken link" if child.is_symlink() else "unreadable"] += 1
                continue
            if stat.S_ISREG(status.st_mode):
                found.append(Entry(checked_name(path, name), status.st_mtime_ns, status.st_size))
            elif not stat.S_ISDIR(status.st_mode):
                skipped["device, pipe or socket"] += 1
            elif (identity := _identity(status)) in above:
                skipped["link to a folder above it"] += 1
            else:
                repeated += identity in known
                known.add(identity)
                folders.append((name + "/", above | {identity}))
        _check_limits(path, prefix, len(found), repeated)
    return found, skipped


def _children(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return sorted(items, key=lambda item: item.name)
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; make the folder readable") from error


def _check_limits(path: Path, prefix: str, files: int, repeated: int) -> None:
    if files > MAX_FILES:
        raise DataError(f"{path}: more than {MAX_FILES:,} files; name a smaller folder, or put the images into tars")
    if repeated > MAX_REPEATED:
        raise DataError(
            f"{path}: links lead more than {MAX_REPEATED:,} times to folders that are listed already, the last time in "
            f"{prefix!r}; remove these links, or name a smaller folder"
        )


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def checked_name(path: Path, name: str) -> str:
    """The name as text, which the tables need. The bytes on the disk count, because some locales read them wrongly.

    Raises:
        DataError: the name is not UTF-8.
    """
    try:
        return os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path}: the file name {name!r} is not UTF-8; rename the file") from None


def _path_of(folder: Path, name: str) -> Path:
    """The path of a listed file, in every locale."""
    return folder / os.fsdecode(name.encode("utf-8"))
