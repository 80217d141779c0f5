"""Measures of predicted bins and distributions, besides those of the paper."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.evaluation import paper
from colorize.evaluation.measuring import Compared, mean_per_image

_TOP = 5
_CACHED_PIXELS = 1 << 8  # 320 KB of logits


def inverse_prior(batch: Compared) -> Tensor:
    """Inverse prior of the true bin, mean over pixels: the weight of the rebalanced measures."""
    return mean_per_image(batch.inverse_prior[batch.true_bins])


def kl_divergence(batch: Compared) -> Tensor:
    """Kullback-Leibler divergence of the prediction from the soft targets, mean over pixels, in nats.

    It is the cross entropy without the entropy of the targets, which no model can avoid.
    """
    return batch.once(paper.cross_entropy) - batch.once(paper.target_entropy)


def top5_accuracy(batch: Compared) -> Tensor:
    """Fraction of the pixels whose true bin has fewer than five bins above it in the predicted distribution."""
    starts = range(batch.stride)
    true_bins = [batch.true_bins[:, row :: batch.stride, column :: batch.stride] for row in starts for column in starts]
    return mean_per_image(torch.stack([_rank(batch.logits, bins) < _TOP for bins in true_bins], dim=1))


def rebalanced_accuracy(batch: Compared) -> Tensor:
    """Accuracy with each pixel weighted by the inverse prior of its true bin; its weight is `inverse_prior`."""
    is_right = batch.predicted_bins == batch.true_bins
    return mean_per_image(is_right * batch.inverse_prior[batch.true_bins])


def _rank(logits: Tensor, bins: Tensor) -> Tensor:
    """Number of bins that are more probable than a given bin of every pixel; `topk` would take ten times as long.

    Args:
        logits: (B, Q, h, w).
        bins: (B, h, w) int64.

    Returns:
        (B, h, w) float32.
    """
    rows = logits.movedim(1, -1).flatten(0, 2)  # (B h w, Q)
    at_once = len(rows) if logits.is_cuda else _CACHED_PIXELS
    ones = rows.new_ones(rows.shape[1])
    counts = []
    for part, at in zip(rows.split(at_once), bins.reshape(-1, 1).split(at_once), strict=True):
        is_above = torch.empty_like(part)  # 0 or 1 as floats: a matrix product then adds them up
        counts.append(torch.gt(part, part.gather(1, at), out=is_above) @ ones)
    return torch.cat(counts).view(bins.shape)
