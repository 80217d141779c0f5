"""The targets of a batch on CUDA in one Triton kernel: soft encoding, class weights and pooling.

The bins equal those of `color/targets.py`, and the values are equal except for rounding. The test
tests/ops/test_targets_cuda.py compares them. Separate operations, as on the CPU, would be thirty kernels, and each of
them would read and write ten numbers per pixel.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from colorize.color import gamut
from colorize.color.cielab import AB_SCALE
from colorize.color.targets import Options, SoftTargets

_BLOCK = 64  # pixels per program


def weighted_targets(ab_norm: Tensor, weights: Tensor, options: Options, stride: int) -> SoftTargets:
    """Compute `targets.pool(targets.weigh(targets.soft_targets(...)))`, but with bins of type int16.

    Args:
        ab_norm: (B, 2, H, W), on a GPU.
        weights: (Q,) class weights.
        options: options of the soft encoding.
        stride: image size divided by the size of the logits.

    Returns:
        the targets, (B, H / stride, W / stride, K * stride^2).
    """
    batch, _, height, width = ab_norm.shape
    count, device = options.num_neighbors, ab_norm.device
    shape = (batch, height // stride, width // stride, count * stride**2)
    result = SoftTargets(ab_norm.new_empty(shape, dtype=torch.int16), ab_norm.new_empty(shape))
    ab = ab_norm.movedim(1, -1).contiguous()  # (B, H, W, 2), no copy if ab_norm is channels_last
    _weighted_targets[(triton.cdiv(ab.numel() // 2, _BLOCK),)](
        ab, gamut.cells(device, 1), gamut.cells(device, count), gamut.gamut_ab(device), weights, *result,
        ab.numel() // 2, width,
        AB_SCALE, -1 / (2 * options.sigma**2), gamut.A_RANGE[0], gamut.B_RANGE[0], gamut.CELL, *gamut.grid(),
        stride, options.encode == "bin", count, triton.next_power_of_2(count), _BLOCK, enable_fp_fusion=True,
    )  # fmt: skip
    return result


@triton.jit
def _weighted_targets(
    ab, nearest, neighbors, centers, weights, bins, values,
    num_pixels, width,
    ab_scale, exponent, low_a, low_b, cell_size, num_rows, num_columns,
    stride: tl.constexpr, from_bin: tl.constexpr, count: tl.constexpr, count_padded: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    is_pixel = pixel < num_pixels
    a = tl.load(ab + 2 * pixel, mask=is_pixel, other=0.0) * ab_scale
    b = tl.load(ab + 2 * pixel + 1, mask=is_pixel, other=0.0) * ab_scale
    cell = _cell_of(a, b, low_a, low_b, cell_size, num_rows, num_columns)
    own_bin = tl.load(nearest + cell).to(tl.int32)
    weight = tl.load(weights + own_bin) / (stride * stride)
    if from_bin:
        a, b = tl.load(centers + 2 * own_bin), tl.load(centers + 2 * own_bin + 1)
        cell = _cell_of(a, b, low_a, low_b, cell_size, num_rows, num_columns)
    entry = tl.arange(0, count_padded)[None, :]
    is_entry = entry < count
    neighbor = tl.load(neighbors + cell[:, None] * count + entry, mask=is_entry, other=0).to(tl.int32)
    from_a = tl.load(centers + 2 * neighbor) - a[:, None]
    from_b = tl.load(centers + 2 * neighbor + 1) - b[:, None]
    distance = from_a * from_a + from_b * from_b
    distance -= tl.sum(tl.where(entry == 0, distance, 0.0), 1)[:, None]  # else all values underflow at a small sigma
    value = tl.where(is_entry, tl.exp(distance * exponent), 0.0)
    value *= (weight / tl.sum(value, 1))[:, None]
    x, row = pixel % width, pixel // width  # `row` counts the rows of all images
    place = (row // stride) * (width // stride) + x // stride
    place = (place * stride + row % stride) * stride + x % stride
    out = place[:, None] * count + entry
    keep = is_pixel[:, None] & is_entry
    tl.store(bins + out, neighbor.to(tl.int16), mask=keep)
    tl.store(values + out, value, mask=keep)


@triton.jit
def _cell_of(a, b, low_a, low_b, cell_size, num_rows, num_columns):
    """Index of the lookup-table cell of each color, equal to `gamut._cell_of`; NaN is treated as 0."""
    row = tl.floor((tl.where(a == a, a, 0.0) - low_a) / cell_size)
    column = tl.floor((tl.where(b == b, b, 0.0) - low_b) / cell_size)
    row = tl.minimum(tl.maximum(row, 0.0), num_rows - 1.0).to(tl.int32)
    column = tl.minimum(tl.maximum(column, 0.0), num_columns - 1.0).to(tl.int32)
    return row * num_columns + column
