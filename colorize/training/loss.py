"""The paper's losses: L2 on ab, and (weighted) cross entropy against sparse soft targets, fused with the 1x1 head.

Shapes: N pixels, Q bins, C features, K entries of a soft target. A target is a list of K bins and their values;
the values of a pixel sum to its class weight (1 where unweighted), which is all that is needed of the weight:

    loss = mean over pixels of  sum(values) * logsumexp(z) - sum(values * z[bins])

A dense (N, Q) target never exists, and the logits of a chunk of pixels only while its gradient is computed: the head's
product, the loss and the gradient stay in a CPU's cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.targets import SoftTargets

# Pixels whose logits exist at a time: 1.3 MB, which a core's cache holds, or few launches of large kernels on a GPU.
_CHUNK, _CHUNK_ON_GPU = 1 << 10, 1 << 17


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
        needs_gradient = any(ctx.needs_input_grad)
        loss = rows.new_zeros((), dtype=torch.float64)  # a mean over 10^7 pixels needs more than float32's digits
        grads = [torch.empty_like(rows), torch.zeros_like(weight), torch.zeros_like(bias)] if needs_gradient else []
        chunk = _CHUNK if rows.device.type == "cpu" else _CHUNK_ON_GPU
        for start in range(0, len(rows), chunk):
            part = slice(start, start + chunk)
            logits = torch.addmm(bias, rows[part], weight.t())  # (n, Q)
            loss -= (values[part] * logits.log_softmax(dim=1).gather(1, bins[part])).sum()
            if needs_gradient:
                grad = _gradient(logits, bins[part], values[part]).div_(len(rows))
                torch.mm(grad, weight, out=grads[0][part])
                grads[1].addmm_(grad.t(), rows[part])
                grads[2] += grad.sum(dim=0)
        ctx.save_for_backward(*grads)
        return (loss / len(rows)).float()

    @staticmethod
    def backward(ctx, grad: Tensor):
        rows, weight, bias = ctx.saved_tensors
        return grad * rows, grad * weight, grad * bias, None, None


def _gradient(logits: Tensor, bins: Tensor, values: Tensor) -> Tensor:
    """(n, Q) gradient of the summed loss by the logits: class weight times probability, less the target."""
    mass = values.sum(dim=1, keepdim=True)  # (n, 1)
    return logits.softmax(dim=1).mul_(mass).scatter_add_(1, bins, -values)
