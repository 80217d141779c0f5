"""What the measures and baselines take from the training images: prior, class weights, mean colors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tools.review import color
from tools.review.color import Q
from tools.review.measures import Source

RAREST = 0.01 / Q  # docs/measures.md: no bin counts as rarer


class Training(NamedTuple):
    """A training split: N distinct colors, how many pixels have each, and their soft targets."""

    pixels: np.ndarray  # (N,) float64
    lab: np.ndarray  # (N, 3)
    targets: color.Targets

    def mean_target(self, weights: np.ndarray) -> np.ndarray:
        """(Q,): mean over the pixels of the weight of the pixel's bin, (Q,), times its soft target; normalized."""
        values = self.targets.values * (self.pixels * weights[self.targets.nearest])[:, None]
        total = np.bincount(self.targets.bins.ravel(), values.ravel(), minlength=Q)
        return total / total.sum()


def count_colors(rgb: np.ndarray, num_neighbors: int, sigma: float, from_pixel: bool) -> Training:
    """Count the colors of (N, H, W, 3) uint8 images."""
    channels = rgb.reshape(-1, 3).astype(np.int64)
    packed, pixels = np.unique(channels @ [65536, 256, 1], return_counts=True)
    lab = color.to_lab(np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8))
    return Training(pixels.astype(np.float64), lab, color.encode(lab[:, 1:], num_neighbors, sigma, from_pixel))


def class_weights(prior: np.ndarray, lambda_: float) -> np.ndarray:
    """(Q,): 1 / ((1 - lambda) p + lambda / Q), with sum(p w) = 1."""
    weights = 1 / ((1 - lambda_) * prior + lambda_ / Q)
    return weights / (prior @ weights)


def source_of(training: Training, lambda_: float) -> Source:
    """The class weights and the inverse prior of a data set."""
    prior = training.mean_target(np.ones(Q))
    return Source(class_weights(prior, lambda_), 1 / np.maximum(prior, RAREST))
