"""The pixels of a PNG are whole and match their checksums, or the file is refused; nothing is kept in memory."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from colorize.sharding import png


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def written(packed: bytes, width=40, height=30, interlacing=0) -> bytes:
    """An RGB PNG around a compressed stream, in chunks of 50 bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlacing))
    parts = [chunk(b"IDAT", packed[start : start + 50]) for start in range(0, len(packed), 50)]
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(parts) + chunk(b"IEND", b"")


ROWS = np.random.default_rng(0).integers(0, 256, (30, 1 + 40 * 3), dtype=np.uint8).tobytes()
PACKED = zlib.compress(ROWS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 33])
def test_sound_files_pass_whatever_their_rows_are_made_of(mode, width):
    file = io.BytesIO()
    Image.new(mode, (width, 5)).save(file, "PNG")
    png.check_pixels(file.getvalue())
    png.check_pixels(memoryview(file.getvalue()))


def test_more_pixels_than_needed_are_no_harm():
    png.check_pixels(written(zlib.compress(ROWS + bytes(100_000))))


@pytest.mark.parametrize("missing", [1, 121, 1000])
def test_rows_that_are_missing_from_a_sound_stream_are_noticed(missing):
    with pytest.raises(ValueError, match="truncated"):
        png.check_pixels(written(zlib.compress(ROWS[:-missing])))


@pytest.mark.parametrize("missing", [1, 4, 5, 100])
def test_a_stream_that_ends_early_is_noticed_even_where_all_rows_are_there(missing):
    with pytest.raises(ValueError, match="truncated"):
        png.check_pixels(written(PACKED[:-missing]))


def test_a_file_cut_in_the_pixels_is_noticed():
    whole = written(PACKED)
    with pytest.raises(ValueError, match="truncated"):
        png.check_pixels(whole[: len(whole) // 2])


def test_every_flip_in_the_pixels_is_noticed():
    whole = written(PACKED)
    for place in range(33 + 8, len(whole) - 12, 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        with pytest.raises((ValueError, zlib.error)):
            png.check_pixels(bytes(damaged))


def test_a_damaged_stream_under_right_chunk_checksums_is_noticed():
    with pytest.raises(zlib.error):
        png.check_pixels(written(PACKED[:-1] + bytes([PACKED[-1] ^ 1])))


def test_a_bomb_is_unpacked_no_further_than_the_last_row():
    packed = zlib.compress(bytes(50_000_000), 9)
    data = written(packed)
    tracemalloc.start()
    png.check_pixels(data)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
