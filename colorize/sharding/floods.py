"""Detect image files with floods: thousands of parts without pixels, which take Pillow minutes to read.

No encoder writes such files. The check takes microseconds for a normal file.
"""

import re
import struct

from colorize.sharding import jpeg

MAX_CHUNKS = 100_000  # of a PNG; one of 256 MiB in chunks of 8 KiB has a third of that
MAX_SEGMENTS = 5_000  # of metadata in a JPEG; an ICC profile has at most 255
_PPM_HEAD = 4096  # bytes; comments before the size and the largest value may not be longer

_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")  # length of the content, type
# Of a GIF: empty extensions, and extensions in blocks of one byte. Each begins with a fixed byte, so `re` is fast.
_EXTENSIONS = (re.compile(rb"!.\x00(?:!.\x00){1024}", re.DOTALL), re.compile(rb"\x01.(?:\x01.){4096}", re.DOTALL))
_NO_MARKER = re.compile(rb"\xff\xd8[^\xff]{4096}")  # of a JPEG: the first marker does not follow
_SIZE = re.compile(rb"P[1-7](?:\s|#[^\r\n]*[\r\n])+(?:\d+(?:\s|#[^\r\n]*[\r\n])+){2}")


def is_flooded(data: bytes | memoryview) -> bool:
    """Whether a file is a PNG, GIF, JPEG or PPM with a flood."""
    head = bytes(data[:8])
    if head == _PNG:
        return _has_many_chunks(data)
    if head[:4] == b"GIF8":
        return any(pattern.search(data) for pattern in _EXTENSIONS)
    if head[:2] == b"\xff\xd8":
        if _NO_MARKER.match(data) or jpeg.is_flooded(data):
            return True
        content = bytes(data)
        return content.count(b"\xff\xe1") + content.count(b"\xff\xe2") > MAX_SEGMENTS
    is_ppm = re.match(rb"P[1-7][\s#]", head) and len(data) > _PPM_HEAD
    return bool(is_ppm) and not _SIZE.match(bytes(data[:_PPM_HEAD]))


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
