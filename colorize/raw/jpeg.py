"""Reads the few facts of a JPEG's header that decide how it may be decoded (ITU-T T.81, annex B)."""

import struct
from typing import NamedTuple

_SEGMENT = struct.Struct(">BBH")  # 0xFF, marker, length including itself
_FRAME = struct.Struct(">BHHB")  # bits, height, width, components
_NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # tables within the range of the frame markers
_SCAN, _APP1, _APP2 = 0xDA, 0xE1, 0xE2
_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"


class Header(NamedTuple):
    """What stands before the first scan."""

    width: int  # pixels, before any EXIF orientation
    height: int  # pixels
    bits: int  # a channel
    components: int  # 1 gray, 3 colour, 4 CMYK
    is_progressive: bool  # in any number of scans, each of which visits every block
    exif: bytes | None  # payload, from "Exif" on
    profile: bytes | None  # ICC profile


_MEMORABLE = 4096  # bytes of a header
_last: tuple[bytes, Header | None] = (b"", None)  # the bytes of a header, to the end of the frame's, and what they say


def read_header(data: bytes | memoryview) -> Header | None:
    """The header of a JPEG, or None where the bytes are no JPEG or the header is not whole.

    Files of one encoder often begin with the very same bytes, which are not read twice in a row.
    """
    global _last
    known, header = _last
    if header and bytes(data[: len(known)]) == known:
        return header
    header, end = _parse(data)
    if end <= _MEMORABLE:
        _last = bytes(data[:end]), header
    return header


def _parse(data: bytes | memoryview) -> tuple[Header | None, int]:
    """The header, and where it ends: bytes behind that do not matter."""
    if bytes(data[:2]) != b"\xff\xd8":
        return None, 0
    position, end = 2, len(data) - _FRAME.size - _SEGMENT.size
    exif, chunks = None, {}
    while position <= end:
        prefix, marker, length = _SEGMENT.unpack_from(data, position)
        if prefix != 0xFF or marker == _SCAN:
            return None, 0
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        start = position + _SEGMENT.size
        if 0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES:
            bits, height, width, components = _FRAME.unpack_from(data, start)
            profile = b"".join(chunks[number] for number in sorted(chunks)) or None
            return Header(width, height, bits, components, marker & 3 == 2, exif, profile), start + _FRAME.size
        position += 2 + length
        if marker == _APP1 and exif is None and bytes(data[start : start + len(_EXIF)]) == _EXIF:
            exif = bytes(data[start:position])
        elif marker == _APP2 and bytes(data[start : start + len(_ICC)]) == _ICC:
            chunks[data[start + len(_ICC)]] = bytes(data[start + len(_ICC) + 2 : position])  # number, count, part
    return None, 0


def count_scans(data: bytes | memoryview) -> int:
    """Scans of a JPEG and of any preview in it; no other data can hold the marker."""
    return bytes(data).count(bytes((0xFF, _SCAN)))
