"""Notices what Pillow forgives in a PNG: pixels that are damaged, or end before the last row.

After the PNG specification, chapters 5 to 8, and RFC 1950, whose checksum over all pixels Pillow does not wait for.
"""

import struct
import zlib
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")  # length of the content, type
_CHECKSUM = struct.Struct(">I")
_HEADER = struct.Struct(">IIBBxxB")  # width, height, bits, colour type, interlacing
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
_PIECE = 1 << 16  # bytes unpacked at once


def check_pixels(data: bytes | memoryview) -> None:
    """Unpack the pixels of a PNG whose header Pillow has accepted, keeping none.

    Raises:
        ValueError, zlib.error: they are truncated, or do not match a checksum.
    """
    width, height, bits, colour_type, interlacing = _HEADER.unpack_from(data, len(_SIGNATURE) + _CHUNK.size)
    expected = height * (1 + -(-width * bits * _CHANNELS[colour_type] // 8))  # bytes; a row starts with its filter
    found, inflater = 0, zlib.decompressobj()
    for packed in _pixel_chunks(data):
        while packed and found <= expected and not inflater.eof:
            found += len(inflater.decompress(packed, _PIECE))
            packed = inflater.unconsumed_tail
    if not inflater.eof and found <= expected:
        raise ValueError("truncated")
    if found < expected and not interlacing:  # seven small images have other sums, and Pillow notices it there
        raise ValueError("truncated: rows are missing")


def _pixel_chunks(data: bytes | memoryview) -> Iterator[bytes | memoryview]:
    position = len(_SIGNATURE)
    while position + _CHUNK.size <= len(data):
        length, kind = _CHUNK.unpack_from(data, position)
        start, end = position + _CHUNK.size, position + _CHUNK.size + length
        position = end + _CHECKSUM.size
        if kind == b"IDAT":
            yield data[start:end]
            if position > len(data):
                raise ValueError("truncated")
            if zlib.crc32(data[start:end], zlib.crc32(kind)) != _CHECKSUM.unpack_from(data, end)[0]:
                raise ValueError("a chunk does not match its checksum")
