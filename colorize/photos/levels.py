"""Gray levels and slopes of f to linear light, and linear light to sRGB levels, by tables; the fit into sRGB.

Linear light is scaled so that it is at once the index into a table of sRGB levels. f of CIELAB is scaled by the cube
root of the same factor, so that its cube has this scale. The formulas are those of `colorize.color.cielab`.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from colorize.color import cielab

DEEP = 65535  # largest gray level of 16 bits
ENTRIES = {8: 1 << 14, 16: 1 << 20}  # bits of the result -> entries of the table of sRGB levels
_BISECTIONS = 12  # as in cielab.fit_to_gamut
_ROUNDING = 1e-6  # linear light; far more than the rounding of float32
_KNEE = cielab.KNEE ** (1 / 3)


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
def of_gray(num_levels: int, entries: int) -> tuple[np.ndarray, np.ndarray]:
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


class Work:
    """Arrays for `size` pixels."""

    def __init__(self, size: int):
        self.size = size
        self.values = np.empty((4, size), np.float32)  # as `to_light` takes them
        self.cubes, self.t, self.line = np.empty((3, 2, size), np.float32)  # for X and for Z
        self.rgb, self.term = np.empty((2, 3, size), np.float32)
        self.index = np.empty(3 * size, np.intp)


def to_light(values: np.ndarray, scale: Scale, work: Work, offset: float | None = None) -> np.ndarray:
    """Linear R, G and B as indices.

    Args:
        values: (4, N) float32, in units of the scale: f and linear light of the gray level; f of X and of Z, less f.
        scale: the scale.
        work: arrays for at least N pixels; the result is one of them.
        offset: added to linear light. Default: the offset of the scale.

    Returns:
        (3, N) float32, valid until the next call with this `work`.
    """
    n = values.shape[1]
    cubes, t, line = work.cubes[:, :n], work.t[:, :n], work.line[:, :n]
    rgb, term = work.rgb[:, :n], work.term[:, :n]
    light, knee = values[1], np.float32(_KNEE * scale.f)
    np.add(values[0], values[2:], out=cubes)
    if cubes.min() < knee:
        np.maximum(cubes, knee, out=t)
        np.subtract(cubes, t, out=line)  # below the knee, the part of f to which the straight line applies
        np.multiply(line, np.float32(scale.light / scale.f / cielab.SLOPE), out=line)
        np.multiply(t, t, out=cubes)
        np.multiply(cubes, t, out=cubes)
        np.add(cubes, line, out=cubes)
    else:  # the same numbers
        np.multiply(cubes, cubes, out=t)
        np.multiply(cubes, t, out=cubes)
    np.subtract(cubes, light, out=cubes)  # X - Y and Z - Y
    from_x, _, from_z = np.array(cielab.matrix("rgb_from_xyz"), np.float32).T[..., None]  # the rows sum to 1
    np.multiply(cubes[0], from_x, out=rgb)
    np.multiply(cubes[1], from_z, out=term)
    np.add(rgb, term, out=rgb)
    np.add(light, np.float32(scale.offset if offset is None else offset), out=term[0])
    return np.add(rgb, term[0], out=rgb)


def largest_chroma(values: np.ndarray, scale: Scale, work: Work) -> np.ndarray:
    """The largest factor in [0, 1] of the last two values with which sRGB can show the colors.

    As in `cielab.fit_to_gamut`, by bisection.

    Args:
        values: (4, N), as for `to_light`.
        scale: the scale.
        work: arrays for at least N pixels; `values` is none of them.

    Returns:
        (N,) float32.
    """
    factor, step = np.zeros_like(values[0]), np.float32(1)
    trial = work.values[:, : len(factor)]
    trial[:2] = values[:2]
    reach = np.float32((0.5 + cielab.TOLERANCE - _ROUNDING) * scale.light)
    for _ in range(_BISECTIONS):
        step /= 2
        np.multiply(values[2:], factor + step, out=trial[2:])
        rgb = to_light(trial, scale, work, offset=-0.5 * scale.light)  # the middle of the gamut becomes 0
        factor += step * (np.abs(rgb, out=rgb).max(axis=0) <= reach)
    return factor
