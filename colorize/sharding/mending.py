"""Mend JPEGs that libjpeg complains about although none of their pixels is lost (ITU-T T.81, annex B).

Cameras and scanners write such files, and viewers show them: with bytes before a marker, with padding or a trailer
behind the pixels, without the end mark, with a newer version of JFIF, or with parameters that decoders ignore. `mend`
returns a file without these oddities. This file must then pass all checks of an ordinary JPEG, so a file whose pixels
are damaged or missing is still refused.
"""

import bisect
import re
import struct
import zlib
from typing import NamedTuple

import simplejpeg

_START, _END = b"\xff\xd8", b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff]")  # what precedes it in a header is skipped by decoders
_MARKER_BEHIND_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # the pixels contain escaped 0xFF and restart markers
_SEQUENTIAL, _PROGRESSIVE = frozenset((0xC0, 0xC1)), frozenset((0xC2,))
_FRAMES = _SEQUENTIAL | _PROGRESSIVE
_SCAN, _JFIF, _ADOBE = 0xDA, 0xE0, 0xEE
# Huffman tables, quantization tables, restart interval, comments and application segments
_OTHERS = frozenset((0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)))
_MAX_SEGMENTS = 1024  # of the header of a file that is mended; most photos have about ten
_MAX_BEHIND = 64  # segments from the first scan on, which limits the number of scans; encoders write about 20
_TRANSFORMS = {3: (0, 1), 4: (0, 2)}  # number of components -> color transforms of Adobe that libjpeg knows
_COEFFICIENTS = 64  # of a block

_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_PREFETCHED = 8  # bytes that libjpeg may have read behind the pixels and does not count as left over
_FEW = 4  # bytes
_INCOMPRESSIBLE = 0.9
_ZLIB_OVERHEAD = 8  # bytes
_SAMPLE = 1 << 16  # bytes of a trailer that are examined
_TEXT, _SHORT_TEXT = (re.compile(rb"[\t\n\r -~]{%d}" % length) for length in (12, 8))


class _Frame(NamedTuple):
    is_progressive: bool
    components: bytes  # identifiers


class _Segment(NamedTuple):
    marker: int
    content: bytes
    end: int  # position in the file

    def encode(self) -> bytes:
        return struct.pack(">BBH", 0xFF, self.marker, len(self.content) + 2) + self.content


def mend(data: bytes | memoryview) -> bytes | None:
    """Write a JPEG again, up to the scan that completes its pixels, without the oddities of its header.

    The pixels are not decoded, so the result may still be damaged, or have bytes behind its pixels (see
    `without_filler`). The picture of the result may have another size than decoders read in `data`.

    Returns:
        The new file, or None if the file ends before its pixels are complete, or has other oddities.
    """
    walked = _walk_header(data)
    if walked is None:
        return None
    segments, frame, segment = walked
    parts = [_START, *(_mended(segment, frame).encode() for segment in segments)]
    missing = _Missing(frame)
    for _ in range(_MAX_BEHIND):
        parts.append(_mended(segment, frame).encode())
        end = segment.end
        if segment.marker == _SCAN:
            if not missing.add(segment.content):
                return None
            found = _MARKER_BEHIND_SCAN.search(data, segment.end)
            end = found.start() if found else len(data)
            parts.append(bytes(data[segment.end : end]))
            if not missing or bytes(data[end : end + 2]) == _END:
                return b"".join([*parts, _END])
        following = _read_segment(data, end)
        if following is None or following.marker not in _OTHERS | {_SCAN}:
            return None
        segment = following
    return None


def _walk_header(data: bytes | memoryview) -> tuple[list[_Segment], _Frame, _Segment] | None:
    """The segments up to the first scan, the frame, and the segment of the first scan."""
    segments: list[_Segment] = []
    frame, position = None, len(_START)
    for _ in range(_MAX_SEGMENTS):
        segment = _read_segment(data, position)
        if segment is None:
            return None
        if segment.marker == _SCAN:
            return None if frame is None else (segments, frame, segment)
        if segment.marker in _FRAMES and frame is None and len(segment.content) >= 6:
            frame = _Frame(segment.marker in _PROGRESSIVE, segment.content[6::3])
        elif segment.marker not in _OTHERS:
            return None
        segments.append(segment)
        position = segment.end
    return None


def _read_segment(data: bytes | memoryview, position: int) -> _Segment | None:
    """The next segment behind a position; None if there is none, or if it is truncated."""
    found = _MARKER.search(data, position)
    head = bytes(data[found.start() : found.start() + 4]) if found else b""
    if found is None or len(head) < 4:
        return None
    length = int.from_bytes(head[2:])
    end = found.start() + 2 + length
    if length < 2 or end > len(data):
        return None
    return _Segment(head[1], bytes(data[found.start() + 4 : end]), end)


def _mended(segment: _Segment, frame: _Frame) -> _Segment:
    """A segment with the values that libjpeg assumes instead of those that it does not know."""
    marker, content, _ = segment
    known = _TRANSFORMS.get(len(frame.components), ())
    if marker == _JFIF and content[:5] == b"JFIF\0" and len(content) >= 14:
        content = content[:5] + b"\1" + content[6:]  # major version
    elif marker == _ADOBE and content[:5] == b"Adobe" and len(content) >= 12 and known and content[11] not in known:
        content = content[:11] + bytes(known[1:]) + content[12:]
    elif marker == _SCAN and not frame.is_progressive and len(content) >= 3:
        content = content[:-3] + bytes((0, _COEFFICIENTS - 1, 0))
    return segment._replace(content=content)


class _Missing:
    """The bits of the coefficients that no scan has given so far; false if there are none."""

    def __init__(self, frame: _Frame):
        self._frame = frame
        never = 255
        self._shifts = {component: [never] * _COEFFICIENTS for component in frame.components}

    def add(self, scan: bytes) -> bool:
        """Note what the header of a scan announces; returns whether the header makes sense."""
        count = scan[0] if scan else 0
        if len(scan) != 4 + 2 * count or not set(scan[1:-3:2]) <= self._shifts.keys():
            return False
        first, last, shift = (scan[-3], scan[-2], scan[-1] & 15) if self._frame.is_progressive else (0, 63, 0)
        if not first <= last < _COEFFICIENTS:
            return False
        for component in scan[1:-3:2]:
            self._shifts[component][first : last + 1] = [shift] * (last + 1 - first)
        return True

    def __bool__(self) -> bool:
        return any(map(any, self._shifts.values()))


def without_filler(mended: bytes, components: int) -> bytes | None:
    """Remove bytes behind the pixels that cannot be pixels. This decodes the file several times, at 1/8 of its size.

    Bytes are also left over if pixels are damaged, and then these bytes are pixels. Pixels are compressed data, so
    bytes that can be compressed further, or that contain text, are padding or a trailer. Up to 4 bytes are always
    removed. If the decoder has used a part of the padding or trailer as pixels, then pixels are missing.

    Args:
        mended: a result of `mend` whose size and number of scans have been checked.
        components: 1 gray, 3 color, 4 CMYK.

    Returns:
        The file without these bytes, or None if pixels are damaged or missing.
    """
    end = len(mended) - len(_END)
    stop = end
    for _ in range(3):  # libjpeg counts an escaped 0xFF as one byte or two, so it may report more bytes the next time
        complaint = _complaint(mended[:stop] + _END, components)
        if complaint is None:
            break
        found = _LEFT_OVER.search(complaint)
        stop = stop - int(found[1]) if found else 0
        if stop <= 0:
            return None
    else:
        return None
    candidates = range(max(stop - _PREFETCHED, 0), stop + 1)
    first = bisect.bisect_left(candidates, True, key=lambda at: _complaint(mended[:at] + _END, components) is None)
    stop = candidates[first]
    pixels, rest = mended[max(stop - _PREFETCHED, 0) : stop], mended[stop : min(end, stop + _SAMPLE)]
    if rest and (_is_continued(pixels, rest) or not (end - stop <= _FEW or _is_filler(rest))):
        return None
    return mended[:stop] + _END


def _complaint(data: bytes, components: int) -> str | None:
    """What libjpeg complains about; None if it decodes all pixels."""
    try:
        simplejpeg.decode_jpeg(data, "CMYK" if components == 4 else "RGB", min_height=1, min_width=1, strict=True)
    except ValueError as error:
        return str(error)
    return None


def _is_filler(rest: bytes) -> bool:
    is_compressible = len(zlib.compress(rest)) - _ZLIB_OVERHEAD < _INCOMPRESSIBLE * len(rest)
    return is_compressible or _TEXT.search(rest) is not None


def _is_continued(pixels: bytes, rest: bytes) -> bool:
    """Whether the end of the pixels looks like the same padding or text as the rest."""
    is_padding = len(set(rest[:_PREFETCHED])) == 1 and pixels[-1:] == rest[:1]
    return is_padding or _SHORT_TEXT.fullmatch(pixels) is not None
