"""The paper's measures of one image: L2, L1, accuracy of the predicted bin, and cross entropies with their weight.

Validation uses this file too, so DVC trains every model again after a change in this file. Therefore add a new measure
to `measures.py`, which only evaluation uses.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from colorize.color.targets import SoftTargets, pool, weigh
from colorize.evaluation.measuring import Compared, Kind, Measure, mean_per_image


def l2(batch: Compared) -> Tensor:
    """Squared error of ab / 128, mean over pixels and both channels."""
    return mean_per_image((batch.predicted - batch.ab_norm).square())


def l1(batch: Compared) -> Tensor:
    """Absolute error of ab / 128, mean over pixels and both channels."""
    return mean_per_image((batch.predicted - batch.ab_norm).abs())


def accuracy(batch: Compared) -> Tensor:
    """Fraction of the pixels whose predicted bin is the bin nearest to the true color."""
    return mean_per_image(batch.predicted_bins == batch.true_bins)


def cross_entropy(batch: Compared) -> Tensor:
    """Cross entropy against the soft targets, mean over pixels, in nats."""
    return _soft_cross_entropy(batch.once(_log_probabilities), batch.pooled_targets)


def weighted_cross_entropy(batch: Compared) -> Tensor:
    """Cross entropy with each pixel multiplied by its class weight, mean over pixels, in nats."""
    weighted, distributions = batch.pooled_weighted_targets, batch.distributions_for_weighted
    if distributions is batch.distributions:
        return _soft_cross_entropy(batch.once(_log_probabilities), weighted)
    return _soft_cross_entropy(distributions.log_probabilities(weighted.bins), weighted)


def cross_entropy_with(weights: Tensor) -> Callable[[Compared], Tensor]:
    """The measure `weighted_cross_entropy` with other class weights, (Q,), than those of the batch."""

    def measure(batch: Compared) -> Tensor:
        weighted = pool(weigh(batch.targets, batch.ab_norm, weights), batch.stride)
        return _soft_cross_entropy(batch.once(_log_probabilities), weighted)

    return measure


def target_entropy(batch: Compared) -> Tensor:
    """Entropy of the soft targets, mean over pixels, in nats; it is a lower bound of the cross entropy."""
    values = batch.targets.values
    return mean_per_image(-(values * values.clamp_min(1e-30).log()).sum(dim=-1))


def class_weight(batch: Compared) -> Tensor:
    """Class weight of the true bin, mean over pixels: the weight of `normalized_weighted_cross_entropy`."""
    return mean_per_image(batch.weights[batch.true_bins])


MEASURES: dict[str, Measure] = {
    "l2": Measure(l2, Kind.COLORS),
    "l1": Measure(l1, Kind.COLORS),
    "accuracy": Measure(accuracy, Kind.DISTRIBUTIONS),
    "cross_entropy": Measure(cross_entropy, Kind.DISTRIBUTIONS),
    "weighted_cross_entropy": Measure(weighted_cross_entropy, Kind.DISTRIBUTIONS),
}


def _log_probabilities(batch: Compared) -> Tensor:
    """Log probabilities of the bins of the soft targets, (B, h, w, K). All cross entropies of a model share them."""
    return batch.distributions.log_probabilities(batch.pooled_targets.bins)


def _soft_cross_entropy(log_p: Tensor, targets: SoftTargets) -> Tensor:
    """Cross entropy against soft targets.

    Args:
        log_p: (B, h, w, K) log probabilities of the targets' bins.
        targets: (B, h, w, K) targets.

    Returns:
        (B,) float64, mean over pixels, in nats.
    """
    return mean_per_image(-(targets.values * log_p).sum(dim=-1))
