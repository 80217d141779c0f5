"""Read what an AVIF or a HEIC is, and the sizes of all pictures in an AVIF (ISO/IEC 14496-12; AV1 specification).

Pillow checks only the size that the file states beside the pictures. The decoder allocates what the pictures state.
"""

import struct
from collections.abc import Iterator

AVIF_BRANDS = frozenset((b"avif", b"avis"))
# the last two are general; a file that also names one of `AVIF_BRANDS` is no HEIC
HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))

_FILE, _META, _LOCATIONS, _INFOS, _INFO, _DATA, _MOVIE = b"ftyp", b"meta", b"iloc", b"iinf", b"infe", b"idat", b"moov"
_PICTURE = b"av01"
_SEQUENCE_HEADER = 1  # type of an OBU, a part of an AV1 stream
_MAX_PARTS = 1024  # of a file; an image has two or three per picture
_IN_FILE, _IN_META = 0, 1  # where the data of an item is


def read_brands(data: bytes | memoryview) -> set[bytes]:
    """The formats that a file of this family names at its start; empty for other files."""
    head = bytes(data[:64])
    if head[4:8] != b"ftyp":
        return set()
    return {head[8:12], *(head[at : at + 4] for at in range(16, min(int.from_bytes(head[:4]), len(head)), 4))}


def is_sequence(data: bytes | memoryview) -> bool:
    """Whether the file has tracks, like a video. Its pictures are then not those that `read_sizes` finds."""
    return _MOVIE in _boxes_of_file(data)


def read_sizes(data: bytes | memoryview) -> list[tuple[int, int]]:
    """Width and height in pixels of all pictures: color, alpha, tiles and thumbnails.

    Raises:
        ValueError, struct.error, LookupError: the file is damaged or truncated, or has no pictures.
    """
    start, end = _boxes_of_file(data)[_META]
    boxes = {kind: (start, end) for kind, start, end in _boxes(data, start + 4, end)}
    pictures = _pictures(data, *boxes[_INFOS])
    sizes = []
    for item, method, extents in _locations(data, boxes[_LOCATIONS][0]):
        if item in pictures:
            if method not in (_IN_FILE, _IN_META):
                raise ValueError("unknown place of a picture")
            first = boxes[_DATA][0] if method == _IN_META else 0
            stream = b"".join(bytes(data[first + at : (first + at + length) or None]) for at, length in extents)
            sizes += _sizes_in(stream)
    if len(sizes) < len(pictures):
        raise ValueError("a picture without a size")
    return sizes


def _boxes_of_file(data: bytes | memoryview) -> dict[bytes, tuple[int, int]]:
    """Start and end of the first box of each type; another file may follow, which the decoder does not read either."""
    found: dict[bytes, tuple[int, int]] = {}
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == _FILE and kind in found:
            break
        found.setdefault(kind, (start, end))
    return found


def _boxes(data: bytes | memoryview, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, and start and end of the content, of the boxes between two positions, up to the first damaged one."""
    for _ in range(_MAX_PARTS):
        if position + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if length == 1 and start + 8 <= end:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        position = position + length if length else end
        if position < start:
            return
        yield bytes(kind), start, min(position, end)
    raise ValueError("too many boxes")


def _pictures(data: bytes | memoryview, start: int, end: int) -> set[int]:
    """Numbers of the items that are AV1 pictures."""
    found = set()
    for kind, at, _ in _boxes(data, start + (6 if data[start] == 0 else 8), end):
        if kind == _INFO and data[at] >= 2:
            number, _, name = struct.unpack_from(">HH4s" if data[at] == 2 else ">IH4s", data, at + 4)
            found |= {number} if name == _PICTURE else set()
    return found


def _locations(data: bytes | memoryview, at: int) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """For each item: its number, where its data is, and the position and length of each part of the data."""
    version, lengths = data[at], data[at + 4 : at + 6]
    offset_bytes, length_bytes, base_bytes = lengths[0] >> 4, lengths[0] & 15, lengths[1] >> 4
    index_bytes = lengths[1] & 15 if version else 0
    wide = 4 if version == 2 else 2
    at += 6

    def read(count: int) -> int:
        nonlocal at
        at += count
        if at > len(data):
            raise ValueError("truncated")
        return int.from_bytes(data[at - count : at])

    for _ in range(min(read(wide), _MAX_PARTS)):
        item, method = read(wide), read(2) & 15 if version else _IN_FILE
        read(2)  # number of the file, 0 for this one
        base, extents = read(base_bytes), []
        for _ in range(min(read(2), _MAX_PARTS)):
            read(index_bytes)
            extents.append((base + read(offset_bytes), read(length_bytes)))
        yield item, method, extents


def _sizes_in(stream: bytes) -> list[tuple[int, int]]:
    """The largest size of a frame, from each sequence header of an AV1 stream."""
    sizes: list[tuple[int, int]] = []
    at = 0
    for _ in range(_MAX_PARTS):
        if at >= len(stream):
            return sizes
        head = stream[at]
        at += 2 if head & 4 else 1  # an extension
        length = len(stream) - at
        if head & 2:
            length, at = _leb128(stream, at)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            sizes.append(_size_in_header(stream[at : at + length]))
        at += length
    raise ValueError("too many parts")


def _leb128(stream: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number in range(8):
        value |= (stream[at + number] & 127) << 7 * number
        if not stream[at + number] & 128:
            return value, at + number + 1
    raise ValueError("endless number")


def _size_in_header(header: bytes) -> tuple[int, int]:
    """Largest width and height of a frame (AV1 specification, section 5.5)."""
    bits, position = int.from_bytes(header), 8 * len(header)

    def read(count: int) -> int:
        nonlocal position
        position -= count
        if position < 0:
            raise ValueError("truncated")
        return bits >> position & (1 << count) - 1

    read(4)  # profile, still picture
    if read(1):  # the short header of still pictures
        read(5)
    else:
        if read(1):
            raise ValueError("times, as in a video")
        has_delay = read(1)
        for _ in range(read(5) + 1):
            read(12)
            if read(5) > 7:
                read(1)
            if has_delay and read(1):
                read(4)
    width_bits, height_bits = read(4) + 1, read(4) + 1
    return read(width_bits) + 1, read(height_bits) + 1
