"""Reading photos: the network sees what the policy gives; gray, alpha and 16 bits are kept beside it."""

import io
import struct
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from colorize.photos import deep
from colorize.photos import photo as photos
from colorize.sharding import images
from colorize.sharding.silence import silence
from tests.helpers.odd_images import encoded, oriented, photo, with_alpha, without_alpha
from tests.sharding.test_kinds import KINDS

LEVELS = (np.arange(64 * 48, dtype=np.uint16) * 21).reshape(48, 64)
LEVELS[0] = np.arange(64) * (4 * 257)
DEEP = Pillow.fromarray(LEVELS)


def with_channels(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_sees_what_the_policy_gives_and_the_same_files_are_rejected(kind):
    data, _ = KINDS[kind]
    try:
        expected, _ = images.open_with_note(data)
    except images.Reject as reject:
        with pytest.raises(images.Reject, match=f"^{reject.reason}$"):
            photos.read(data)
        return
    found = photos.read(data)
    assert np.array_equal(with_channels(found.seen()), np.asarray(expected))
    assert found.pixels.flags.c_contiguous and found.pixels.dtype in (np.uint8, np.uint16)
    assert found.pixels.shape[:2] == found.seen().shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_pixels_are_upright(format, mode, orientation):
    data = encoded(format, photo(40, 24).convert(mode), exif=oriented(orientation))
    found = photos.read(data)
    assert np.array_equal(with_channels(found.seen()), np.asarray(images.open_rgb(data)))
    assert found.pixels.shape[:2] == ((24, 40) if orientation < 5 else (40, 24))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000"])
def test_a_photo_without_color_has_one_channel(format):
    options = {"lossless": True} if format == "WEBP" else {}
    assert photos.read(encoded(format, photo().convert("L"), **options)).pixels.shape == (64, 64)
    assert photos.read(encoded(format, photo(), **options)).pixels.shape == (64, 64, 3)


def test_a_color_in_a_single_pixel_is_kept():
    picture = photo().convert("L").convert("RGB")
    picture.putpixel((63, 62), (9, 9, 10))
    assert photos.read(encoded("PNG", picture)).pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_a_gray_photo_keeps_its_16_bits(format):
    found = photos.read(encoded(format, DEEP))
    assert found.pixels.dtype == np.uint16 and found.note is None
    assert np.array_equal(found.pixels, LEVELS)


def test_the_levels_of_12_bits_use_the_whole_range():
    data = b"P5 64 48 4095\n" + (LEVELS >> 4).astype(">u2").tobytes()
    expected = np.rint((LEVELS >> 4) * (65535 / 4095))
    assert np.abs(photos.read(data).pixels - expected).max() <= 1


def test_16_bits_are_turned_and_a_transparent_level_becomes_alpha():
    turned = photos.read(encoded("PNG", DEEP, exif=oriented(6)))
    assert np.array_equal(turned.pixels, np.rot90(LEVELS, -1)) and turned.note == "orientation applied"
    found = photos.read(encoded("PNG", DEEP, transparency=2100))
    assert found.alpha.dtype == np.uint16
    assert np.array_equal(found.alpha, np.where(LEVELS == 2100, 0, 65535))


def gray_profile(curve: bytes) -> bytes:
    """A gray profile of version 2 with one curve."""
    curve += bytes(-len(curve) % 4)
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)
    start = 128 + 4 + 2 * 12
    tags = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", start, len(white))
    tags += b"kTRC" + struct.pack(">II", start + len(white), len(curve))
    head = struct.pack(">I4xI12s12x4s", start + len(white) + len(curve), 0x02400000, b"mntrGRAYXYZ ", b"acsp")
    return head.ljust(68, b"\0") + white[8:].ljust(60, b"\0") + tags + white + curve


def curve_of(*values: int) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def parametric(function: int, *values: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(f">Hxx{len(values)}i", function, *(round(65536 * value) for value in values))


CURVES = {
    "gamma 1.8": curve_of(round(1.8 * 256)),
    "a table": curve_of(*(round(65535 * (n / 99) ** 2.4) for n in range(100))),
    "parametric, gamma": parametric(0, 2.2),
    "parametric, with a break": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
}


@pytest.mark.parametrize("curve", CURVES)
def test_a_gray_profile_is_applied_to_16_bits(curve):
    profile = gray_profile(CURVES[curve])
    table, _ = deep.to_srgb(profile)
    assert table is not None and (np.diff(table.astype(int)) >= 0).all()
    data = encoded("PNG", DEEP, icc_profile=profile)
    found, expected = photos.read(data), np.asarray(images.open_rgb(data)).astype(int)
    assert found.pixels.dtype == np.uint16 and found.note == "color profile converted"
    is_exact = LEVELS % 257 == 0  # reducing other levels to 8 bits before the conversion adds up to half a level
    assert np.abs(with_channels(found.seen()) - expected)[is_exact].max() <= 1
    assert np.abs(with_channels(found.seen()) - expected).max() <= 2
    assert len(np.unique(found.pixels)) > 2000  # of 3072 levels; 8 bits have 256


def test_a_profile_that_cannot_be_applied_to_16_bits_reduces_them():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(photos.read(encoded("PNG", DEEP, icc_profile=srgb)).pixels, LEVELS)
    unusable = photos.read(encoded("PNG", DEEP, icc_profile=b"junk"))
    assert np.array_equal(unusable.pixels, LEVELS) and unusable.note == "unusable color profile ignored"
    data = encoded("PNG", DEEP, icc_profile=gray_profile(curve_of()))  # linear: ImageCms is inexact near black
    found = photos.read(data)
    assert found.pixels.dtype == np.uint8 and found.note == "reduced to 8 bits, color profile converted"
    assert np.array_equal(with_channels(found.seen()), np.asarray(images.open_rgb(data)))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_kept_beside_the_pixels(format):
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    picture = with_alpha(128)
    found = photos.read(encoded(format, picture, **options))
    assert np.array_equal(np.dstack([found.pixels, found.alpha]), np.asarray(picture))
    assert found.note is None


def test_opaque_and_empty_alpha_are_no_alpha():
    assert photos.read(encoded("PNG", photo().convert("RGBA"))).alpha is None
    empty = photos.read(encoded("PNG", without_alpha()))
    assert empty.alpha is None and empty.note == "empty alpha ignored"


def test_the_limit_of_pixels_is_an_argument_and_may_exceed_that_of_pillow(monkeypatch):
    files = [encoded(format) for format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")]
    files += [
        encoded("TIFF", compression="tiff_lzw"),
        encoded("TIFF", exif=oriented(6)),
        encoded("JPEG", progressive=True),
    ]
    expected = [photos.read(data).pixels for data in files]
    for data in files:
        with pytest.raises(images.Reject, match=images.TOO_LARGE):
            photos.read(data, 64 * 64 - 1)
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 64 * 16)
    for data, pixels in zip(files, expected, strict=True):
        if data[:4] != b"RIFF":  # Pillow has its own check inside its reader of WebPs
            assert np.array_equal(photos.read(data, 64 * 64).pixels, pixels)
    assert Pillow.MAX_IMAGE_PIXELS == 64 * 16


def test_a_higher_limit_of_pixels_allows_larger_files():
    assert images.limits() == images.limits(1000)._replace(pixels=images.MAX_PIXELS)
    assert images.limits(4 * images.MAX_PIXELS).bytes == 4 * images.MAX_BYTES


def test_threads_read_the_same_and_leave_the_filters_of_warnings_as_they_were():
    data = [encoded("PNG"), encoded("JPEG", exif=oriented(6)), encoded("TIFF"), encoded("WEBP")] * 8
    expected, filters = [photos.read(one).pixels for one in data], list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: photos.read(one).pixels, data))
    assert all(map(np.array_equal, found, expected))
    assert warnings.filters == filters


def test_warnings_are_hidden_until_the_last_thread_has_left():
    inside, leave, filters = threading.Event(), threading.Event(), list(warnings.filters)

    def other() -> None:
        with silence():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with silence():
        thread.start()
        assert inside.wait(10)
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn("hidden", stacklevel=1)
    leave.set()
    thread.join(10)
    assert not seen and warnings.filters == filters


# --- arrays and images of Pillow -------------------------------------------------------------------------------------


def test_arrays_and_images_of_the_caller():
    rgb = np.asarray(photo(40, 24))
    for image in (rgb, rgb[..., 0], rgb[::-1, ::2], LEVELS, LEVELS.astype(">u2")):
        found = photos.from_pixels(image)
        assert np.array_equal(found.pixels, image) and found.pixels.flags.c_contiguous and found.pixels.dtype.isnative
        assert (found.alpha, found.format, found.sha256, found.note) == (None, "", "", None)
    picture = with_alpha(100)
    found = photos.from_pixels(picture)
    assert np.array_equal(np.dstack([found.pixels, found.alpha]), np.asarray(picture))
    assert photos.from_pixels(without_alpha("LA")).alpha is None
    turned = Pillow.open(io.BytesIO(encoded("JPEG", photo(40, 24), exif=oriented(6))))
    assert photos.from_pixels(turned).pixels.shape == (40, 24, 3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3)), "array .* of float64"),
        (np.zeros((4, 4, 3), np.uint16), "array .* of uint16"),
        (np.zeros((4, 4, 4), np.uint8), "array"),
        (np.zeros((0, 4), np.uint8), "array"),
        ("photo.jpg", "str: expected"),
        (Pillow.new("CMYK", (4, 4)), "image of mode CMYK"),
        (Pillow.open(io.BytesIO(encoded("JPEG")[:-300])), "cannot be decoded"),
    ],
)
def test_other_images_of_the_caller_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        photos.from_pixels(image)
