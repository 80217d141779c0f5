"""Detect image files with floods: megabytes of parts without pixels, which take Pillow minutes to read.

No encoder writes such files. The check takes microseconds for a normal file.
"""

import re
import struct

from colorize.sharding import jpeg

MAX_CHUNKS = 100_000  # of a PNG; one of 256 MiB in chunks of 8 KiB has a third of that
MAX_BLOCKS = 100_000  # of a GIF, and one more per 64 bytes; encoders write blocks of 255 bytes
MAX_BOXES = 10_000  # of a JPEG 2000; encoders write about ten
MAX_MARKERS = 5_000  # of metadata in a JPEG and in what follows it, such as a video, whose bytes are arbitrary
_PPM_HEAD = 4096  # bytes; comments before the size and the largest value may not be longer

_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")  # length of the content, type
_FILL = b"\xff" * (1 << 16)  # of a JPEG; more than a segment can contain
_NO_MARKER = re.compile(rb"\xff\xd8[^\xff]{4096}")  # of a JPEG: the first marker does not follow
_END_OF_GIF, _EXTENSION, _PICTURE = b";!,"
_SIZE = re.compile(rb"P[1-7](?:\s|#[^\r\n]*[\r\n])+(?:\d+(?:\s|#[^\r\n]*[\r\n])+){2}")


def is_flooded(data: bytes | memoryview) -> bool:
    """Whether a file is a PNG, GIF, JPEG, JPEG 2000 or PPM with a flood."""
    head = bytes(data[:8])
    if head == _PNG:
        return _has_many_chunks(data)
    if head[:4] == b"GIF8":
        return _has_many_blocks(data)
    if head[4:] == b"jP  ":
        return _has_many_boxes(data)
    if head[:2] == b"\xff\xd8":
        if _NO_MARKER.match(data) or jpeg.is_flooded(data):
            return True
        content = bytes(data)
        return content.count(b"\xff\xe1") + content.count(b"\xff\xe2") > MAX_MARKERS
    is_ppm = re.match(rb"P[1-7][\s#]", head) and len(data) > _PPM_HEAD
    return bool(is_ppm) and not _SIZE.match(bytes(data[:_PPM_HEAD]))


def without_fill_bytes(data: bytes | memoryview) -> bytes | memoryview:
    """A JPEG without long runs of the fill byte 0xFF, which has no meaning before a marker; other files as they are.

    Pillow gives its decoder 64 KiB more at a time, and the decoder then reads all the fill bytes again.
    """
    if len(data) <= len(_FILL) or bytes(data[:2]) != b"\xff\xd8":
        return data
    content = bytes(data)
    return re.sub(rb"\xff{%d,}" % len(_FILL), b"\xff", content) if _FILL in content else data


def _has_many_chunks(data: bytes | memoryview) -> bool:
    position = len(_PNG)
    for _ in range(MAX_CHUNKS):
        if position + _CHUNK.size > len(data):
            return False
        length, kind = _CHUNK.unpack_from(data, position)
        if kind == b"IEND":
            return False
        position += _CHUNK.size + length + 4  # and its checksum
    return True


def _has_many_blocks(data: bytes | memoryview) -> bool:
    """Whether a GIF has many blocks, or bytes between them, before its second picture."""
    position, blocks, pictures = 13 + _length_of_colors(data, 10), 0, 0
    try:
        while blocks <= MAX_BLOCKS + len(data) // 64:
            kind = data[position]
            blocks += 1
            if kind not in (_EXTENSION, _PICTURE):
                position += 1  # as Pillow does
                if kind == _END_OF_GIF:
                    return False
                continue
            if kind == _PICTURE:
                pictures += 1
                if pictures == 2:
                    return False
                position += 9 + _length_of_colors(data, position + 9)
            position += 2
            while size := data[position]:
                position += size + 1
                blocks += 1
            position += 1
    except IndexError:  # the file is truncated
        return False
    return True


def _length_of_colors(data: bytes | memoryview, position: int) -> int:
    """Length of a table of colors, from the flags at a position; a file of a few bytes has none."""
    flags = data[position] if position < len(data) else 0
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _has_many_boxes(data: bytes | memoryview) -> bool:
    """Whether a JPEG 2000 has many boxes, also within its header."""
    position = 0
    for _ in range(MAX_BOXES):
        if position + _CHUNK.size > len(data):
            return False
        length, kind = _CHUNK.unpack_from(data, position)
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16])
        if length == 0 or kind == b"jp2c":  # the pixels, which are the last box that is read
            return False
        position += 8 if kind == b"jp2h" else max(length, 8)
    return True
