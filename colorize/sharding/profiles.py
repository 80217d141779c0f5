"""Convert photos from the color profile of their file to sRGB.

A profile is an ICC profile. It is embedded in the file, or made from the gamma and the primaries of a PNG.
"""

import functools
import io
import struct
from collections.abc import Iterable

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

CONVERTED = "color profile converted"
UNUSABLE = "unusable color profile ignored"

_SRGB_GAMMA = 1 / 2.2  # as stored in a PNG
_SRGB_CHROMATICITIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x, y of white, red, green and blue
_GAMMA_TOLERANCE, _CHROMATICITY_TOLERANCE = 0.05, 0.01  # relative and absolute, as in libpng
_GAMMAS = (0.1, 10.0)  # a gamma outside this range is ignored as damaged
_D50 = np.array([0.9642, 1.0, 0.8249])  # XYZ of the white point of ICC profiles
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def apply(photo: Pillow.Image, profile: bytes) -> tuple[Pillow.Image, str | None]:
    """Convert a photo of mode L, RGB or CMYK from a profile to sRGB.

    A profile that cannot be used is ignored, as in image viewers. A profile that is equivalent to sRGB is ignored too.

    Returns:
        The photo, and the note `CONVERTED` or `UNUSABLE`, or None.
    """
    if photo.mode == "RGB" or (photo.mode == "L" and _space_of(profile) == "RGB"):
        if is_srgb(profile):
            return photo, None
        photo = photo.convert("RGB")
    return _convert(photo, profile)


@functools.lru_cache(maxsize=32)
def is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile is equivalent to sRGB, or unusable. Test colors decide, because its name may be wrong."""
    levels = np.linspace(0, 255, 8).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(8, 64, 3)
    try:
        moved, _ = _convert(Pillow.fromarray(cube), profile)
    except Exception:  # a damaged profile raises almost any exception in Pillow; the pixels may be intact
        return True
    return int(np.abs(np.asarray(moved).astype(int) - cube).max()) <= 2  # levels


def _convert(photo: Pillow.Image, profile: bytes) -> tuple[Pillow.Image, str]:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(photo, source, _srgb(), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return photo, UNUSABLE
    assert converted is not None  # Pillow returns None only for a conversion in place
    return converted, CONVERTED


@functools.lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _space_of(profile: bytes) -> str:
    """The color space that a profile describes, such as GRAY or RGB (ICC.1:2022, table 19)."""
    return profile[16:20].decode("latin-1").strip()


# --- profiles of PNGs ------------------------------------------------------------------------------------------------


def of_png(info: dict) -> bytes | None:
    """The profile of a PNG, by the precedence of the specification: iCCP, then sRGB, then gAMA and cHRM.

    Args:
        info: `info` of the image that Pillow opened.

    Returns:
        An ICC profile, or None for sRGB. A chunk with impossible values counts as missing.
    """
    if "icc_profile" in info or "srgb" in info:
        return info.get("icc_profile")
    gamma, chromaticities = info.get("gamma"), info.get("chromaticity")
    if gamma is not None and not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        gamma = None
    colorants = None if chromaticities is None else _colorants(chromaticities)
    is_near = (
        chromaticities is None
        or colorants is None
        or np.allclose(chromaticities, _SRGB_CHROMATICITIES, 0, _CHROMATICITY_TOLERANCE)
    )
    if is_near and (gamma is None or abs(gamma / _SRGB_GAMMA - 1) <= _GAMMA_TOLERANCE):
        return None
    if colorants is None:
        colorants = _colorants(_SRGB_CHROMATICITIES)
        assert colorants is not None  # those of sRGB are possible
    return _make(gamma, colorants)


def _colorants(chromaticities: tuple[float, ...]) -> np.ndarray | None:
    """(3, 3) XYZ of red, green and blue as columns, adapted to D50; None if the chromaticities are impossible."""
    xy = np.array(chromaticities, float).reshape(4, 2)
    if (xy < 0).any() or (xy[:, 1] < 0.001).any() or (xy.sum(1) > 1).any():
        return None
    xyz = np.stack([xy[:, 0] / xy[:, 1], np.ones(4), (1 - xy.sum(1)) / xy[:, 1]])  # (3, 4), Y = 1
    white, primaries = xyz[:, 0], xyz[:, 1:]
    if abs(np.linalg.det(primaries)) < 1e-6:
        return None
    adapted = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD
    colorants = adapted @ primaries * np.linalg.solve(primaries, white)
    return colorants if np.abs(colorants).max() < 4 else None  # the Y sum to 1, so values of 4 or more are damaged


def _make(gamma: float | None, colorants: np.ndarray) -> bytes:
    """Make an RGB profile from a matrix and one curve for all channels (ICC.1:2022); without gamma, the sRGB curve."""
    curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045) if gamma is None else (1 / gamma,)
    shape = struct.pack(">4s4xHxx", b"para", 0 if gamma else 3) + _fixed(curve)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50)}
    for name, colorant in zip((b"r", b"g", b"b"), colorants.T, strict=True):
        tags |= {name + b"XYZ": b"XYZ \0\0\0\0" + _fixed(colorant), name + b"TRC": shape}
    table, content, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sII", name, start + len(content), len(value))
        content += value
    head = struct.pack(">I4xI12s12x4s", start + len(content), 0x04300000, b"mntrRGB XYZ ", b"acsp")
    return head.ljust(68, b"\0") + _fixed(_D50).ljust(60, b"\0") + table + content


def _fixed(values: Iterable[float]) -> bytes:
    """Encode numbers in the ICC format s15Fixed16."""
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)
