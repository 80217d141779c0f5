"""Class rebalancing weights (paper, section 3.4)."""

from __future__ import annotations

import numpy as np


def rebalancing_weights(prior: np.ndarray, lambda_: float = 0.5) -> np.ndarray:
    """Class weights, larger for rarer bins: w = 1 / ((1 - lambda) p + lambda / Q), scaled so that sum(p w) = 1.

    Args:
        prior: (Q,) smoothed probabilities that sum to 1; zeros are allowed, because lambda > 0 limits the weights.
        lambda_: share of the uniform distribution, in (0, 1].

    Returns:
        (Q,) float64.

    Raises:
        ValueError: lambda is out of range, or the prior has negative values or does not sum to 1.
    """
    if not 0 < lambda_ <= 1:
        raise ValueError(f"lambda is {lambda_}, expected 0 < lambda <= 1")
    if (prior < 0).any() or not np.isclose(prior.sum(), 1, atol=1e-4):
        raise ValueError(f"the prior sums to {prior.sum():.6f}, expected probabilities that sum to 1")
    weights = 1 / ((1 - lambda_) * prior + lambda_ / len(prior))
    return weights / (prior * weights).sum()
