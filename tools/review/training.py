"""What the measures and baselines take from the training images: prior, class weights, mean colors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tools.review import color
from tools.review.color import Q
from tools.review.images import Images
from tools.review.measures import Source

# The values of docs/measures.md
RAREST = 0.01 / Q  # no bin counts as rarer
LEVELS = 50  # of lightness
SHARED = 10_000  # pixels that each level gets in addition


class Training(NamedTuple):
    """A training split: N distinct colors, how many pixels have each, and their soft targets."""

    pixels: np.ndarray  # (N,) float64
    lab: np.ndarray  # (N, 3)
    targets: color.Targets

    def sums(self, weights: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(Q,): sum over the pixels of the weight of the pixel's bin, (Q,), times its soft target."""
        nearest, bins, values = (array[rows] for array in self.targets)
        products = values * (self.pixels[rows] * weights[nearest])[:, None]
        return np.bincount(bins.ravel(), products.ravel(), minlength=Q)

    def constant(self, weights: np.ndarray) -> np.ndarray:
        """(Q,): `sums` with one more pixel in each bin (Laplace), normalized."""
        sums = self.sums(weights) + weights
        return sums / sums.sum()

    def by_lightness(self, weights: np.ndarray) -> np.ndarray:
        """(LEVELS, Q): the same for each level of lightness, which gets SHARED pixels of the colors of all levels."""
        shared = SHARED * (self.sums(weights) + weights) / (self.pixels.sum() + Q)
        level = level_of(self.lab[:, 0])
        sums = np.stack([self.sums(weights, np.flatnonzero(level == n)) for n in range(LEVELS)]) + shared
        return sums / sums.sum(axis=1, keepdims=True)

    def mean(self) -> np.ndarray:
        """(2,): mean ab of all pixels."""
        return self.pixels @ self.lab[:, 1:] / self.pixels.sum()

    def median(self) -> np.ndarray:
        """(2,): median of a and of b over all pixels; the lower one of two middle values."""
        ab = self.lab[:, 1:]
        return np.array([np.quantile(ab[:, i], 0.5, weights=self.pixels, method="inverted_cdf") for i in range(2)])


def level_of(L: np.ndarray) -> np.ndarray:
    """The level of lightness, int64 in [0, LEVELS)."""
    return np.clip(np.floor(L * LEVELS / 100).astype(np.int64), 0, LEVELS - 1)


def count_colors(images: Images, num_neighbors: int, sigma: float, from_pixel: bool) -> Training:
    """Count the colors of the images; each pixel counts as often as training uses its image, relative to the mean."""
    channels = images.rgb.reshape(-1, 3).astype(np.int64)
    packed, color_of = np.unique(channels @ [65536, 256, 1], return_inverse=True)
    pixels = np.bincount(color_of, np.repeat(images.weight, len(channels) // len(images.weight)))
    lab = color.to_lab(np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8))
    return Training(pixels, lab, color.encode(lab[:, 1:], num_neighbors, sigma, from_pixel))


def class_weights(prior: np.ndarray, lambda_: float) -> np.ndarray:
    """(Q,): 1 / ((1 - lambda) p + lambda / Q), with sum(p w) = 1."""
    weights = 1 / ((1 - lambda_) * prior + lambda_ / Q)
    return weights / (prior @ weights)


def source_of(training: Training, lambda_: float) -> Source:
    """The class weights and the inverse prior of a data set."""
    sums = training.sums(np.ones(Q))
    prior = sums / sums.sum()
    return Source(class_weights(prior, lambda_), 1 / np.maximum(prior, RAREST))
