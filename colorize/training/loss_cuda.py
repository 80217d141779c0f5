"""The fused head and loss on CUDA: a Triton kernel writes the gradient over the logits, one program a pixel.

Written for determinism as well: `scatter_add_` of the targets would add in another order every time.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_CHUNK = 1 << 16  # pixels whose logits exist at a time: 41 MB in half precision, which a large GPU's cache holds


def loss_and_gradients(rows: Tensor, weight: Tensor, bias: Tensor, bins: Tensor, values: Tensor) -> list[Tensor]:
    """The summed loss, and its gradients by rows, weight and bias; all but that of the rows in float32.

    Args:
        rows: (N, C) features.
        weight: (Q, C) of the head, of the rows' type.
        bias: (Q,), of the rows' type.
        bins: (N, K) int64, of the targets.
        values: (N, K) float32.
    """
    losses = rows.new_empty(len(rows), dtype=torch.float32)
    rows_gradient = torch.empty_like(rows)
    weight_gradient = weight.new_zeros(weight.shape, dtype=torch.float32)
    bias_gradient = bias.new_zeros(bias.shape, dtype=torch.float32)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        logits = torch.addmm(bias, rows[part], weight.t())  # (n, Q)
        overwrite_logits(logits, bins[part], values[part], losses[part])
        torch.mm(logits, weight, out=rows_gradient[part])
        weight_gradient += _mm_float32(logits.t(), rows[part])
        bias_gradient += logits.sum(dim=0, dtype=torch.float32)
    return [losses.sum(dtype=torch.float64).float(), rows_gradient, weight_gradient, bias_gradient]


def _mm_float32(a: Tensor, b: Tensor) -> Tensor:
    """A product that keeps the float32 in which it is summed: 65,536 rows would overflow float16."""
    return torch.mm(a, b) if a.dtype == torch.float32 else torch.mm(a, b, out_dtype=torch.float32)


def overwrite_logits(logits: Tensor, bins: Tensor, values: Tensor, losses: Tensor) -> None:
    """Turn logits into the gradient of their loss.

    Args:
        logits: (n, Q), replaced by class weight times probability, less the target.
        bins: (n, K) int64; of a pixel that comes twice, the values add up.
        values: (n, K) float32.
        losses: (n,) float32, to be filled.
    """
    num_bins = logits.shape[1]
    _overwrite_logits[(len(logits),)](
        logits, bins, values, losses, num_bins, bins.shape[1], block=triton.next_power_of_2(num_bins), num_warps=4
    )  # fmt: skip


@triton.jit
def _overwrite_logits(logits, bins, values, losses, num_bins, num_entries: tl.constexpr, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    is_bin = columns < num_bins
    z = tl.load(logits + row * num_bins + columns, mask=is_bin, other=float("-inf")).to(tl.float32)
    target = tl.zeros((block,), tl.float32)
    for entry in range(num_entries):
        target_bin = tl.load(bins + row * num_entries + entry)
        target += tl.where(columns == target_bin, tl.load(values + row * num_entries + entry), 0.0)
    largest = tl.max(z, 0)
    exponential = tl.exp(z - largest)
    total = tl.sum(exponential, 0)
    mass = tl.sum(target, 0)
    product = tl.sum(target * tl.where(is_bin, z, 0.0), 0)
    tl.store(losses + row, mass * (largest + tl.log(total)) - product)
    gradient = exponential * (mass / total) - target
    tl.store(logits + row * num_bins + columns, gradient.to(logits.dtype.element_ty), mask=is_bin)
