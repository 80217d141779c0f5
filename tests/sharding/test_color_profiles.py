"""Color profiles: embedded ones, also of gray pictures, and those made from gamma and primaries of a PNG."""

import io
import struct

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from colorize.sharding import images, profiles
from tests.fuzz.samples import SRGB, chunk, encoded, photo

SRGB_XY = profiles._SRGB_CHROMATICITIES
ADOBE_XY = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def from_linear(linear: np.ndarray) -> np.ndarray:
    """Levels of sRGB (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def to_xyz(chromaticities: tuple[float, ...]) -> np.ndarray:
    """Matrix from linear RGB to XYZ, by the white at Y = 1."""
    xy = np.reshape(chromaticities, (4, 2))
    xyz = np.stack([xy[:, 0], xy[:, 1], 1 - xy.sum(1)]) / xy[:, 1]
    return xyz[:, 1:] * np.linalg.solve(xyz[:, 1:], xyz[:, 0])


def png_with(picture: Pillow.Image, **chunks: bytes) -> bytes:
    data = encoded(picture, "PNG")
    return data[:33] + b"".join(chunk(name.encode(), content) for name, content in chunks.items()) + data[33:]


def gama(gamma: float) -> bytes:
    return struct.pack(">I", round(gamma * 100_000))


def chrm(chromaticities: tuple[float, ...]) -> bytes:
    return struct.pack(">8I", *(round(value * 100_000) for value in chromaticities))


def opened(data: bytes) -> np.ndarray:
    return np.asarray(images.open_rgb(data), float)


@pytest.mark.parametrize("gamma", [1.0, 0.55556, 0.35])
def test_gamma_is_honored(gamma):
    levels = np.asarray(photo("china"), float)
    expected = from_linear((levels / 255) ** (1 / gamma))
    assert np.abs(opened(png_with(photo("china"), gAMA=gama(gamma))) - expected).max() < 2


def test_primaries_are_honored():
    muted = Pillow.blend(photo("china"), Pillow.new("RGB", photo("china").size, "gray"), 0.6)
    linear = (np.asarray(muted) / 255) ** 2.2
    expected = from_linear(linear @ (np.linalg.inv(to_xyz(SRGB_XY)) @ to_xyz(ADOBE_XY)).T)
    assert np.abs(opened(png_with(muted, gAMA=gama(1 / 2.2), cHRM=chrm(ADOBE_XY))) - expected).max() < 3


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": gama(0.45455)},
        {"gAMA": gama(0.47)},
        {"gAMA": gama(0.45455), "cHRM": chrm(SRGB_XY)},
        {"cHRM": chrm((0.3121, 0.3300, 0.645, 0.33, 0.30, 0.595, 0.15, 0.06))},
        {"gAMA": gama(1.0), "sRGB": b"\0"},
        {"gAMA": gama(0.0)},
        {"gAMA": b"\xff" * 4},
        {"cHRM": bytes(32)},
        {"cHRM": chrm((0.3127, 0.3290) + (0.3, 0.3) * 3)},
        {"cHRM": b"\xff" * 32},
    ],
)
def test_what_means_srgb_or_nothing_at_all_changes_nothing(chunks):
    picture, note = images.open_with_note(png_with(photo("china"), **chunks))
    assert note is None and np.array_equal(picture, photo("china"))


def test_a_profile_goes_before_gamma():
    data = encoded(photo("china"), "PNG", icc_profile=SRGB)
    data = data[:33] + chunk(b"gAMA", gama(1.0)) + data[33:]
    assert np.array_equal(opened(data), photo("china"))


@pytest.mark.parametrize("gamma", [None, 1.0, 0.4])
def test_profiles_of_the_primaries_of_srgb_keep_grays_gray(gamma):
    ramp = Pillow.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2))
    made, done = profiles._convert(ramp, profiles._make(gamma, profiles._colorants(SRGB_XY)))
    assert done == profiles.CONVERTED and np.ptp(np.asarray(made).astype(int), axis=2).max() <= 1
    assert gamma is not None or np.abs(np.asarray(made).astype(int) - ramp).max() <= 1


def a_gray_profile() -> bytes:
    """Linear levels."""
    curve, white = b"curv" + bytes(8), b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)
    table = struct.pack(">I4sII4sII", 2, b"kTRC", 156, 12, b"wtpt", 168, 20)
    return struct.pack(">I", 188) + SRGB[4:16] + b"GRAY" + SRGB[20:128] + table + curve + white


@pytest.mark.parametrize("alpha", [None, 255, 128])
def test_a_gray_profile_holds_for_the_gray_beside_an_alpha_channel(alpha):
    gray = photo("china").convert("L")
    levels = from_linear(np.asarray(gray) / 255)[..., None].repeat(3, 2)
    if alpha is not None:
        gray.putalpha(alpha)
        levels = (levels * alpha + 255 * (255 - alpha)) / 255
    assert (
        np.abs(opened(encoded(gray, "PNG", icc_profile=a_gray_profile())) - levels).mean() < 1
    )  # lcms rounds in the darks


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_color_profile_holds_for_pictures_of_every_mode(mode):
    linear = profiles._make(1.0, profiles._colorants(SRGB_XY))
    picture = photo("china").quantize(256) if mode == "P" else photo("china").convert(mode)
    expected = from_linear(np.asarray(picture.convert("RGB")) / 255)
    picture, note = images.open_with_note(encoded(picture, "PNG", icc_profile=linear))
    assert np.abs(np.asarray(picture) - expected).max() < 2 and profiles.CONVERTED in note


def test_a_gray_profile_of_a_color_picture_is_ignored():
    assert np.array_equal(opened(encoded(photo("china"), "PNG", icc_profile=a_gray_profile())), photo("china"))


def test_srgb_is_recognized_whatever_it_is_called():
    assert profiles.is_srgb(SRGB) and profiles.is_srgb(profiles._make(None, profiles._colorants(SRGB_XY)))
    assert not profiles.is_srgb(profiles._make(1.0, profiles._colorants(SRGB_XY)))
    assert ImageCms.ImageCmsProfile(io.BytesIO(SRGB)).profile.xcolor_space == "RGB "
