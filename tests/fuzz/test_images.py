"""Damaged images: a picture of the right shape or one of the fixed reasons, soon; a PNG never with other pixels."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from colorize.sharding import images
from tests.fuzz import samples

SIZE = 32
LIMIT_S = 5.0  # of a single example; they take milliseconds


def photo() -> Image.Image:
    y, x = np.mgrid[0 : 1 : SIZE * 1j, 0 : 1 : SIZE * 1j]
    return Image.fromarray(np.stack([220 - 200 * x, 40 + 150 * y, 20 + 200 * x * y], -1).astype(np.uint8))


def encoded(format: str, mode: str = "RGB", **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    if format in ("JPEG", "WEBP", "PNG"):
        options["exif"] = exif
    file = io.BytesIO()
    photo().convert(mode).save(file, format, **options)
    return file.getvalue()


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FILES = {
    "JPEG": encoded("JPEG"),
    "JPEG, progressive": encoded("JPEG", progressive=True),
    "JPEG, CMYK": encoded("JPEG", "CMYK"),
    "JPEG, ICC profile": encoded("JPEG", icc_profile=PROFILE),
    "PNG": encoded("PNG"),
    "PNG, palette": encoded("PNG", "P", transparency=3),
    "GIF": encoded("GIF", "P"),
    "WebP": encoded("WEBP"),
    "WebP, alpha": encoded("WEBP", "RGBA", lossless=True),
    "TIFF": encoded("TIFF"),
    "TIFF, LZW": encoded("TIFF", compression="tiff_lzw"),
    "TIFF, JPEG": encoded("TIFF", compression="jpeg"),
    "TIFF, 16 bit": samples.files()["other"]["TIFF, 16 bit"],
    "BMP": encoded("BMP"),
    "PPM": encoded("PPM"),
    "AVIF": encoded("AVIF", speed=10),
    "JPEG 2000": encoded("JPEG2000"),
    "JPEG, trailer": encoded("JPEG")[:-2] + b"written by a camera" * 9,
}


def mended(data: bytes) -> bytes:
    """A PNG with right checksums of its chunks again, so that the damage reaches what stands in them."""
    fixed, position = bytearray(data), 8
    while position + 12 <= len(fixed):
        (length,) = struct.unpack_from(">I", fixed, position)
        end = position + 8 + length
        if end + 4 > len(fixed):
            break
        struct.pack_into(">I", fixed, end, zlib.crc32(fixed[position + 4 : end]))
        position = end + 4
    return bytes(fixed)


def decode(data: bytes) -> images.Image | None:
    """What the policy makes of a file; None where it is rejected."""
    started = time.monotonic()
    try:
        image = images.decode(data, SIZE)
    except images.Reject as reject:
        assert reject.reason in images.REASONS
        return None
    finally:
        assert time.monotonic() - started < LIMIT_S
    assert (image.rgb.shape, image.rgb.dtype) == ((SIZE, SIZE, 3), np.uint8)
    return image


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
def test_a_damaged_image_ends_in_a_picture_or_a_reason(mutated, kind, data):
    damaged = data.draw(mutated(FILES[kind]))
    image = decode(damaged)
    if image is not None and kind.startswith("PNG"):
        assert np.array_equal(image.rgb, images.decode(FILES[kind], SIZE).rgb)
    if kind.startswith("PNG"):
        decode(mended(damaged))


@given(data=st.data())
def test_whatever_the_bytes_are_the_policy_has_an_answer(data):
    magic = st.sampled_from(
        [
            b"",
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"RIFF\0\0\0\0WEBP",
            b"\0\0\0\x1cftypavif",
            b"\xff\x4f\xff\x51",
            b"II*\0",
            b"BM",
            b"P6\n",
        ]
    )
    decode(data.draw(magic) + data.draw(st.binary(max_size=300)))
