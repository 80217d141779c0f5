"""Reads the few facts of a JPEG's header that decide how it may be decoded (ITU-T T.81, annex B).

Only headers that every decoder understands alike are read. `read_header` gives None for all others, and where libjpeg,
which decodes the pixels, sees another image.
"""

import re
import struct
from collections.abc import Iterable
from typing import NamedTuple

import simplejpeg

_SEGMENT = struct.Struct(">BBH")  # 0xFF, marker, length including itself
_FRAME = struct.Struct(">BHHB")  # bits, height, width, components
_PROGRESSIVE = frozenset((0xC2, 0xCA))  # the second one arithmetic, as 0xC9 and 0xCC below
_FRAMES = _PROGRESSIVE | {0xC0, 0xC1, 0xC9}
_APP1, _APP2 = 0xE1, 0xE2
_TOLD = _FRAMES | {_APP1, _APP2}
# tables of codes and quantization, the restart interval, comments, and application segments that say nothing here
_SKIPPED = frozenset((0xC4, 0xCC, 0xDB, 0xDD, 0xFE, 0xE0, *range(0xE3, 0xF0)))
_SCAN = 0xDA
_MAX_FILL = 64  # bytes 0xFF that may stand before markers, in all; encoders write none or one
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_COMPONENTS = {"Gray": 1, "YCbCr": 3, "RGB": 3, "CMYK": 4, "YCCK": 4}  # of each color space of libjpeg
# Pillow takes seconds for megabytes of fill bytes or of markers without content, which no encoder writes
_FLOOD = re.compile(rb"\xff{1024}|(?:\xff+[\x00\x01\xd0-\xd9]){512}")


class Metadata(NamedTuple):
    """What application segments say of a photo, put together from several where needed."""

    exif: bytes | None  # from "Exif" on
    xmp: bytes | None
    profile: bytes | None  # ICC profile; None where one of its segments is missing


_NO_METADATA = Metadata(None, None, None)


class Header(NamedTuple):
    """What stands before the first scan."""

    width: int  # pixels, before any orientation
    height: int  # pixels
    bits: int  # per channel
    components: int  # 1 gray, 3 color, 4 CMYK
    is_progressive: bool  # in any number of scans, each of which visits every block
    metadata: Metadata


_MEMORABLE = 4096  # bytes of a header


class _Last:
    """The header that was read last. Of the 60 us that decoding a JPEG of 64x64 takes, it saves 9 us."""

    # its bytes including the header of the first scan, how many of them decide everything but the tables, the result
    read: tuple[bytes, int, Header | None] = (b"", 0, None)  # one tuple, so that threads never see parts of two headers


def read_header(data: bytes | memoryview) -> Header | None:
    """The header of a JPEG; None where the bytes are no JPEG, or where decoders might disagree about it.

    Files of one encoder often begin with the very same bytes, which are not read twice in a row.
    """
    known, decided, header = _Last.read
    if header is not None:
        head = bytes(data[: len(known)])
        if head == known:
            return header
        if head[:decided] == known[:decided] and (rest := _walk(data, decided)) and not rest[0]:
            return header  # only the tables differ, whose damage the decoder notices
    header, decided, end = parse(data)
    if header is None or not is_confirmed(data, header):
        return None
    if end <= _MEMORABLE:
        _Last.read = bytes(data[:end]), decided, header
    return header


def parse(data: bytes | memoryview) -> tuple[Header | None, int, int]:
    """The header before libjpeg confirms it; where only tables follow; where the first scan's header ends."""
    nothing = None, 0, 0
    walked = _walk(data, 2) if bytes(data[:2]) == b"\xff\xd8" else None
    if walked is None:
        return nothing
    segments, scan = walked
    frames = [segment for segment in segments if segment[0] in _FRAMES]
    if len(frames) != 1:
        return nothing
    marker, start, end = frames[0]
    if end - start < _FRAME.size:
        return nothing
    bits, height, width, components = _FRAME.unpack_from(data, start)
    if end - start != _FRAME.size + 3 * components:
        return nothing
    metadata = _NO_METADATA
    if len(segments) > 1:
        metadata = gather([(kind & 15, bytes(data[start:end])) for kind, start, end in segments if kind not in _FRAMES])
    return Header(width, height, bits, components, marker in _PROGRESSIVE, metadata), segments[-1][2], scan


def _walk(data: bytes | memoryview, position: int) -> tuple[list[tuple[int, int, int]], int] | None:
    """Frames, APP1 and APP2 (marker, start and end of the content), and where the header of the first scan ends."""
    segments: list[tuple[int, int, int]] = []
    fill, last = 0, len(data) - _SEGMENT.size
    while position <= last:
        prefix, marker, length = _SEGMENT.unpack_from(data, position)
        if prefix != 0xFF:
            return None
        if marker in _SKIPPED and length >= 2:
            position += 2 + length
        elif marker == _SCAN:
            return segments, position + 2 + length  # libjpeg reads the header of the scan too
        elif marker == 0xFF and fill < _MAX_FILL:
            position, fill = position + 1, fill + 1
        elif marker in _TOLD and length >= 2:
            segments.append((marker, position + _SEGMENT.size, position + 2 + length))
            position += 2 + length
        else:
            return None
    return None


def gather(segments: Iterable[tuple[int, bytes]]) -> Metadata:
    """Metadata of the application segments (number, content) of a JPEG, in their order, as Pillow joins them."""
    xmp, exif, parts = None, [], []
    for number, content in segments:
        if number == 1 and content.startswith(_EXIF):
            exif.append(content[len(_EXIF) :])
        elif number == 1 and content.startswith(_XMP):
            xmp = content[len(_XMP) :]
        elif number == 2 and content.startswith(_ICC) and len(content) > len(_ICC) + 1:
            parts.append(content[len(_ICC) :])
    parts.sort(key=lambda part: part[0])
    is_whole = all(part[0] == number and part[1] == len(parts) for number, part in enumerate(parts, 1))
    profile = b"".join(part[2:] for part in parts) if parts and is_whole else None
    return Metadata(_EXIF + b"".join(exif) if exif else None, xmp, profile)


def is_confirmed(data: bytes | memoryview, header: Header) -> bool:
    """Whether libjpeg reads the same size and number of components; takes it two microseconds."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return False
    return (header.width, header.height, header.components) == (width, height, _COMPONENTS.get(space))


def without_broken_profile(data: bytes | memoryview) -> bytes | None:
    """A JPEG without its ICC profile, where libjpeg takes missing parts of that for damage to the image; else None."""
    try:
        simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        if "ICC" in str(error):
            return bytes(data).replace(_ICC, _ICC.lower())  # a name that nobody knows
    return None


def is_flooded(data: bytes | memoryview) -> bool:
    """Whether Pillow would walk through megabytes of fill bytes, one by one; where `read_header` says None."""
    return _FLOOD.search(data) is not None


def count_scans(data: bytes | memoryview) -> int:
    """Scans of a JPEG and of any preview in it; no other data can hold the marker."""
    return bytes(data).count(bytes((0xFF, _SCAN)))
