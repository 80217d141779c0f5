"""Edit EXIF (CIPA DC-008), which has the structure of a TIFF file: directories of entries (TIFF 6.0, section 2).

All bytes but those of the first directory keep their position, because the notes of many cameras contain positions. A
TIFF is written by adding the entries of the picture to the EXIF.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
EMPTY = b"II*\0\x08\0\0\0" + bytes(6)  # a block without entries
MAX_BYTES = 65_000  # a segment of a JPEG holds 65,533

X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
_NO_UNIT, _INCH, _PER_CENTIMETER, _CENTIMETERS = 1, 2, 3, 2.54  # units of the resolution, and centimeters of an inch
DETAILS, POSITION = 34665, 34853  # directories with details of the picture, and with the position on Earth
DESCRIPTIVE = frozenset(  # entries of the first directory that a result keeps
    (
        *(269, 270, 271, 272, 285, 305, 306, 315, 316),  # names, caption, camera, software, date, artist, computer
        *(X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, 33432, DETAILS, POSITION),  # 33432: copyright
        *(18246, 18249, *range(40091, 40096)),  # rating, and Windows' title, comment, author, keywords, subject
        *(36867, 36868, 36880, 36881, 36882),  # dates that some scanners write into the first directory
    )
)
_COLOR_SPACE, _WIDTH, _HEIGHT, _INTEROPERABILITY, _SRGB = 40961, 40962, 40963, 40965, 1  # entries of the details
_INDEX, _ADOBE_RGB, _SRGB_INDEX = 1, b"R03\0", b"R98\0"
_THUMBNAIL = ((513, 514), (273, 279))  # entries with the positions and the lengths of the parts of the thumbnail

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # type -> bytes per value
_FORMATS = {BYTE: "B", SHORT: "H", LONG: "I", RATIONAL: "I"}
_MAX_PARTS = 1000  # of a thumbnail
_DEPTH = 2  # directories below the first one: details, and interoperability below them
_STANDALONE = b"ExifMeta"  # name of EXIF outside TIFFs, which some programs write behind its head


class Entry(NamedTuple):
    """An entry of a directory."""

    kind: int  # type of the values
    length: int  # number of values
    field: bytes  # 4 bytes: the values, or the position of longer values
    at: int  # position of the field


Directory = dict[int, Entry]  # tag -> entry


def read_directory(data: bytes | bytearray | memoryview, order: str, start: int) -> tuple[Directory, int, int]:
    """Read a directory. Entries whose values are outside the data are left out.

    Args:
        data: EXIF, or a TIFF.
        order: "<" or ">".
        start: position of the directory.

    Returns:
        The entries; the position of the next directory, 0 for none; the length of the directory in bytes.

    Raises:
        ValueError: the directory is outside the data.
    """
    entries: Directory = {}
    try:
        (count,) = struct.unpack_from(order + "H", data, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number, field = struct.unpack_from(order + "HHI4s", data, at)
            entry = Entry(kind, number, field, at + 8)
            length = _SIZES.get(kind, 0) * number
            if 0 < length <= 4 or 4 < length <= len(data) - _position(order, entry):
                entries.setdefault(tag, entry)
    except struct.error:
        raise ValueError("a directory is outside the EXIF") from None
    end = start + 2 + 12 * count
    is_whole = end + 4 <= len(data)  # some programs leave out the position of the next directory
    following = struct.unpack_from(order + "I", data, end)[0] if is_whole else 0
    return entries, following, end - start + 4 * is_whole


def _position(order: str, entry: Entry) -> int:
    return struct.unpack(order + "I", entry.field)[0]


def value_of(data: bytes | bytearray | memoryview, order: str, entry: Entry) -> bytes:
    """The bytes of all values of an entry."""
    length = _SIZES[entry.kind] * entry.length
    if length <= 4:
        return entry.field[:length]
    start = _position(order, entry)
    return bytes(data[start : start + length])


class Block:
    """EXIF, or the start of a TIFF, that is edited.

    Args:
        content: EXIF without the name "Exif" at its start.

    Raises:
        ValueError: the content is damaged.
    """

    def __init__(self, content: bytes = EMPTY):
        self.order = order_of(content)
        self.data = bytearray(content)
        (self._start,) = struct.unpack_from(self.order + "I", content, 4)
        self.entries, self.next, self._room = read_directory(self.data, self.order, self._start)

    def numbers(self, entry: Entry | None) -> list[int]:
        """The values of an entry of integers or of a rational number; empty for None and other entries."""
        if entry is None or entry.kind not in (SHORT, LONG, RATIONAL) or entry.length > _MAX_PARTS:
            return []
        value = value_of(self.data, self.order, entry)
        letter = _FORMATS[entry.kind]
        return list(struct.unpack(f"{self.order}{len(value) // struct.calcsize(letter)}{letter}", value))

    def directory(self, pointer: Entry | None) -> Directory:
        """The directory that an entry points to; empty if there is none."""
        try:
            return read_directory(self.data, self.order, self.numbers(pointer)[0])[0]
        except (IndexError, ValueError):
            return {}

    def overwrite(self, entry: Entry | None, number: int) -> None:
        """Overwrite the single integer of an entry where it stands; other entries stay as they are."""
        if len(self.numbers(entry)) == 1 and entry is not None and number < 1 << (8 * _SIZES[entry.kind]):
            struct.pack_into(self.order + _FORMATS[entry.kind], self.data, entry.at, number)

    def put(self, tag: int, kind: int, values: bytes | Sequence[int]) -> None:
        """Add an entry to the first directory, or replace it. A rational number is two integers."""
        if not isinstance(values, bytes):
            values = struct.pack(f"{self.order}{len(values)}{_FORMATS[kind]}", *values)
        self.entries[tag] = self._stored(kind, values)

    def put_directory(self, tag: int, values: dict[int, tuple[int, bytes]]) -> Entry:
        """Append a directory, and return the entry that points to it.

        Args:
            tag: of the entry in the first directory, to which the entry is added; 0 for none.
            values: tag -> type and values of each entry of the new directory.
        """
        stored = {number: self._stored(*value) for number, value in values.items()}
        self.data += bytes(len(self.data) % 2)
        start = struct.pack(self.order + "I", len(self.data))
        self.data += self._encoded(stored)
        entry = Entry(LONG, 1, start, 0)
        self.entries |= {tag: entry} if tag else {}
        return entry

    def _stored(self, kind: int, values: bytes) -> Entry:
        """The entry of some values, which are appended if they are longer than its field."""
        count, field = len(values) // _SIZES[kind], values.ljust(4, b"\0")
        if len(values) > 4:
            self.data += bytes(len(self.data) % 2)  # positions are even
            field = struct.pack(self.order + "I", len(self.data))
            self.data += values
        return Entry(kind, count, field, 0)

    def _encoded(self, entries: Directory) -> bytes:
        fields = (struct.pack(self.order + "HHI4s", tag, *entry[:3]) for tag, entry in sorted(entries.items()))
        return struct.pack(self.order + "H", len(entries)) + b"".join(fields) + bytes(4)

    def replace(self, tag: int, numbers: Sequence[int]) -> None:
        """Replace the values of an entry of `LONG` by as many others, without changing the length of the block."""
        entry, values = self.entries[tag], struct.pack(f"{self.order}{len(numbers)}I", *numbers)
        if len(values) > 4:
            start = _position(self.order, entry)
            self.data[start : start + len(values)] = values
        else:
            self.entries[tag] = entry._replace(field=values)

    def tobytes(self) -> bytes:
        """The block with its first directory written again, and without further directories."""
        directory, data = self._encoded(self.entries), bytearray(self.data)
        data[self._start : self._start + self._room] = bytes(self._room)
        start = self._start
        if len(directory) > self._room:
            data += bytes(len(data) % 2)
            start = len(data)
        data[start : start + len(directory)] = directory
        struct.pack_into(self.order + "I", data, 4, start)
        return bytes(data)


def order_of(content: bytes | memoryview) -> str:
    """The byte order of EXIF or of a TIFF, "<" or ">".

    Raises:
        ValueError: the content is neither.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(content[:4]))
    if order is None or len(content) < 8:
        raise ValueError("no EXIF")
    return order


def of_tiff(data: bytes | memoryview, page: int) -> bytes:
    """Copy the entries of a page of a TIFF that describe the picture.

    Args:
        data: the whole file.
        page: number of the page, from 0.

    Returns:
        EXIF without the name at its start. The notes of cameras have other positions there.

    Raises:
        ValueError: the file is damaged, or the entries are too long.
    """
    order = order_of(data)
    (start,) = struct.unpack_from(order + "I", data, 4)
    for _ in range(page):
        start = read_directory(data, order, start)[1]
    block = Block(bytes(data[:4]) + struct.pack(order + "I", 8) + bytes(6))
    for tag, (kind, values) in _copied(block, data, start, _DEPTH).items():
        if tag in DESCRIPTIVE:
            block.put(tag, kind, values)
    return block.tobytes()


def _copied(block: Block, data: bytes | memoryview, start: int, depth: int) -> dict[int, tuple[int, bytes]]:
    """Type and values of the entries of a directory; the directories that it points to are appended to the block."""
    found, total = {}, 0
    for tag, entry in read_directory(data, block.order, start)[0].items():
        if depth == _DEPTH and tag not in DESCRIPTIVE:
            continue
        total += _SIZES[entry.kind] * entry.length
        if total > MAX_BYTES:
            raise ValueError("too long")
        found[tag] = entry.kind, value_of(data, block.order, entry)
        if tag in (DETAILS, POSITION, _INTEROPERABILITY) and depth:
            del found[tag]
            with contextlib.suppress(ValueError):  # a directory that cannot be read
                nested = _copied(block, data, _position(block.order, entry), depth - 1)
                found[tag] = LONG, block.put_directory(0, nested).field
    return found


def clean(content: bytes, width: int, height: int, is_sideways: bool) -> bytes:
    """EXIF for the result: without orientation, thumbnail and what describes the encoding of the photo.

    Args:
        content: EXIF of the photo, with or without the name "Exif" at its start.
        width: of the upright photo, pixels.
        height: of the upright photo, pixels.
        is_sideways: whether width and height were exchanged to turn the photo upright.

    Returns:
        EXIF without the name at its start, at most `MAX_BYTES` long; empty if nothing remains.

    Raises:
        ValueError: the EXIF is damaged, or too long.
    """
    while content.startswith(b"Exif\0\0"):  # some programs write it twice
        content = content[6:]
    block = Block(_without_thumbnail(content))
    if block.data[8:16] == _STANDALONE:
        block.data[8:16] = bytes(8)
    lost = {tag for tag in (DETAILS, POSITION) if not block.directory(block.entries.get(tag))}
    block.entries = {tag: entry for tag, entry in block.entries.items() if tag in DESCRIPTIVE - lost}
    if not block.entries:
        return b""
    resolution = block.entries.get(X_RESOLUTION), block.entries.get(Y_RESOLUTION)
    if is_sideways and resolution[0] and resolution[1]:
        block.entries |= {X_RESOLUTION: resolution[1], Y_RESOLUTION: resolution[0]}
    details = block.directory(block.entries.get(DETAILS))
    for tag, number in ((_WIDTH, width), (_HEIGHT, height), (_COLOR_SPACE, _SRGB)):
        block.overwrite(details.get(tag), number)
    index = block.directory(details.get(_INTEROPERABILITY)).get(_INDEX)
    if index is not None and index.field == _ADOBE_RGB:
        block.data[index.at : index.at + 4] = _SRGB_INDEX
    cleaned = block.tobytes()
    if len(cleaned) > MAX_BYTES:
        raise ValueError("too long")
    if Block(cleaned).entries.keys() != block.entries.keys():
        raise ValueError("directories overlap")
    return cleaned


def _without_thumbnail(content: bytes) -> bytes:
    """Overwrite the thumbnail with zeros, and cut it off if it stands at the end."""
    block = Block(content)
    try:
        entries, _, length = read_directory(block.data, block.order, block.next) if block.next else ({}, 0, 0)
    except ValueError:
        return content
    parts = [(block.next, length)]
    for starts, lengths in _THUMBNAIL:
        numbers = block.numbers(entries.get(starts)), block.numbers(entries.get(lengths))
        parts += zip(*numbers, strict=False)
    data = bytearray(content)
    for start, length in sorted(parts, reverse=True):
        end = min(start + length, len(data))
        if end >= len(data) - 1:  # the length of the block may have been made even
            del data[start:]
        else:
            data[start:end] = bytes(end - start)
    return bytes(data)


def resolution(content: bytes) -> tuple[float, float] | None:
    """Pixels per inch, horizontally and vertically, in cleaned EXIF; None if there are none."""
    block = Block(content or EMPTY)
    parts = [block.numbers(block.entries.get(tag)) for tag in (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)]
    if not all(parts[:2]) or not all(above and below for above, below in parts[:2]):
        return None
    if parts[2] == [_NO_UNIT]:
        return None
    factor = _CENTIMETERS if parts[2] == [_PER_CENTIMETER] else 1
    across, down = (factor * above / below for above, below in parts[:2])
    return across, down


def with_resolution(content: bytes, dpi: tuple[float, float]) -> bytes:
    """Cleaned EXIF with a resolution in pixels per inch; empty EXIF is created."""
    block = Block(content or EMPTY)
    put_resolution(block, dpi)
    return block.tobytes()


def put_resolution(block: Block, dpi: tuple[float, float]) -> None:
    """Put a resolution in pixels per inch."""
    for tag, value in zip((X_RESOLUTION, Y_RESOLUTION), dpi, strict=True):
        block.put(tag, RATIONAL, rational(value))
    block.put(RESOLUTION_UNIT, SHORT, [_INCH])


def rational(value: float) -> tuple[int, int]:
    """A positive number as a fraction, with four decimals if it is no integer."""
    return (round(value), 1) if value == round(value) else (round(value * 10_000), 10_000)
