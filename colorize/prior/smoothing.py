"""Distributions over the bins from counts of pixels, smoothed so that no bin has probability 0.

The baselines predict these distributions. One rule holds for all of them, Laplace's rule of succession: every bin gets
one pixel more than was counted. The soft target of this pixel is its own bin alone.

Shapes: `joint` is the (Q, Q) table of `counts.bin_counts`: sums of soft targets, by bin of the pixel and bin of the
target. `weights` is (Q,): the weight of a pixel is that of its own bin, as in the weighted cross entropy. With weights
of 1, the distribution is that with the lowest plain cross entropy on the counted images, apart from the added pixels.
With class weights, it is that with the lowest weighted cross entropy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from colorize.color.gamut import NUM_BINS
from colorize.prior.files import load_array

# Both values were chosen on the validation images of the default run, by the mean of the plain and the weighted cross
# entropy of both data sets; docs/measures.md has the numbers.
LEVELS = 50  # levels of lightness, each 2 units of L wide
_SHARED_PIXELS = 10_000  # pixels that each level gets in addition, with the colors of all levels

FILES = {  # files of a prior that only the baselines read: shape of the array, and whether it is a color
    "joint": ((NUM_BINS, NUM_BINS), False),
    "lightness_prior": ((LEVELS, NUM_BINS), False),
    "mean_ab": ((2,), True),
    "median_ab": ((2,), True),
    "weighted_lightness_prior": ((LEVELS, NUM_BINS), False),
}


def load(folder: Path, name: str) -> np.ndarray:
    """Read one of `FILES` from a data set's folder of priors; errors are those of `load_array`."""
    return load_array(folder / f"{name}.npy", *FILES[name])


def level_of(L: Tensor) -> Tensor:
    """The level of lightness of each pixel: L (...) in [0, 100] -> (...) int64 in [0, LEVELS)."""
    return (L * (LEVELS / 100)).long().clamp(0, LEVELS - 1)


def constant(joint: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One distribution for all pixels: (Q,) float64, every value above 0."""
    mean_target = _mean_target(joint, weights)
    return mean_target / mean_target.sum()


def by_lightness(levels: np.ndarray, joint: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The distribution p(bin | L) of each level of lightness.

    Few pixels say little about a level. Therefore each level gets 10,000 pixels in addition, as many as 2.4 images of
    the default run have. Their colors are distributed as those of all levels together, Laplace's pixels included.

    Args:
        levels: (LEVELS, Q), the sums of the weighted soft targets by level, as `counts.lightness_counts` returns them.
        joint: the same pixels by bin.
        weights: the weights in `levels`.

    Returns:
        (LEVELS, Q) float64; each row sums to 1, and every value is above 0.
    """
    smoothed = levels + _SHARED_PIXELS * _mean_target(joint, weights)
    return smoothed / smoothed.sum(axis=1, keepdims=True)


def _mean_target(joint: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(Q,): mean over the counted pixels and Laplace's pixels of weight times soft target."""
    pixels = joint + np.eye(len(joint))
    return weights @ pixels / pixels.sum()
