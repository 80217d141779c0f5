"""The shard format: ustar tars of small PPM images. Each tar is also a strided array.

All members have the same length: a 512-byte tar header, a PPM header padded by a comment to 64 bytes, the pixels, and
zeros up to a multiple of 512 bytes. A member with a 64x64 image has 13,312 bytes. `webdataset` and tar read the shards,
and image viewers open the members. `mapped.py` maps shards into memory and gathers rows. The pixels are stored without
loss, because JPEG would move a fifth of them to other ab bins.

    <split>/<dataset>/manifest.json  written last: geometry, counts, rejections, sha256 of every shard
    <split>/<dataset>/images.csv     per image: key, class, group, source, xxh128 (of the pixels), colorfulness, is_gray
    <split>/<dataset>/000000.tar     members 00000000.ppm ...; the key is the index in the sorted listing of the split,
                                     so that a rejected image leaves a gap and changes no other key

The split of a union has the tars of two data sets, its parts. The manifest lists the parts, and the first key of each:
the key of an image is this number plus the key in the tar. So the tars are the same files as those of the data sets.

Each split is a separate output, so that training depends on train and val only, and evaluation depends on test only.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import itertools
import json
import re
import reprlib
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, NamedTuple, get_args

import numpy as np

from colorize.layout import stage_name
from colorize.runtime import (
    Damaged,
    DataError,
    atomic_write,
    fault_point,
    first_line,
    open_regular,
    read_bytes,
    repair_command,
)

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
FORMAT = "strided-ppm-2"
TABLE = "images.csv"
COLUMNS = ("key", "class", "group", "source", "xxh128", "colorfulness", "is_gray")  # of TABLE
TAR_BLOCK = 512
PPM_HEADER = 64
END_OF_TAR = bytes(2 * TAR_BLOCK)
LARGEST_WEIGHT = 1_000_000  # of a part

_MAX_MANIFEST = 1 << 28  # bytes; a shard takes 100
_MAX_HEAD = 4096  # characters of the first line of a table
_MAX_SIZE = 1024  # pixels, the limit of `shard.size`
# Images per group. A whole group is decoded, then hashed: each change between the two steps refills the CPU caches.
AT_ONCE = 128


class Part(NamedTuple):
    """Consecutive images of a split that come from one data set. Only the split of a union has more than one part."""

    dataset: str
    images: int  # number of images
    first_key: int = 0  # added to the keys in the tars
    weight: int = 1  # share of the training images: the weight divided by the sum of the weights of all parts


class Geometry(NamedTuple):
    """Lengths and offsets in a shard of square RGB images."""

    size: int  # side, pixels

    @property
    def pixel_offset(self) -> int:
        """Bytes from the start of a member to its pixels."""
        return TAR_BLOCK + PPM_HEADER

    @property
    def content(self) -> int:
        """Bytes of a member's PPM file."""
        return PPM_HEADER + 3 * self.size**2

    @property
    def stride(self) -> int:
        """Bytes from one member to the next."""
        return TAR_BLOCK + -(-self.content // TAR_BLOCK) * TAR_BLOCK

    def shard_bytes(self, images: int) -> int:
        """Length of a whole shard in bytes."""
        return images * self.stride + len(END_OF_TAR)

    def ppm_header(self) -> bytes:
        """The 64 bytes of a PPM header: magic number, comment as padding, width and height, maximum value."""
        tail = f"\n{self.size} {self.size}\n255\n".encode()
        head = b"P6\n# "
        return head + b"-" * (PPM_HEADER - len(head) - len(tail)) + tail

    def tar_header(self, key: int) -> bytes:
        """The 512 bytes of a ustar header. They are the same in every run: times and owners are constant."""
        info = tarfile.TarInfo(f"{key:08d}.ppm")
        info.size = self.content
        return info.tobuf(tarfile.USTAR_FORMAT)


class Members:
    """A buffer for `AT_ONCE` members of a shard, in the form in which they are written.

    Callers put images into `pixels`, (AT_ONCE, size, size, 3) uint8, a view of the buffer. A buffer for a whole shard
    would need more memory, and it would take longer to fill, hash and write.
    """

    def __init__(self, size: int):
        """Prepare the members for square images of `size` x `size` pixels."""
        self.geometry = geometry = Geometry(size)
        member = (geometry.tar_header(0) + geometry.ppm_header()).ljust(geometry.stride, b"\0")
        self._bytes = np.frombuffer(bytearray(member * AT_ONCE), np.uint8).reshape(AT_ONCE, -1)
        pixels = self._bytes[:, geometry.pixel_offset : TAR_BLOCK + geometry.content]
        self.pixels = pixels.reshape(AT_ONCE, size, size, 3)
        self._checksum = int(member[148:154], 8) - sum(b"%08d" % 0)  # checksum of a header without its key's digits

    def content(self, keys: Sequence[int]) -> memoryview:
        """The bytes of the first `len(keys)` members, named by these keys; valid until the buffer changes."""
        count = len(keys)
        names = np.frombuffer(b"".join([b"%08d" % key for key in keys]), np.uint8).reshape(count, 8)
        checksums = names.sum(1) + self._checksum
        digits = b"".join([b"%06o" % checksum for checksum in checksums.tolist()])
        self._bytes[:count, :8] = names
        self._bytes[:count, 148:154] = np.frombuffer(digits, np.uint8).reshape(count, 6)
        return self._bytes[:count].reshape(-1).data


def write_shard(path: Path, size: int, keys: Sequence[int], images: Sequence[np.ndarray]) -> str:
    """Write one shard atomically.

    Args:
        path: path of the tar.
        size: side of the images, pixels.
        keys: one key per image.
        images: (size, size, 3) uint8 each.

    Returns:
        SHA-256 of the file, in hex.
    """
    members = Members(size)
    assert len(keys) == len(images)

    def fill() -> Iterator[Sequence[int]]:
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            members.pixels[: len(part)] = images[start : start + AT_ONCE]
            yield part

    return write_members(path, members, fill())


def write_members(path: Path, members: Members, parts: Iterator[Sequence[int]]) -> str:
    """Write one shard atomically, a few members at a time.

    Args:
        path: path of the tar; no tar is written if `parts` yields nothing.
        members: buffer that `parts` fills.
        parts: iterator; in each step, it puts at most `AT_ONCE` images into `members` and yields their keys.

    Returns:
        SHA-256 of the file, in hex; empty if no tar was written.
    """
    first = next(parts, None)
    if first is None:
        return ""
    digest = hashlib.sha256()
    with atomic_write(path) as file:
        for keys in itertools.chain([first], parts):
            content = members.content(keys)
            digest.update(content)
            file.write(content)
            fault_point("shard-member")
        digest.update(END_OF_TAR)
        file.write(END_OF_TAR)
        fault_point("shard-rename")
    return digest.hexdigest()


def read_manifest(folder: Path) -> dict:
    """Read the manifest of a split.

    Args:
        folder: folder of a split of a data set, such as `data/shards/train/objects`.

    Raises:
        DataError: the manifest is missing, damaged or of another format.
    """
    folder = Path(folder)
    path = folder / "manifest.json"
    try:
        manifest = json.loads(read_bytes(path, _MAX_MANIFEST))
        problem = _problem(manifest, (folder.parent.name, folder.name))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; make it with `dvc repro {stage_name('shard', folder.name)}`") from None
    except (OSError, ValueError, RecursionError) as error:
        problem = first_line(error)
    if problem:
        raise Damaged(f"{path}: damaged ({problem}); run `{repair_command(folder, stage_name('shard', folder.name))}`")
    if manifest["format"] != FORMAT:
        command = f"dvc repro --force --single-item {stage_name('shard', folder.name)}"
        raise DataError(f"{path}: format {manifest['format']!r}, expected {FORMAT!r}; run `{command}`")
    return manifest


def _problem(manifest: object, place: tuple[str, str]) -> str:
    """Describe what is wrong with the fields of a manifest; empty if nothing is wrong.

    Args:
        manifest: content of the file.
        place: split and data set, as the folder is named.
    """
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), str):
        return "no `format`"
    if manifest["format"] != FORMAT:  # fields of other formats are not known
        return ""
    if not (_is_count(manifest.get("size")) and 1 <= manifest["size"] <= _MAX_SIZE):
        return f"`size` is {reprlib.repr(manifest.get('size'))}"
    if (manifest.get("split"), manifest.get("dataset")) != place:
        return f"it belongs to {reprlib.repr(manifest.get('split'))} of {reprlib.repr(manifest.get('dataset'))}"
    shards = manifest.get("shards")
    if not isinstance(shards, list) or not shards or not all(map(_is_shard, shards)):
        return "the list of shards is wrong"
    if len({shard["name"] for shard in shards}) < len(shards):
        return "a shard is listed twice"
    if not _is_count(manifest.get("images")) or manifest["images"] != sum(shard["images"] for shard in shards):
        return "the number of images is wrong"
    if "parts" in manifest and not _are_parts(manifest["parts"], manifest["images"]):
        return "the list of parts is wrong"
    return ""


def parts_of(manifest: dict) -> list[Part]:
    """The parts of a split, in the order of its images; a split of a plain data set is a single part."""
    if "parts" not in manifest:
        return [Part(manifest["dataset"], manifest["images"])]
    return [Part(**part) for part in manifest["parts"]]


def _is_shard(entry: object) -> bool:
    """Whether an entry has the name of a file in the split's folder, its number of images and its SHA-256."""
    return (
        isinstance(entry, dict)
        and _is_text(entry.get("name"), r"[0-9]{6,}\.tar")
        and _is_count(entry.get("images"))
        and entry["images"] > 0
        and _is_text(entry.get("sha256"), r"[0-9a-f]{64}")
    )


def _are_parts(parts: object, images: int) -> bool:
    """Whether a value is a list of parts that have so many images together."""
    if not isinstance(parts, list) or not all(map(_is_part, parts)):
        return False
    return images == sum(part["images"] for part in parts)


def _is_part(entry: object) -> bool:
    """Whether an entry has the fields of a `Part`."""
    return (
        isinstance(entry, dict)
        and {"dataset", "images", "first_key"} <= entry.keys() <= {*Part._fields}
        and isinstance(entry["dataset"], str)
        and _is_count(entry["first_key"])
        and all(_is_count(entry[name]) and entry[name] > 0 for name in entry.keys() & {"images", "weight"})
        and entry.get("weight", 1) <= LARGEST_WEIGHT
    )


def _is_text(value: object, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0  # `isinstance` would accept a bool


def table_lines(rows: Iterable[Sequence[object]]) -> str:
    """Lines of a table that end in a line feed. With this line end, csv.writer itself would not quote a return."""
    lines: list[str] = []
    csv.writer(SimpleNamespace(write=lines.append)).writerows(rows)
    return "".join([line.removesuffix("\r\n") + "\n" for line in lines])


def read_rows(folder: Path) -> Iterator[list[str]]:
    """Yield the rows of a split's table: one text per column of `COLUMNS`.

    Args:
        folder: folder of the split.

    Raises:
        DataError: the table is missing or damaged.
    """
    with _open_table(folder) as rows:
        if tuple(next(rows)) != COLUMNS:
            raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
        for number, row in enumerate(rows, start=1):
            if len(row) != len(COLUMNS):
                raise ValueError(f"row {number} has {len(row)} columns")
            yield row


def read_column(folder: Path, name: str) -> Iterator[str]:
    """Yield the values of one column of a split's table, row by row.

    The values stay text, because a file may be named 0000, 1e5 or NA. csv.DictReader would take three times as long.

    Args:
        folder: folder of the split.
        name: one of `COLUMNS`.

    Raises:
        DataError: the table is missing or damaged.
    """
    with _open_table(folder) as rows:
        column = next(rows).index(name)
        for row in rows:
            yield row[column]


@contextlib.contextmanager
def _open_table(folder: Path) -> Iterator[Iterator[list[str]]]:
    """Open the table of a split; errors of the block that damaged content causes become DataError."""
    path = folder / TABLE
    try:
        with open_regular(path) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as file:
            head = file.readline(_MAX_HEAD)  # a file of zeros has no second line
            yield csv.reader(itertools.chain([head], file))
    except (OSError, ValueError, IndexError, StopIteration, csv.Error) as error:
        command = repair_command(folder, stage_name("shard", folder.name))
        raise Damaged(f"{path}: missing or damaged ({first_line(error)}); run `{command}`") from None
