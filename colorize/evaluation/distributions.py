"""Measures of predicted bins and distributions, besides those of the paper."""

from __future__ import annotations

from torch import Tensor

from colorize.evaluation import paper
from colorize.evaluation.measuring import Compared, mean_per_image

_TOP = 5


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
    return mean_per_image(batch.distributions.rank(batch.pooled_true_bins.bins) < _TOP)


def rebalanced_accuracy(batch: Compared) -> Tensor:
    """Accuracy with each pixel weighted by the inverse prior of its true bin; its weight is `inverse_prior`."""
    is_right = batch.predicted_bins == batch.true_bins
    return mean_per_image(is_right * batch.inverse_prior[batch.true_bins])
