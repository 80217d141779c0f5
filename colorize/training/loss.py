"""The paper's losses: L2 on ab, and (weighted) cross entropy against soft targets.

Shapes: N pixels, Q bins, C features, K entries of a soft target. A target is a list of K bins and their values. The
values of a pixel sum to its class weight (1 without weights). The class rebalancing of section 3.4 is therefore part of
the target (`color.targets.weigh`), and both classifier losses of the paper have one formula.
"""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.color.targets import SoftTargets
from colorize.ops import head_loss


def l2_loss(predicted: Tensor, ab_norm: Tensor) -> Tensor:
    """Half the squared error: the sum over a and b, then the mean over pixels and batch (paper, section 3.2).

    Args:
        predicted: (B, 2, H, W) ab_norm.
        ab_norm: (B, 2, H, W).

    Returns:
        scalar.
    """
    return (predicted - ab_norm).square().sum(dim=1).mean() / 2


def soft_cross_entropy(features: Tensor, head: torch.nn.Conv2d, targets: SoftTargets) -> Tensor:
    """Cross entropy of the head's distribution against soft targets, mean over pixels (paper, sections 3.3 and 3.4).

    Let z = head(features) be the logits of a pixel. Let t be its target, whose sum over the bins is the class weight.

        loss = mean over pixels of  -sum over bins q of  t[q] * log softmax(z)[q]

    `ops/head_loss.py` has this formula in plain PyTorch, and an equivalent faster function, which is called here.

    Args:
        features: (B, C, h, w), the input of the head.
        head: 1x1 convolution from C channels to Q bins.
        targets: (B, h, w, K), pooled to the size of the features.

    Returns:
        scalar, in nats.
    """
    assert head.bias is not None
    rows = features.movedim(1, -1).flatten(0, 2)  # (N, C)
    bins, values = targets.bins.flatten(0, 2), targets.values.flatten(0, 2)  # (N, K)
    return head_loss.soft_cross_entropy(rows, head.weight.flatten(1), head.bias, bins, values)
