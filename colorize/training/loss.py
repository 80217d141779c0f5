"""The paper's losses: L2 on ab, and (weighted) cross entropy against sparse soft targets, fused with the 1x1 head.

Shapes: N pixels, Q bins, C features, K entries of a soft target. A target is a list of K bins and their values;
the values of a pixel sum to its class weight (1 where unweighted), which is all that is needed of the weight:

    loss = mean over pixels of  sum(values) * logsumexp(z) - sum(values * z[bins])

A dense (N, Q) target never exists, and the logits only of a chunk of pixels, until its gradient is known: the head's
product, the loss and the gradient stay in the processor's cache. Features in half precision (autocast) multiply in it;
exponentials and sums are float32, as under autocast.
"""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.color.targets import SoftTargets

_CHUNK = 1 << 10  # pixels whose logits exist at a time: 1.3 MB, which a core's cache holds


def l2_loss(predicted: Tensor, ab_norm: Tensor) -> Tensor:
    """Half the squared error summed over a and b, mean over pixels and batch (paper, section 3.2).

    Args:
        predicted: (B, 2, H, W) ab_norm.
        ab_norm: (B, 2, H, W).

    Returns:
        scalar.
    """
    return (predicted - ab_norm).square().sum(dim=1).mean() / 2


def soft_cross_entropy(features: Tensor, head: torch.nn.Conv2d, targets: SoftTargets) -> Tensor:
    """Cross entropy of the head's distribution against soft targets, mean over pixels (paper, sections 3.3 and 3.4).

    Args:
        features: (B, C, H, W), what the head reads.
        head: 1x1 convolution from C channels to Q bins.
        targets: (B, H, W, K).

    Returns:
        scalar, in nats.
    """
    rows = features.movedim(1, -1).flatten(0, 2)  # (N, C)
    bins, values = targets.bins.flatten(0, 2), targets.values.flatten(0, 2)  # (N, K)
    return _FusedHead.apply(rows, head.weight.flatten(1), head.bias, bins, values)


class _FusedHead(torch.autograd.Function):
    """Head, loss and their gradient in one pass over chunks of pixels; backward only scales what forward found."""

    @staticmethod
    def forward(ctx, rows: Tensor, weight: Tensor, bias: Tensor, bins: Tensor, values: Tensor) -> Tensor:
        low = (rows, weight.to(rows.dtype), bias.to(rows.dtype))
        with torch.autocast(rows.device.type, enabled=False):  # its casts would come once a chunk
            if rows.device.type == "cuda":
                from colorize.ops import loss_cuda  # Triton comes with torch's builds for CUDA alone

                loss, *gradients = loss_cuda.loss_and_gradients(*low, bins, values)
            else:
                loss, *gradients = _loss_and_gradients(*low, bins, values)
        ctx.save_for_backward(*gradients)
        return loss / len(rows)

    @staticmethod
    def backward(ctx, grad: Tensor):
        rows, weight, bias = ctx.saved_tensors
        grad = grad / len(rows)  # not earlier: float16 would lose what is small
        return grad.to(rows.dtype) * rows, grad * weight, grad * bias, None, None


def _loss_and_gradients(rows: Tensor, weight: Tensor, bias: Tensor, bins: Tensor, values: Tensor) -> list[Tensor]:
    """The summed loss, and its gradients by rows, weight and bias; all but that of the rows in float32.

    In a chunk nothing is done that can be done for all pixels at once: what an operator costs to start adds up.
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
    # In float64, since a mean over 10^7 pixels needs more than float32's digits.
    loss = (mass * normalizer).sum(dtype=torch.float64) - (values * logits_of_bins).sum(dtype=torch.float64)
    return [loss.float(), *gradients]


def _logarithm(p: Tensor, rows: Tensor, weight: Tensor, bias: Tensor, bins: Tensor) -> Tensor:
    """(N, 1) log p, also where p is too small for a float."""
    log_p, is_lost = p.log(), p[:, 0] < torch.finfo(p.dtype).tiny
    logits = torch.addmm(bias, rows[is_lost], weight.t()).float()
    log_p[is_lost] = logits.log_softmax(dim=1).gather(1, bins[is_lost])
    return log_p
