"""The classifiers' last layer, a 1x1 convolution, computed together with the loss and both gradients.

`soft_cross_entropy` equals `plain` except for rounding; tests/ops/test_head_loss.py compares values and gradients.

Shapes: N pixels, Q bins, C features, K entries of a soft target. No dense (N, Q) target is created, and the (N, Q)
logits never exist all at once. They are computed for one chunk of pixels, and are discarded when the gradients of the
chunk are known. The logits and their gradient therefore stay in the processor's cache. Features in half precision
(autocast) are multiplied in half precision. Exponentials and sums are float32, as under autocast.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_CHUNK = 1 << 10  # pixels whose logits exist at the same time: 1.3 MB, which fits into the cache of a core


def plain(rows: Tensor, weight: Tensor, bias: Tensor, bins: Tensor, values: Tensor) -> Tensor:
    """The plain version of `soft_cross_entropy`, with the same arguments and result."""
    logits = functional.linear(rows, weight.to(rows.dtype), bias.to(rows.dtype))  # (N, Q)
    log_p = logits.to(values.dtype).log_softmax(dim=1)
    return -(values * log_p.gather(1, bins.long())).sum(dim=1).mean()


def soft_cross_entropy(rows: Tensor, weight: Tensor, bias: Tensor, bins: Tensor, values: Tensor) -> Tensor:
    """Cross entropy of the distributions softmax(rows @ weight.T + bias) against sparse soft targets.

    Args:
        rows: (N, C) features, float32, bfloat16 or float16.
        weight: (Q, C) float32, weight of the head.
        bias: (Q,) float32, bias of the head.
        bins: (N, K) integers, the bins of the targets; a bin may occur more than once.
        values: (N, K) float32, the values of the targets; the values of a pixel sum to its class weight.

    Returns:
        scalar float32, mean over pixels, in nats.
    """
    return _FusedHead.apply(rows, weight, bias, bins, values)


class _FusedHead(torch.autograd.Function):
    """Head, loss and gradients in one pass over chunks of pixels; `backward` only scales the gradients."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, bins: Tensor, values: Tensor) -> Tensor:
        in_type_of_rows = (rows, weight.to(rows.dtype), bias.to(rows.dtype))
        with torch.autocast(rows.device.type, enabled=False):  # autocast would convert again for every chunk
            if rows.device.type == "cuda":
                from colorize.ops import loss_cuda  # only torch's builds for CUDA include Triton

                loss, *gradients = loss_cuda.loss_and_gradients(*in_type_of_rows, bins, values)
            else:
                loss, *gradients = _loss_and_gradients(*in_type_of_rows, bins, values)
        ctx.save_for_backward(*gradients)
        return loss / len(rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, bias = ctx.saved_tensors
        grad = grad / len(rows)  # divided only here: gradients of the mean could underflow in float16
        return grad.to(rows.dtype) * rows, grad * weight, grad * bias, None, None


def _loss_and_gradients(rows: Tensor, weight: Tensor, bias: Tensor, bins: Tensor, values: Tensor) -> list[Tensor]:
    """The summed loss, and its gradients with respect to rows, weight and bias; the last two are float32.

    Let z be the logits of a pixel and p their softmax. The loss is sum(values) * logsumexp(z) - sum(values * z[bins]).
    The gradient with respect to z is sum(values) * p, minus the values at their bins. The loop over chunks contains as
    few operations as possible, because each call of an operator has a fixed cost.
    """
    mass = values.sum(dim=1, keepdim=True)  # (N, 1): class weight
    gradients = [torch.empty_like(rows), weight.new_zeros(weight.shape, dtype=torch.float32)]
    gradients += [bias.new_zeros(bias.shape, dtype=torch.float32)]
    logits_of_bins, p_first = torch.empty_like(values), torch.empty_like(mass)
    p = values.new_empty((_CHUNK, len(weight)))
    logits = torch.empty_like(p, dtype=rows.dtype)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        n = len(rows[part])
        torch.addmm(bias, rows[part], weight.t(), out=logits[:n])
        torch.softmax(logits[:n].float(), dim=1, out=p[:n])
        logits_of_bins[part] = logits[:n].gather(1, bins[part])
        torch.gather(p[:n], 1, bins[part, :1], out=p_first[part])
        logits_gradient = p[:n].mul_(mass[part]).scatter_add_(1, bins[part], -values[part]).to(rows.dtype)
        torch.mm(logits_gradient, weight, out=gradients[0][part])
        gradients[1].add_(torch.mm(logits_gradient.t(), rows[part]))
        gradients[2].add_(p[:n].sum(dim=0))
    normalizer = logits_of_bins[:, :1] - _logarithm(p_first, rows, weight, bias, bins[:, :1])  # logsumexp
    # The sums are float64, because float32 has too few digits for a mean over 10^7 pixels.
    loss = (mass * normalizer).sum(dtype=torch.float64) - (values * logits_of_bins).sum(dtype=torch.float64)
    return [loss.float(), *gradients]


def _logarithm(p: Tensor, rows: Tensor, weight: Tensor, bias: Tensor, bins: Tensor) -> Tensor:
    """(N, 1) log p; if p is too small for a normal float, log p is computed again from the logits."""
    log_p, is_lost = p.log(), p[:, 0] < torch.finfo(p.dtype).tiny
    logits = torch.addmm(bias, rows[is_lost], weight.t()).float()
    log_p[is_lost] = logits.log_softmax(dim=1).gather(1, bins[is_lost])
    return log_p
