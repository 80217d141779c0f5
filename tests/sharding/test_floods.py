"""Floods: thousands of parts without pixels are refused before Pillow reads them, and a trailer is not read."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from colorize.sharding import floods, images

COUNT = 120_000


def encoded(kind: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(content, kind)
    return content.getvalue()


def chunk(kind: bytes) -> bytes:
    return struct.pack(">I", 0) + kind + struct.pack(">I", zlib.crc32(kind))


PNG, GIF, JPEG, JPEG_2000, PPM = (encoded(kind) for kind in ("PNG", "GIF", "JPEG", "JPEG2000", "PPM"))
BOX = b"\0\0\0\x08free"  # an empty one
FLOODS = {
    "PNG, empty chunks": PNG[:33] + chunk(b"teSt") * COUNT + PNG[33:],
    "PNG, empty IDAT": PNG[:33] + chunk(b"IDAT") * COUNT + PNG[33:],
    "PNG, behind the pixels": PNG[:-12] + chunk(b"teSt") * COUNT + PNG[-12:],
    "GIF, empty comments": GIF[:-1] + b"\x21\xfe\0" * COUNT + b";",
    "GIF, short blocks": GIF[:-1] + b"\x21\xfe" + b"\1a" * COUNT + b"\0;",
    "GIF, comments of two bytes": GIF[:-1] + b"\x21\xfe\2ab\0" * COUNT + b";",
    "GIF, short blocks of pixels": GIF[:-2] + b"\1a" * COUNT + b"\0;",
    "GIF, before the picture": GIF[: GIF.index(b",")] + b"\x21\xfe\2ab\0" * COUNT + GIF[GIF.index(b",") :],
    "GIF, zeros between its parts": GIF[:-1] + bytes(COUNT) + b";",
    "JPEG 2000, empty boxes": JPEG_2000[:12] + BOX * COUNT + JPEG_2000[12:],
    "JPEG, empty EXIF": JPEG[:2] + b"\xff\xe1\0\2" * COUNT + JPEG[2:],
    "JPEG, empty profiles": JPEG[:2] + b"\xff\xe2\0\x10ICC_PROFILE\0\1\xff" * COUNT + JPEG[2:],
    "JPEG, zeros": JPEG[:2] + bytes(COUNT) + JPEG[2:],
    "PPM, comment": b"P6\n#" + b"a" * COUNT + PPM[2:],
    "PPM, spaces": b"P6" + b" " * COUNT + PPM[2:],
    "PPM, digits": b"P6 " + b"1" * COUNT + PPM[2:],
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_is_refused_before_it_is_read(kind):
    assert floods.is_flooded(FLOODS[kind])
    with pytest.raises(images.Reject) as caught:
        images.decode(FLOODS[kind], 32)
    assert caught.value.reason == images.DAMAGED


@pytest.mark.parametrize("end", [b"\xff\xd9", b"\xff\xfe\0\2\xff\xd9"])
def test_fill_bytes_before_a_marker_cost_no_time_and_no_pixel(end):
    flood, begun = JPEG[:-2] + b"\xff" * 20_000_000 + end, time.process_time()
    assert np.array_equal(np.asarray(images.open_rgb(flood)), np.asarray(images.open_rgb(JPEG)))
    assert np.array_equal(images.decode(flood, 32).rgb, images.decode(JPEG, 32).rgb)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("kind", ["PNG", "GIF", "JPEG", "JPEG2000", "PPM", "TIFF", "WEBP", "BMP"])
def test_a_normal_file_is_no_flood_and_its_trailer_is_not_read(kind):
    content = encoded(kind)
    for trailer in (b"", bytes(COUNT), b"\xff" * COUNT):  # flash memory that was erased holds 0xFF
        assert not floods.is_flooded(content + trailer)
        images.decode(content + trailer, 32)


def test_the_chunks_behind_the_end_of_a_png_are_not_counted():
    images.decode(PNG + chunk(b"teSt") * COUNT, 32)
