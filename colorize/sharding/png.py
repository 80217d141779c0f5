"""Read the header of a PNG, and detect pixels that are damaged or end before the last row. Pillow accepts both.

The code follows the PNG specification, chapters 5 to 8, and RFC 1950. Pillow does not check the checksum of RFC 1950
over all pixels.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")  # length of the content, type
_CHECKSUM = struct.Struct(">I")
_HEADER = struct.Struct(">IIBBxxB")  # the fields of `PngHeader`
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # color type -> channels
_PIECE = 1 << 16  # bytes unpacked at once


class PngHeader(NamedTuple):
    """The fields of the chunk IHDR."""

    width: int  # pixels
    height: int  # pixels
    bits: int  # per channel
    color_type: int
    interlacing: int  # 0 for none


def read_header(data: bytes | memoryview) -> PngHeader:
    """The header of a PNG.

    Raises:
        ValueError: the header is not the first chunk, does not have 13 bytes, or is not the only header (Pillow would
            use the last one).
    """
    first = len(_SIGNATURE) + _CHUNK.size
    headers = [(start, length) for kind, start, length in _chunks(data) if kind == b"IHDR"]
    if headers != [(first, 13)] or len(data) < first + 13:
        raise ValueError("not one header at the start")
    return PngHeader(*_HEADER.unpack_from(data, first))


def check_pixels(data: bytes | memoryview) -> None:
    """Check the pixels of a PNG by unpacking them; Pillow must have accepted its header.

    Raises:
        ValueError, zlib.error: the pixels are truncated, or do not match a checksum.
    """
    width, height, bits, color_type, interlacing = read_header(data)
    expected = height * (1 + -(-width * bits * _CHANNELS[color_type] // 8))  # bytes; a row starts with its filter
    found, inflater = 0, zlib.decompressobj()
    for packed in _pixel_chunks(data):
        while packed and found <= expected and not inflater.eof:
            found += len(inflater.decompress(packed, _PIECE))
            packed = inflater.unconsumed_tail
    if not inflater.eof and found <= expected:
        raise ValueError("truncated")
    if found < expected and not interlacing:  # Pillow detects missing rows of interlaced images
        raise ValueError("truncated: rows are missing")


def _chunks(data: bytes | memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and length of the content of each chunk; the last chunk may be truncated."""
    position = len(_SIGNATURE)
    while position + _CHUNK.size <= len(data):
        length, kind = _CHUNK.unpack_from(data, position)
        yield kind, position + _CHUNK.size, length
        if kind == b"IEND":  # decoders ignore what follows
            return
        position += _CHUNK.size + length + _CHECKSUM.size


def _pixel_chunks(data: bytes | memoryview) -> Iterator[bytes | memoryview]:
    for kind, start, length in _chunks(data):
        if kind == b"IDAT":
            end = start + length
            yield data[start:end]
            if end + _CHECKSUM.size > len(data):
                raise ValueError("truncated")
            if zlib.crc32(data[start:end], zlib.crc32(kind)) != _CHECKSUM.unpack_from(data, end)[0]:
                raise ValueError("a chunk does not match its checksum")
