"""Read the fields of a JPEG's header that decide how it can be decoded (ITU-T T.81, annex B).

Only headers that all decoders read in the same way are accepted. `read_header` returns None for all others. It also
returns None if libjpeg, which decodes the pixels, reads another image size or number of components.
"""

import re
import struct
from collections.abc import Iterable
from typing import NamedTuple

import simplejpeg

MAX_SEGMENTS = 512  # of metadata in a header; an ICC profile has at most 255. Pillow takes a second for 512 of EXIF
_SEGMENT = struct.Struct(">BBH")  # 0xFF, marker, length including itself
_FRAME = struct.Struct(">BHHB")  # bits, height, width, components
_PROGRESSIVE = frozenset((0xC2, 0xCA))  # 0xCA means arithmetic coding, like 0xC9 and 0xCC below
_FRAMES = _PROGRESSIVE | {0xC0, 0xC1, 0xC9}
_APP1, _APP2 = 0xE1, 0xE2
_TOLD = _FRAMES | {_APP1, _APP2}
# tables for entropy coding and quantization, restart interval, comments, and application segments that are not needed
_SKIPPED = frozenset((0xC4, 0xCC, 0xDB, 0xDD, 0xFE, 0xE0, *range(0xE3, 0xF0)))
_SCAN = 0xDA
_MAX_FILL = 64  # largest number of fill bytes 0xFF in a header; encoders write none or one
_EXIF, _XMP, _ICC, _MPF = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0", b"MPF\0"
_COMPONENTS = {"Gray": 1, "YCbCr": 3, "RGB": 3, "CMYK": 4, "YCCK": 4}  # color space in libjpeg -> number
_MARKER = re.compile(rb"\xff[^\x00\xff]")  # what precedes it in a header is skipped by decoders
# Application segments that Pillow cannot read if they end too soon, and that libjpeg then skips: (start)(name)
_SHORT = re.compile(rb"(\xff(?:\xe0\0[\6-\x08]|\xee\0[\7\x08]|\xed..))(JFIF|Adobe|Photoshop 3\.0)", re.DOTALL)
_STANDALONE = frozenset((0x01, *range(0xD0, 0xDA)))  # markers without content
# No encoder writes so many. Pillow takes seconds to read megabytes of fill bytes, or a million of empty segments.
_MAX_SEGMENTS = 4096  # of a header, and markers without content; MAX_BYTES of the longest segments
_MAX_SKIPPED = 1 << 16  # bytes of a header that are in no segment


class Metadata(NamedTuple):
    """Metadata from the application segments; data that spans several segments is joined."""

    exif: bytes | None  # starts with "Exif"
    xmp: bytes | None
    profile: bytes | None  # ICC profile; None if there is none or if one of its segments is missing
    mpf: bytes | None  # index of the pictures in an MPO


_NO_METADATA = Metadata(None, None, None, None)


class Header(NamedTuple):
    """Fields of the header before the first scan."""

    width: int  # pixels, before any orientation
    height: int  # pixels
    bits: int  # per channel
    components: int  # 1 gray, 3 color, 4 CMYK
    is_progressive: bool  # may have any number of scans; each takes a pass over the whole image
    metadata: Metadata


_MEMORABLE = 4096  # bytes of the longest header that is remembered


class _Last:
    """The header that was read last. Decoding a 64x64 JPEG takes 60 us; a remembered header saves 9 us."""

    # the bytes up to the end of the first scan's header; the number of bytes before the final tables; the result
    read: tuple[bytes, int, Header | None] = (b"", 0, None)  # one tuple, so that a thread never mixes two headers


def read_header(data: bytes | memoryview) -> Header | None:
    """Read the header of a JPEG; None if the data is not a JPEG or if decoders may read its header in different ways.

    Files of one encoder often start with the same bytes. If these are the bytes that were read last, they are not
    parsed again.
    """
    known, decided, header = _Last.read
    if header is not None:
        head = bytes(data[: len(known)])
        if head == known:
            return header
        if head[:decided] == known[:decided] and (rest := _walk(data, decided)) and not rest[0]:
            return header  # only the tables differ; the decoder detects damaged tables
    header, decided, end = parse(data)
    if header is None or not is_confirmed(data, header):
        return None
    if end <= _MEMORABLE:
        _Last.read = bytes(data[:end]), decided, header
    return header


def parse(data: bytes | memoryview) -> tuple[Header | None, int, int]:
    """Parse the header of a JPEG, without asking libjpeg to confirm it.

    Returns:
        The header, or None as in `read_header`; the position after which only tables follow; the position at which the
        header of the first scan ends.
    """
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
    """List the segments (marker, start and end of the content) of frames, APP1 and APP2, up to the first scan.

    Also returns the end of the first scan's header. Returns None if the header has an unknown segment or is truncated.
    """
    segments: list[tuple[int, int, int]] = []
    fill, last = 0, len(data) - _SEGMENT.size
    for _ in range(_MAX_SEGMENTS):
        if position > last:
            return None
        prefix, marker, length = _SEGMENT.unpack_from(data, position)
        if prefix != 0xFF:
            return None
        if marker in _SKIPPED and length >= 2:
            position += 2 + length
        elif marker == _SCAN:
            return segments, position + 2 + length  # libjpeg reads the header of the scan too
        elif marker == 0xFF and fill < _MAX_FILL:
            position, fill = position + 1, fill + 1
        elif marker in _TOLD and length >= 2 and len(segments) < MAX_SEGMENTS:
            segments.append((marker, position + _SEGMENT.size, position + 2 + length))
            position += 2 + length
        else:
            return None
    return None


def gather(segments: Iterable[tuple[int, bytes]]) -> Metadata:
    """Join the metadata of application segments (number, content), given in file order, in the same way as Pillow."""
    xmp, mpf, exif, parts = None, None, [], []
    for number, content in segments:
        if number == 1 and content.startswith(_EXIF):
            exif.append(content[len(_EXIF) :])
        elif number == 1 and content.startswith(_XMP):
            xmp = content[len(_XMP) :]
        elif number == 2 and content.startswith(_ICC) and len(content) > len(_ICC) + 1:
            parts.append(content[len(_ICC) :])
        elif number == 2 and content.startswith(_MPF):
            mpf = content[len(_MPF) :]
    parts.sort(key=lambda part: part[0])
    is_whole = all(part[0] == number and part[1] == len(parts) for number, part in enumerate(parts, 1))
    profile = b"".join(part[2:] for part in parts) if parts and is_whole else None
    return Metadata(_EXIF + b"".join(exif) if exif else None, xmp, profile, mpf)


def is_confirmed(data: bytes | memoryview, header: Header) -> bool:
    """Whether libjpeg reads the same size and components as in `header`. This takes two microseconds."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return False
    return (header.width, header.height, header.components) == (width, height, _COMPONENTS.get(space))


def check_header(data: bytes | memoryview) -> bytes | None:
    """Check that libjpeg reads the header of a JPEG without complaint.

    Returns:
        None; or, if libjpeg complains about an incomplete ICC profile, a file in which the profile is hidden.

    Raises:
        ValueError: any other complaint.
    """
    try:
        simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        if "ICC" not in str(error):
            raise
        return bytes(data).replace(_ICC, _ICC.lower())  # decoders ignore the changed name
    return None


def without_short_segments(data: bytes | memoryview) -> bytes:
    """A JPEG in which no decoder knows the names of segments that Pillow may be unable to read, and nobody needs."""
    return _SHORT.sub(lambda found: found[1] + found[2].lower(), bytes(data))


def is_flooded(data: bytes | memoryview) -> bool:
    """Whether a JPEG has more metadata, or more without meaning, before its first scan than any encoder writes."""
    position, skipped, count = 2, 0, 0
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, position, position + _MAX_SKIPPED + 2)
        skipped += (found.start() if found else len(data)) - position
        if skipped > _MAX_SKIPPED:
            return True
        if found is None or found[0][1] == _SCAN:
            return False
        position = found.end()
        count += found[0][1] in (_APP1, _APP2)
        if count > MAX_SEGMENTS:
            return True
        if found[0][1] not in _STANDALONE:
            position += int.from_bytes(data[position : position + 2])
    return True


def count_scans(data: bytes | memoryview) -> int:
    """Count the scans of a JPEG and of its previews, by their marker; compressed pixels cannot contain the marker."""
    return bytes(data).count(bytes((0xFF, _SCAN)))
