"""An AVIF is decoded only if the pictures in it, not only the size beside them, are small enough."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from colorize.sharding import avif, images
from tests.fuzz import samples

PHOTO = samples.photo("china")


def encoded(picture: Image.Image, **options) -> bytes:
    return samples.encoded(picture, "AVIF", speed=10, **options)


def with_alpha(picture: Image.Image) -> Image.Image:
    picture = picture.convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


@pytest.mark.parametrize("size", [(16, 300), (300, 17), (48, 40)])
def test_the_size_of_every_picture_is_read(size):
    assert avif.read_sizes(encoded(PHOTO.resize(size))) == [size]
    assert avif.read_sizes(memoryview(encoded(with_alpha(PHOTO.resize(size))))) == [size, size]


def header(width: int, height: int) -> bytes:
    """The sequence header of AV1 in its long form, with one operating point."""
    bits = "000" + "1" + "0" + "0" + "0" + "00000" + "0" * 12 + "01000" + "0" + "1111" + "1111"
    bits += f"{width - 1:016b}{height - 1:016b}" + "0" * 30
    bits = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return int(bits, 2).to_bytes(len(bits) // 8)


def test_the_long_header_of_a_stream_is_read_too():
    content = header(1234, 567)
    assert avif._size_in_header(content) == (1234, 567)
    stream = bytes((0x12, 0, 0x0A, len(content))) + content
    assert avif._sizes_in(stream) == [(1234, 567)]


def claiming(data: bytes, width: int, height: int) -> bytes:
    """Another size beside the picture."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def test_a_picture_that_is_larger_than_its_stated_size_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 2 * 48 * 40)
    data = encoded(PHOTO)
    assert images.decode(data, 32).note is None
    large = claiming(encoded(PHOTO.resize((96, 80))), 48, 40)
    assert Image.open(io.BytesIO(large)).size == (48, 40)
    monkeypatch.setattr("PIL.AvifImagePlugin.AvifImageFile.load", lambda photo: pytest.fail("decoded"))
    for read in (lambda data: images.decode(data, 32), images.open_rgb):
        with pytest.raises(images.Reject, match=images.TOO_LARGE):
            read(large)


def test_a_huge_size_is_refused():
    with pytest.raises(images.Reject, match=images.TOO_LARGE):
        images.decode(claiming(encoded(PHOTO), 12_000, 12_000), 64)


def test_damaged_and_cut_files_are_refused_or_read():
    data = encoded(with_alpha(PHOTO))
    rng = np.random.default_rng(0)
    for cut in range(0, 300, 7):
        with pytest.raises(images.Reject):
            images.open_rgb(data[:cut])
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.integers(400)] = rng.integers(256)
        try:
            images.decode(bytes(damaged), 64)
        except images.Reject as reject:
            assert reject.reason in images.REASONS


MOVIE = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0\0\0\x10moov\0\0\0\x08mvhd"


@pytest.mark.parametrize("behind", [MOVIE, encoded(PHOTO)[:200], b"\0\0\0\5moov", b"\0\0\0\1mdat", b"by a camera" * 9])
def test_what_follows_the_picture_is_not_read(behind):
    data = encoded(PHOTO)
    assert np.array_equal(images.decode(data + behind, 32).rgb, images.decode(data, 32).rgb)


def test_a_small_picture_behind_a_large_one_does_not_hide_its_size(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 2 * 48 * 40)
    large = claiming(encoded(PHOTO.resize((96, 80))), 48, 40)
    with pytest.raises(images.Reject, match=images.TOO_LARGE):
        images.open_rgb(large + encoded(PHOTO))
