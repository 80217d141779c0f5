"""The 313 ab bins of Zhang et al. (2016): bins, soft encoding of colours, decoding of distributions.

Shapes: Q = 313 bins, K neighbours, ab in CIELAB units. Distributions over bins that a network makes are (B, Q, H, W);
sparse soft targets are (B, H, W, K), so that a pixel's entries lie together.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

GRID = 10  # distance of neighbouring bins, CIELAB units

# The bins of each a: first and last b. Facts of the published grid (Zhang et al. 2016, pts_in_hull), in its order.
_RUNS = {
    -90: (50, 90), -80: (20, 90), -70: (0, 90), -60: (-20, 90), -50: (-30, 100), -40: (-40, 100), -30: (-50, 100),
    -20: (-50, 100), -10: (-60, 100), 0: (-70, 100), 10: (-80, 90), 20: (-80, 90), 30: (-90, 90), 40: (-100, 90),
    50: (-100, 80), 60: (-110, 80), 70: (-110, 80), 80: (-110, 70), 90: (-110, 70), 100: (-90, 0),
}  # fmt: skip

GAMUT_AB = np.array([(a, b) for a, (low, high) in _RUNS.items() for b in range(low, high + 1, GRID)], dtype=np.float32)
NUM_BINS = len(GAMUT_AB)  # Q = 313

# Cells of the lookup table: small enough that the neighbours of a cell's centre serve for the whole cell.
_CELL = 0.5
_BLOCK = 16  # cells on a side whose neighbours are searched together
_A_RANGE = (-90.0, 102.0)
_B_RANGE = (-112.0, 102.0)


@functools.lru_cache
def gamut_ab(device: torch.device | str = "cpu") -> Tensor:
    """(Q, 2) float32: the bins' centres."""
    return torch.from_numpy(GAMUT_AB).to(device)


@functools.lru_cache
def _cells(num_neighbors: int) -> Tensor:
    """(cells of a, cells of b, K) int16: the bins nearest to each cell's centre, nearest first, ties by bin order."""
    a = np.arange(_A_RANGE[0] + _CELL / 2, _A_RANGE[1], _CELL, dtype=np.float32)
    b = np.arange(_B_RANGE[0] + _CELL / 2, _B_RANGE[1], _CELL, dtype=np.float32)
    nearest = np.empty((len(a), len(b), num_neighbors), dtype=np.int16)
    for i in range(0, len(a), _BLOCK):
        for j in range(0, len(b), _BLOCK):
            points = np.stack(np.meshgrid(a[i : i + _BLOCK], b[j : j + _BLOCK], indexing="ij"), axis=-1)
            nearest[i : i + _BLOCK, j : j + _BLOCK] = _nearest_bins(points, num_neighbors)
    return torch.from_numpy(nearest)


def _nearest_bins(points: np.ndarray, num_neighbors: int) -> np.ndarray:
    """(n, m, 2) neighbouring points -> (n, m, K) their nearest bins.

    Only bins that can be near any of the points are sorted: those at most as far from the middle of the points as the
    K-th nearest, plus twice the points' own distance from the middle.
    """
    middle = points.mean(axis=(0, 1))
    radius = np.linalg.norm(points - middle, axis=-1).max()
    from_middle = np.linalg.norm(GAMUT_AB - middle, axis=1)
    near = np.flatnonzero(from_middle <= np.sort(from_middle)[num_neighbors - 1] + 2 * radius + 1e-3)
    distance = np.square(points[:, :, None] - GAMUT_AB[near]).sum(axis=-1)  # (n, m, near)
    return near[np.argsort(distance, axis=-1, kind="stable")[..., :num_neighbors]]


@functools.lru_cache
def _cells_on(device: torch.device, num_neighbors: int) -> Tensor:
    """(cells of a * cells of b, K) int32 on a device."""
    return _cells(num_neighbors).flatten(0, 1).int().to(device)


def _cell_of(ab: Tensor) -> Tensor:
    """(..., 2) ab -> (...) index of its cell."""
    rows = round((_A_RANGE[1] - _A_RANGE[0]) / _CELL)
    columns = round((_B_RANGE[1] - _B_RANGE[0]) / _CELL)
    ab = ab.nan_to_num()  # what a diverged network returns must not be taken for an index: its loss tells
    row = ((ab[..., 0] - _A_RANGE[0]) / _CELL).floor().clamp(0, rows - 1)
    column = ((ab[..., 1] - _B_RANGE[0]) / _CELL).floor().clamp(0, columns - 1)
    return (row * columns + column).long()


def nearest_bin(ab: Tensor) -> Tensor:
    """The bin of a colour.

    Args:
        ab: (B, 2, H, W), CIELAB units.

    Returns:
        (B, H, W) int64 in [0, Q). On the border of two bins either may come back: it is decided per cell of 0.5 units.
    """
    return _cells_on(ab.device, 1)[_cell_of(ab.movedim(1, -1))][..., 0].long()


def soft_encode(
    ab: Tensor, num_neighbors: int = 10, sigma: float = 5.0, encode: str = "pixel"
) -> tuple[Tensor, Tensor]:
    """Soft encoding of colours: Gaussian weights on the nearest bins (paper, section 3.3).

    The neighbours are those of the pixel's cell of 0.5 units, so that the last one may be swapped with the next
    further one when both are equally far within 0.7 units; the weights are exact for the neighbours.

    Args:
        ab: (B, 2, H, W), CIELAB units.
        num_neighbors: K.
        sigma: CIELAB units.
        encode: distances from the pixel's own ab ("pixel", as Zhang et al.'s code) or from its bin's centre ("bin").

    Returns:
        indices (B, H, W, K) int64 and weights (B, H, W, K) float32 that sum to 1.
    """
    point = ab.movedim(1, -1)  # (B, H, W, 2)
    if encode == "bin":
        point = gamut_ab(ab.device)[nearest_bin(ab)]
    indices = _cells_on(ab.device, num_neighbors)[_cell_of(point)].long()  # (B, H, W, K)
    offsets = gamut_ab(ab.device)[indices] - point[..., None, :]  # (B, H, W, K, 2)
    return indices, torch.softmax(offsets.square().sum(-1) / (-2 * sigma**2), dim=-1)


def mode(logits: Tensor) -> Tensor:
    """Colour of the most probable bin (the paper's prediction).

    Args:
        logits: (B, Q, H, W).

    Returns:
        (B, 2, H, W) float32 ab, CIELAB units.
    """
    _check_bins(logits)
    best = logits.movedim(1, -1).argmax(dim=-1)  # (B, H, W); a pixel's logits lie together in channels_last
    return gamut_ab(logits.device)[best].movedim(-1, 1)


def annealed_mean(logits: Tensor, temperature: float = 0.38) -> Tensor:
    """Expected colour of the sharpened distribution (Zhang et al. 2016, eq. 5).

    Args:
        logits: (B, Q, H, W), not normalised.
        temperature: T in (0, 1]; 1 is the mean, towards 0 the mode.

    Returns:
        (B, 2, H, W) float32 ab, CIELAB units.

    Raises:
        ValueError: the logits have another number of bins than the gamut.
    """
    _check_bins(logits)
    p = torch.softmax(logits.float() / temperature, dim=1)  # (B, Q, H, W)
    return torch.einsum("bqhw,qc->bchw", p, gamut_ab(p.device))  # (B, 2, H, W)


def _check_bins(logits: Tensor) -> None:
    if logits.shape[1] != NUM_BINS:
        raise ValueError(f"logits have {logits.shape[1]} bins, the gamut has {NUM_BINS}: was another model loaded?")
