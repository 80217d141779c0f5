"""Tables and constants: gray levels to linear light, and linear light to sRGB levels.

Linear light is scaled so that it is at once the index into a table of sRGB levels. f of CIELAB is scaled by the cube
root of the same factor, so that its cube has this scale. The formulas are those of `colorize.color.cielab`.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeAlias

import numpy as np

from colorize.color import cielab

DEEP = 65535  # largest gray level of 16 bits
ENTRIES = {8: 1 << 14, 16: 1 << 20}  # bits of the result -> entries of the table of sRGB levels
_BISECTIONS = 12  # as in cielab.fit_to_gamut
_ROUNDING = 1e-6  # linear light; far more than the rounding of float32
_KNEE = cielab.KNEE ** (1 / 3)

Tables: TypeAlias = tuple[np.ndarray, np.ndarray]  # f and linear light of every gray level, (num_levels,) float32 each


class Slopes(NamedTuple):
    """Slopes of f for rows of pixels: f of X and of Z, less f of the gray level; between two rows of `values`."""

    above: np.ndarray  # (rows,) int64: number of the row of `values` above each row
    share: np.ndarray  # (rows,) float32: distance to this row, of the distance between two rows of `values`
    values: np.ndarray  # (2, h, W) float32, in units of a scale


class Formula(NamedTuple):
    """Constants of the way from f to an index, in units of a scale; float32 except for the two whole numbers."""

    knee: np.float32  # of f
    line: np.float32  # slope of the straight line below the knee
    from_x: tuple[np.float32, np.float32, np.float32]  # X to linear R, G and B
    from_z: tuple[np.float32, np.float32, np.float32]
    offset: np.float32  # added to linear light to get an index
    entries: int  # colors of sRGB have indices below this number
    middle: np.float32  # half of the largest linear light
    reach: np.float32  # largest difference from the middle for colors of sRGB
    bisections: int

    @classmethod
    def of(cls, scale: Scale) -> Formula:
        """The constants in units of a scale."""
        from_x, _, from_z = (tuple(column) for column in np.array(cielab.matrix("rgb_from_xyz"), np.float32).T)
        return cls(
            knee=np.float32(_KNEE * scale.f),
            line=np.float32(scale.light / scale.f / cielab.SLOPE),
            from_x=from_x,
            from_z=from_z,
            offset=np.float32(scale.offset),
            entries=scale.entries,
            middle=np.float32(0.5 * scale.light),
            reach=np.float32((0.5 + cielab.TOLERANCE - _ROUNDING) * scale.light),
            bisections=_BISECTIONS,
        )


class Scale(NamedTuple):
    """Linear light as an index: `light` * linear + `offset`, truncated; for colors of sRGB, 0 to `entries` - 1.

    Truncation also gives 0 for values between -1 and 0, so the first entry is twice as wide as the others.
    """

    entries: int
    light: float
    offset: float
    f: float  # the cube root of `light`: cubes of scaled f are scaled linear light

    @classmethod
    def of(cls, entries: int) -> Scale:
        """The scale of a table with this number of entries."""
        light = (entries + 1) / (1 + 2 * cielab.TOLERANCE)
        return cls(entries, light, light * cielab.TOLERANCE - 1, light ** (1 / 3))


@functools.lru_cache
def _srgb(entries: int) -> np.ndarray:
    """(entries,) float64: the sRGB value, in [0, 1], of every index of a scale."""
    scale = Scale.of(entries)
    linear = ((np.arange(entries) + 0.5 - scale.offset) / scale.light).clip(0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


@functools.lru_cache
def rounded(entries: int, top: int) -> np.ndarray:
    """(entries,) uint8 or uint16: the sRGB level, 0 to `top`, of every index of a scale."""
    return (_srgb(entries) * top).round().astype(np.uint8 if top == 255 else np.uint16)


@functools.lru_cache
def luma_levels(entries: int) -> np.ndarray:
    """(entries,) float32: the sRGB level, 0 to 255, of every index of a scale, not rounded."""
    return (_srgb(entries) * 255).astype(np.float32)


@functools.lru_cache
def of_gray(num_levels: int, entries: int) -> Tables:
    """f of CIELAB and linear light of every gray level, (num_levels,) float32 each, in the units of a scale."""
    linear, scale = _linear(np.arange(num_levels) / (num_levels - 1)), Scale.of(entries)
    f = np.where(linear > cielab.KNEE, np.cbrt(linear), cielab.SLOPE * linear + 16 / 116)
    return (f * scale.f).astype(np.float32), (linear * scale.light).astype(np.float32)


def _linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)


@functools.lru_cache
def gray_of_color() -> tuple[np.ndarray, np.ndarray]:
    """(3, 256) float32: what each level of R, G and B adds to an index; (65536,) uint16: gray level of this index."""
    weights = np.array(cielab.matrix("xyz_from_rgb")[1])[:, None]
    index = np.arange(DEEP + 1) / DEEP
    level = np.where(index > 0.0031308, 1.055 * index ** (1 / 2.4) - 0.055, 12.92 * index)
    light = weights * _linear(np.arange(256) / 255) * DEEP
    light[1] += 0.5  # the sum is rounded, not truncated
    return light.astype(np.float32), (level * DEEP).round().astype(np.uint16)
