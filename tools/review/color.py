"""CIELAB, the limits of sRGB, the 313 bins and soft targets, in float64.

Shapes: the last dimension of a color has 3 channels (rgb, lab) or 2 (ab).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from skimage.color import rgb2lab
from skimage.color.colorconv import xyz_from_rgb

BINS = np.load(Path(__file__).parents[2] / "tests" / "data_files" / "pts_in_hull.npy")  # (Q, 2) int64
Q = len(BINS)
CELL = 0.5  # docs/reproduction.md: the nearest bins are those of the center of a square of 0.5 x 0.5
STEPS = 12  # docs/measures.md: halvings of the interval of the chroma
TOLERANCE = 0.5 / 255 / 12.92  # docs/measures.md: in linear light, half of the darkest 8-bit level above 0
MARGIN = 1e-6  # docs/measures.md: by which the search for the chroma reduces the tolerance
CLOSE_LINEAR = 1e-6  # difference from a limit below which float32 may decide in another way
_MANY = 1 << 20  # more than twice the number of squares in a row
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65, 2-degree observer
_RGB_FROM_XYZ = np.linalg.inv(xyz_from_rgb)


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB -> (..., 3) lab."""
    return rgb2lab(rgb.astype(np.float64) / 255, illuminant="D65", observer="2")


def to_linear(lab: np.ndarray) -> np.ndarray:
    """(..., 3) lab -> linear RGB. `lab2xyz` of scikit-image is not used, because it sets a negative Z to 0."""
    f = np.empty_like(lab)
    f[..., 1] = (lab[..., 0] + 16) / 116
    f[..., 0] = f[..., 1] + lab[..., 1] / 500
    f[..., 2] = f[..., 1] - lab[..., 2] / 200
    xyz = np.where(f > np.cbrt(0.008856), f**3, (f - 16 / 116) / 7.787) * _WHITE
    return xyz @ _RGB_FROM_XYZ.T


def is_shown(lab: np.ndarray, tolerance: float = TOLERANCE, side: int = 0) -> np.ndarray:
    """(..., 3) lab -> (...) bool: whether sRGB can show the color; `side` 1 decides close cases in the other way."""
    excess = np.abs(to_linear(lab) - 0.5).max(axis=-1) - 0.5 - tolerance
    return (excess <= 0) ^ ((side == 1) & (np.abs(excess) < CLOSE_LINEAR))


def fit(lab: np.ndarray, side: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Reduce the chroma of the colors that sRGB cannot show.

    Args:
        lab: (..., 3).
        side: 1 decides close cases in the other way.

    Returns:
        (..., 3) lab, and (...) bool: whether sRGB cannot show the color.
    """
    is_outside = ~is_shown(lab, side=side)
    outside, fitted = lab[is_outside], lab.copy()
    factor = np.zeros((len(outside), 1))
    for step in 0.5 ** np.arange(1, STEPS + 1):
        trial = np.hstack([outside[:, :1], outside[:, 1:] * (factor + step)])
        factor += step * is_shown(trial, TOLERANCE - MARGIN, side)[:, None]
    fitted[is_outside] = np.hstack([outside[:, :1], outside[:, 1:] * factor])
    return fitted, is_outside


def to_levels(lab: np.ndarray) -> np.ndarray:
    """(..., 3) lab -> (..., 3) float64, 8-bit sRGB levels before they are rounded."""
    linear = np.clip(to_linear(lab), 0, 1)
    srgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return 255 * srgb


class Targets(NamedTuple):
    """Soft targets of N colors."""

    nearest: np.ndarray  # (N,) int64, the nearest bin
    bins: np.ndarray  # (N, K) int64
    values: np.ndarray  # (N, K), each row sums to 1


def encode(ab: np.ndarray, num_neighbors: int, sigma: float, from_pixel: bool = True) -> Targets:
    """Soft targets of (N, 2) colors; `from_pixel`: distances are measured from the color, not from its bin's center."""
    nearest = _neighbors(ab, 1)[:, 0]
    point = ab if from_pixel else BINS[nearest].astype(np.float64)
    bins = _neighbors(point, num_neighbors)
    squares = np.square(BINS[bins] - point[:, None]).sum(axis=-1)  # (N, K)
    values = np.exp((squares.min(axis=1, keepdims=True) - squares) / (2 * sigma**2))
    return Targets(nearest, bins, values / values.sum(axis=1, keepdims=True))


def _neighbors(ab: np.ndarray, count: int) -> np.ndarray:
    """(N, count) int64: bins by their distance from the center of the color's square; of equal ones, the first."""
    packed, index = np.unique(np.floor(ab / CELL).astype(np.int64) @ [_MANY, 1], return_inverse=True)
    row = np.round(packed / _MANY)
    squares = np.stack([row, packed - row * _MANY], axis=1)
    centers = np.round(4 * CELL * (squares + 0.5)).astype(np.int64)  # in quarters of a unit, so distances are integers
    nearest = np.empty((len(centers), count), dtype=np.int64)
    for rows in np.array_split(np.arange(len(centers)), len(centers) // 4096 + 1):
        distances = np.square(centers[rows, None] - 4 * BINS).sum(axis=-1)
        nearest[rows] = np.sort(distances * Q + np.arange(Q), axis=1)[:, :count] % Q
    return nearest[index.ravel()]
