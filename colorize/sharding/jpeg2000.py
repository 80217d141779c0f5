"""Read the header of a JPEG 2000, and detect truncated files (ITU-T T.800, annexes A and I). Pillow checks neither.

Pillow reads the size from the header of the file, but the decoder allocates what the header of the codestream says.
"""

import struct
from typing import NamedTuple

_BOXES = b"\x00\x00\x00\x0cjP  \r\n\x87\n"  # start of a file with boxes; otherwise the file is a codestream
_SIZE = struct.Struct(">4xHHIIIIIIIIH")  # after two markers: length, capabilities, and the fields of the image below
_TILE_PART = struct.Struct(">HHHIBB")  # marker, length, number of the tile, length of the tile part, part, parts
_START, _START_OF_TILE, _END = b"\xff\x4f\xff\x51", 0xFF90, b"\xff\xd9"
_MAX_TILES = 65_535


class Header(NamedTuple):
    """Fields of the main header of the codestream."""

    width: int  # pixels
    height: int  # pixels
    components: int
    bits: int  # largest number per component
    tiles: int
    start: int  # position of the codestream in the file


def read_header(data: bytes | memoryview) -> Header:
    """The header of the codestream.

    Raises:
        ValueError: there is no codestream, or its header is truncated or impossible.
    """
    start = _find_codestream(data)
    if bytes(data[start : start + 4]) != _START or len(data) < start + _SIZE.size:
        raise ValueError("no codestream")
    _, _, right, lower, left, upper, tile_width, tile_height, tile_left, tile_upper, count = _SIZE.unpack_from(
        data, start
    )
    fields = bytes(data[start + _SIZE.size : start + _SIZE.size + 3 * count])  # sign and bits, steps across and down
    if not (left < right and upper < lower and tile_width and tile_height and count) or len(fields) < 3 * count:
        raise ValueError("impossible size")
    tiles = -(-(right - tile_left) // tile_width) * -(-(lower - tile_upper) // tile_height)
    bits = max(field & 127 for field in fields[::3]) + 1
    return Header(right - left, lower - upper, count, bits, tiles, start)


def _find_codestream(data: bytes | memoryview) -> int:
    if bytes(data[:4]) == _START:
        return 0
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if length == 1 and position + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, position + 8)
            header = 16
        if kind == b"jp2c":
            return position + header
        if length < header:
            break
        position += length
    raise ValueError("no codestream")


def check_is_whole(data: bytes | memoryview, header: Header) -> None:
    """Check that all tile parts are in the file.

    Raises:
        ValueError: the codestream is truncated, or a tile is missing.
    """
    position, parts_of = _end_of_main_header(data, header), dict.fromkeys(range(header.tiles), (0, 1))
    while bytes(data[position : position + 2]) != _END:
        if position + _TILE_PART.size > len(data):
            raise ValueError("truncated")
        marker, _, tile, length, part, parts = _TILE_PART.unpack_from(data, position)
        if marker != _START_OF_TILE or tile not in parts_of:
            raise ValueError("damaged tile part")
        if not length:  # the last tile part, which ends before the end mark
            length = len(data) - len(_END) - position
        if length < _TILE_PART.size or position + length > len(data):
            raise ValueError("truncated")
        parts_of[tile] = part + 1, parts or parts_of[tile][1]
        position += length
    if any(seen < expected for seen, expected in parts_of.values()):
        raise ValueError("truncated: tile parts are missing")


def _end_of_main_header(data: bytes | memoryview, header: Header) -> int:
    position = header.start + 2
    while position + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == _START_OF_TILE:
            return position
        if marker < 0xFF00 or length < 2:
            break
        position += 2 + length
    raise ValueError("truncated")
