"""The 313 ab bins of Zhang et al. (2016): bins, soft encoding of colors, decoding of distributions.

Shapes: Q = 313 bins, K neighbors, ab in CIELAB units. The logits of a network are (B, Q, H, W). Sparse soft targets
are (B, H, W, K), so that the entries of a pixel are adjacent in memory.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

ANNEALED = 0.38  # temperature of the annealed mean of Zhang et al. (2016)
GRID = 10  # distance between neighboring bins, CIELAB units

# a -> (lowest b, highest b) of the bins with this a. Values and order are those of the published grid
# (Zhang et al. 2016, pts_in_hull).
_RUNS = {
    -90: (50, 90), -80: (20, 90), -70: (0, 90), -60: (-20, 90), -50: (-30, 100), -40: (-40, 100), -30: (-50, 100),
    -20: (-50, 100), -10: (-60, 100), 0: (-70, 100), 10: (-80, 90), 20: (-80, 90), 30: (-90, 90), 40: (-100, 90),
    50: (-100, 80), 60: (-110, 80), 70: (-110, 80), 80: (-110, 70), 90: (-110, 70), 100: (-90, 0),
}  # fmt: skip

GAMUT_AB = np.array([(a, b) for a, (low, high) in _RUNS.items() for b in range(low, high + 1, GRID)], dtype=np.float32)
NUM_BINS = len(GAMUT_AB)  # Q = 313

# The lookup table divides the ab plane into square cells. They are so small that the nearest bins of a cell's center
# can be used for all colors in the cell.
CELL = 0.5  # side of a cell, CIELAB units
A_RANGE = (-90.0, 102.0)
B_RANGE = (-112.0, 102.0)
_BLOCK = 16  # cells along the side of a block; the nearest bins of all cells of a block are searched together
_USUAL_NEIGHBORS = 10  # a table for fewer neighbors is a slice of the table for 10
_MAX_BINS = 512  # a power of two larger than Q


@functools.lru_cache
@torch.inference_mode(False)  # cached tensors must be normal tensors even if first requested in inference mode
def gamut_ab(device: torch.device | str = "cpu") -> Tensor:
    """(Q, 2) float32: the centers of the bins."""
    return torch.from_numpy(GAMUT_AB).to(device)


@functools.lru_cache
def _search_cells(num_neighbors: int) -> Tensor:
    """The K bins nearest to each cell's center, (cells along a, cells along b, K) int16, nearest first.

    If two bins have the same distance, the one with the lower index comes first.
    """
    if num_neighbors < _USUAL_NEIGHBORS:
        return _search_cells(_USUAL_NEIGHBORS)[..., :num_neighbors]
    from_a, from_b = (_squared_distances(*span, GAMUT_AB[:, n]) for n, span in enumerate((A_RANGE, B_RANGE)))
    nearest = np.empty((len(from_a), len(from_b), num_neighbors), dtype=np.int16)
    for i in range(0, len(from_a), _BLOCK):
        for j in range(0, len(from_b), _BLOCK):
            block = slice(i, i + _BLOCK), slice(j, j + _BLOCK)
            nearest[block] = _nearest_bins(from_a[block[0]], from_b[block[1]], num_neighbors)
    return torch.from_numpy(nearest)


def _squared_distances(low: float, high: float, centers: np.ndarray) -> np.ndarray:
    """(cells, Q) int32: 16 times the squared distance along one axis from each cell's center to each bin.

    The factor makes every value an integer.
    """
    middles = np.arange(low + CELL / 2, high, CELL, dtype=np.float32)
    return (16 * np.square(middles[:, None] - centers)).astype(np.int32)


def _nearest_bins(from_a: np.ndarray, from_b: np.ndarray, num_neighbors: int) -> np.ndarray:
    """The K nearest bins of each cell of a block.

    The result is equal to

        np.argsort(from_a[:, None] + from_b[None], axis=-1, kind="stable")[..., :num_neighbors]

    Only bins that can be among the nearest bins of a cell are sorted. The distance from the middle cell to such a bin
    is limited: it is at most the distance to the K-th nearest bin of the middle cell, plus twice the largest distance
    between the middle cell and another cell of the block. The whole lookup table is computed in 0.06 s instead of
    0.20 s, once per process that encodes colors.

    Args:
        from_a: (n, Q) int32, 16 times the squared distances along a.
        from_b: (m, Q) int32, 16 times the squared distances along b.
        num_neighbors: K.

    Returns:
        (n, m, K), nearest first.
    """
    from_middle = np.sqrt((from_a[len(from_a) // 2] + from_b[len(from_b) // 2]) / 16)  # (Q,)
    reach = np.partition(from_middle, num_neighbors - 1)[num_neighbors - 1] + 2 * _BLOCK * CELL / np.sqrt(2) + 1e-3
    near = np.flatnonzero(from_middle <= reach)
    # A key is distance * 512 + bin: sorting the keys orders by distance, then by bin. It is much faster than argsort.
    keys = (from_a[:, None, near] + from_b[None, :, near]) * _MAX_BINS + near.astype(np.int32)
    return np.sort(keys, axis=-1)[..., :num_neighbors] % _MAX_BINS


@functools.lru_cache
@torch.inference_mode(False)
def cells(device: torch.device, num_neighbors: int) -> Tensor:
    """The lookup table, (cells along a * cells along b, K) int16; cell 0 is at the start of A_RANGE and B_RANGE."""
    return _search_cells(num_neighbors).flatten(0, 1).contiguous().to(device)


@functools.lru_cache
@torch.inference_mode(False)
def _cells_on(device: torch.device, num_neighbors: int) -> tuple[Tensor, Tensor, Tensor]:
    """The K bins of each cell, (cells along a * cells along b, K) int32; their a and their b, float32 of this shape."""
    bins = cells(device, num_neighbors).int()
    a, b = (gamut_ab(device)[:, channel].contiguous()[bins] for channel in (0, 1))
    return bins, a, b


def grid() -> tuple[int, int]:
    """Number of cells along a and along b."""
    return round((A_RANGE[1] - A_RANGE[0]) / CELL), round((B_RANGE[1] - B_RANGE[0]) / CELL)


def _cell_of(ab: Tensor) -> Tensor:
    """(..., 2) ab -> (...) index of its cell."""
    rows, columns = grid()
    ab = ab.nan_to_num()  # a NaN of a diverged network must not become an index; training stops when the loss is NaN
    row = ((ab[..., 0] - A_RANGE[0]) / CELL).floor().clamp(0, rows - 1)
    column = ((ab[..., 1] - B_RANGE[0]) / CELL).floor().clamp(0, columns - 1)
    return (row * columns + column).long()


def nearest_bin(ab: Tensor) -> Tensor:
    """The bin whose center is nearest to the color of each pixel.

    The bin is looked up for the cell of 0.5 units that contains the color. Near the border between two bins, either of
    the two bins may be returned.

    Args:
        ab: (B, 2, H, W), CIELAB units.

    Returns:
        (B, H, W) int64 in [0, Q).
    """
    return _cells_on(ab.device, 1)[0][_cell_of(ab.movedim(1, -1))][..., 0].long()


def soft_encode(
    ab: Tensor, num_neighbors: int = 10, sigma: float = 5.0, encode: str = "pixel"
) -> tuple[Tensor, Tensor]:
    """Soft encoding of colors: Gaussian weights on the K nearest bins (paper, section 3.3).

    With d the distances of a pixel to its K nearest bins, the weights are softmax(-d^2 / (2 sigma^2)). The bins are
    looked up for the cell of 0.5 units that contains the pixel's color. Therefore, the K-th nearest bin may be replaced
    by a bin whose distance is larger by less than 0.71 units. The weights are exact for the bins that are returned.

    Args:
        ab: (B, 2, H, W), CIELAB units.
        num_neighbors: K.
        sigma: CIELAB units.
        encode: "pixel" if d is measured from the pixel's own ab, as in the code of Zhang et al.; "bin" if d is measured
            from the center of the pixel's bin.

    Returns:
        indices (B, H, W, K) int64 and weights (B, H, W, K) float32 that sum to 1.
    """
    point = ab.movedim(1, -1)  # (B, H, W, 2)
    if encode == "bin":
        point = gamut_ab(ab.device)[nearest_bin(ab)]
    cell, shape = _cell_of(point).flatten(), (*point.shape[:-1], num_neighbors)
    bins, a, b = (table.index_select(0, cell).view(shape) for table in _cells_on(ab.device, num_neighbors))
    distance = a.sub_(point[..., :1]).square_() + b.sub_(point[..., 1:]).square_()  # (B, H, W, K), squared
    # subtract the distance of the nearest bin; otherwise all weights underflow if sigma is small
    distance -= distance[..., :1].clone()
    weights = distance.div_(-2 * sigma**2).exp_()
    return bins.long(), weights.div_((weights @ weights.new_ones(num_neighbors))[..., None])


def mode(logits: Tensor) -> Tensor:
    """Color of the most probable bin (the prediction of the paper).

    Args:
        logits: (B, Q, H, W).

    Returns:
        (B, 2, H, W) float32 ab, CIELAB units.

    Raises:
        ValueError: the logits have another number of bins than the gamut.
    """
    _check_bins(logits)
    return gamut_ab(logits.device)[argmax(logits.movedim(1, -1))].movedim(-1, 1)


def argmax(rows: Tensor) -> Tensor:
    """(..., Q) -> (...) int64: the same as `rows.argmax(dim=-1)`; the first index if several values are equal."""
    if rows.device.type == "cpu" and rows.dtype == torch.float32:
        return torch.from_numpy(rows.numpy(force=True).argmax(axis=-1))  # NumPy is 2 to 3 times as fast
    return rows.argmax(dim=-1)


def annealed_mean(logits: Tensor, temperature: float = ANNEALED) -> Tensor:
    """Expected color of the sharpened distribution (Zhang et al. 2016, eq. 5).

    Args:
        logits: (B, Q, H, W), not normalized.
        temperature: T in (0, 1]; 1 gives the mean, and values near 0 give the mode.

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
        raise ValueError(
            f"logits have {logits.shape[1]} bins, but the gamut has {NUM_BINS}; do they come from another model?"
        )
