"""The version of `head_loss` for CUDA: a Triton kernel overwrites the logits with their gradient.

The loss and the gradients equal those of `head_loss.plain` except for rounding; tests/ops/test_loss_cuda.py compares
them. The kernel also makes the result deterministic: on CUDA, `scatter_add_` would add the entries of a target in a
different order in each run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional

_CHUNK = 1 << 18  # pixels whose logits exist at the same time, 168 MB in half precision; a larger chunk is no faster
# The number of logit columns is a multiple of this: tensor cores need rows that begin at a multiple of 16 bytes.
_ALIGNED = 64
_ROWS = 8  # pixels that one program processes in sequence; a larger value gives too few programs for small batches


def loss_and_gradients(rows: Tensor, weight: Tensor, bias: Tensor, bins: Tensor, values: Tensor) -> list[Tensor]:
    """The summed loss, and its gradients with respect to rows, weight and bias.

    The loss and the gradients of weight and bias are float32. The gradient of the rows has the type of the rows.

    Args:
        rows: (N, C) features.
        weight: (Q, C), weight of the head, in the type of the rows.
        bias: (Q,), bias of the head, in the type of the rows.
        bins: (N, K) integers, the bins of the targets.
        values: (N, K) float32, the values of the targets.
    """
    num_bins = len(weight)
    padding = -num_bins % _ALIGNED
    weight, bias = functional.pad(weight, (0, 0, 0, padding)), functional.pad(bias, (0, padding))
    losses = rows.new_empty(len(rows), dtype=torch.float32)
    rows_gradient = torch.empty_like(rows)
    weight_gradient = weight.new_zeros(weight.shape, dtype=torch.float32)
    sums = weight.new_empty((triton.cdiv(len(rows), _ROWS), len(weight)), dtype=torch.float32)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        logits = torch.addmm(bias, rows[part], weight.t())  # (n, Q and the padding)
        overwrite_logits(logits, num_bins, bins[part], values[part], losses[part], sums[start // _ROWS :])
        torch.mm(logits, weight, out=rows_gradient[part])
        weight_gradient += _mm_float32(logits.t(), rows[part])
    loss = losses.sum(dtype=torch.float64).float()
    return [loss, rows_gradient, weight_gradient[:num_bins], sums.sum(dim=0)[:num_bins]]


def _mm_float32(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) @ (m, k) -> (n, k) float32; a float16 result could overflow, as it is a sum over the m rows of a chunk."""
    return torch.mm(a, b) if a.dtype == torch.float32 else torch.mm(a, b, out_dtype=torch.float32)


def overwrite_logits(logits: Tensor, num_bins: int, bins: Tensor, values: Tensor, losses: Tensor, sums: Tensor) -> None:
    """Overwrite the logits with the gradient of the loss.

    Args:
        logits: (n, Q or more), overwritten with class weight * probability - target, and with 0 in columns from Q on.
        num_bins: Q.
        bins: (n, K) integers; if a bin occurs twice, its values are added.
        values: (n, K) float32.
        losses: (n,) float32, output: the loss of each pixel.
        sums: (ceil(n / _ROWS) or more, columns of the logits) float32, output: row i is the sum of the
            gradients of the i-th group of _ROWS pixels.
    """
    num_rows, num_columns = logits.shape
    num_entries = bins.shape[1]
    _overwrite_logits[(triton.cdiv(num_rows, _ROWS),)](
        logits, bins, values, losses, sums, num_rows, num_bins, num_columns, num_entries,
        triton.next_power_of_2(num_entries), _ROWS, triton.next_power_of_2(num_columns),
        num_warps=1, enable_fp_fusion=True,
    )  # fmt: skip


@triton.jit
def _overwrite_logits(
    logits, bins, values, losses, sums, num_rows, num_bins, num_columns, num_entries,
    entries: tl.constexpr, rows: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    column = tl.arange(0, block)
    entry = tl.arange(0, entries)
    is_column, is_entry = column < num_columns, entry < num_entries
    added = tl.zeros((block,), tl.float32)
    first = tl.program_id(0).to(tl.int64) * rows
    for row in range(first, tl.minimum(first + rows, num_rows)):
        place = logits + row * num_columns
        z = tl.load(place + column, mask=column < num_bins, other=float("-inf")).to(tl.float32)
        target_bin = tl.load(bins + row * num_entries + entry, mask=is_entry, other=-1).to(tl.int32)
        value = tl.load(values + row * num_entries + entry, mask=is_entry, other=0.0)
        z_target = tl.load(place + target_bin, mask=is_entry, other=0.0).to(tl.float32)
        largest = tl.max(z, 0)
        exponential = tl.exp(z - largest)
        total = tl.sum(exponential, 0)
        mass = tl.sum(value, 0)
        tl.store(losses + row, mass * (largest + tl.log(total)) - tl.sum(value * z_target, 0))
        tl.debug_barrier()  # all logits of the row have been read
        tl.store(place + column, (exponential * (mass / total)).to(logits.dtype.element_ty), mask=is_column)
        # All columns are written. To overwrite the target's bins below is cheaper than to look for them in each column.
        tl.debug_barrier()
        of_bin = tl.sum(tl.where(target_bin[:, None] == target_bin[None, :], value[None, :], 0.0), 1)
        gradient = tl.exp(z_target - largest) * (mass / total) - of_bin
        tl.store(place + target_bin, gradient.to(logits.dtype.element_ty), mask=is_entry)
        tl.debug_barrier()
        added += tl.load(place + column, mask=is_column, other=0.0).to(tl.float32)
    tl.store(sums + tl.program_id(0).to(tl.int64) * num_columns + column, added, mask=is_column)
