"""The measures of predicted distributions in docs/measures.md.

Shapes: B images of H x W pixels, Q bins, K entries of a soft target, R rows of a table of distributions. A predicted
distribution belongs to one pixel, to a block of pixels, or to all pixels; all measures look at single pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tools.review.color import BINS, Q
from tools.review.measures import Measured, Source, Truth, Values, differences, means, of_colors

MODE = "mode"
TEMPERATURES = {"annealed_mean": 0.38, "mean": 1.0}  # of the other decodings
CLOSE_LOGITS = 1e-4  # logits that float32 may order in another way
_AT_ONCE = 256  # rows that fit in the processor's cache


class Table:
    """R distributions: softmax of logits, (R, Q)."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits.astype(np.float64)
        self.log_p = np.empty_like(self.logits)
        self.means = {name: np.empty((len(logits), 2)) for name in TEMPERATURES}  # (R, 2) each, CIELAB units
        self.modes = self.logits.argmax(axis=1)  # (R,)
        self.other_modes = self.modes.copy()
        for start in range(0, len(logits), _AT_ONCE):
            self._fill(slice(start, start + _AT_ONCE))

    def _fill(self, part: slice) -> None:
        """Compute what belongs to a few rows."""
        below_top = self.logits[part] - self.logits[part].max(axis=1, keepdims=True)
        for name, temperature in TEMPERATURES.items():
            p = np.exp(below_top / temperature)
            total = p.sum(axis=1, keepdims=True)
            self.means[name][part] = p @ BINS.astype(np.float64) / total
        self.log_p[part] = below_top - np.log(total)  # the last temperature is 1
        for row in part.start + np.flatnonzero((below_top > -CLOSE_LOGITS).sum(axis=1) > 1):
            self.other_modes[row] = np.argsort(-self.logits[row])[1]

    def rank(self, rows: np.ndarray, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The number of bins that are more probable than a bin (...) of a row (...).

        The second number also counts bins that are nearly as probable.
        """
        pairs, index = np.unique(rows * Q + bins, return_inverse=True)
        ranks = np.empty((2, len(pairs)), dtype=np.int64)
        for part in np.array_split(np.arange(len(pairs)), len(pairs) // _AT_ONCE + 1):
            logits = self.logits[pairs[part] // Q]
            limit = np.take_along_axis(logits, pairs[part, None] % Q, axis=1)
            ranks[0, part] = (logits > limit).sum(axis=1)
            ranks[1, part] = (logits > limit - CLOSE_LOGITS).sum(axis=1) - 1  # without the bin itself
        return ranks[0][index], ranks[1][index]


class Distributions(NamedTuple):
    """The predicted distribution of each pixel: a row of a table."""

    table: Table
    rows: np.ndarray  # (B, H, W) int64


class Predicted(NamedTuple):
    """A prediction: colors, or distributions."""

    ab: np.ndarray | None = None  # (B, H, W, 2), CIELAB units
    plain: Distributions | None = None
    weighted: Distributions | None = None  # of the weighted cross entropies


Predictor = Callable[[Truth], Predicted]


def of_prediction(truth: Truth, predicted: Predicted, source: Source) -> dict[str, Measured]:
    """All measures that a prediction has, by decoding."""
    if predicted.plain is None:
        return {MODE: of_colors(truth, predicted.ab, source)}
    table, rows = predicted.plain
    found = {name: of_colors(truth, ab[rows], source) for name, ab in table.means.items()}
    ab, other = (BINS[modes[rows]].astype(np.float64) for modes in (table.modes, table.other_modes))
    of_mode, of_bins = of_colors(truth, ab, source, other), _of_distributions(truth, predicted, source)
    found[MODE] = Measured(of_mode.values | of_bins.values, of_mode.doubt | of_bins.doubt)
    return found


def _of_distributions(truth: Truth, predicted: Predicted, source: Source) -> Measured:
    table, rows = predicted.plain
    ranks = table.rank(rows, truth.nearest)
    found, changed = (
        means(_hits(modes[rows] == truth.nearest, rank, source.inverse_prior[truth.nearest]))
        for modes, rank in zip((table.modes, table.other_modes), ranks, strict=True)
    )
    of_pixels = losses(truth, predicted.plain, predicted.weighted or predicted.plain, source)
    return Measured(found | means(of_pixels), differences(found, changed))


def _hits(is_right: np.ndarray, rank: np.ndarray, weight: np.ndarray) -> Values:
    return {"accuracy": is_right, "rebalanced_accuracy": is_right * weight, "top5_accuracy": rank < 5}


def losses(truth: Truth, plain: Distributions, weighted: Distributions, source: Source) -> Values:
    """The losses of each pixel."""
    cross_entropy, for_weighted = (
        -(truth.targets * p.table.log_p[p.rows[..., None], truth.bins]).sum(axis=-1) for p in (plain, weighted)
    )
    entropy = -np.where(truth.targets > 0, truth.targets * np.log(np.maximum(truth.targets, 1e-300)), 0).sum(axis=-1)
    weighted_cross_entropy = source.class_weights[truth.nearest] * for_weighted
    return {
        "cross_entropy": cross_entropy,
        "weighted_cross_entropy": weighted_cross_entropy,
        "normalized_weighted_cross_entropy": weighted_cross_entropy,
        "target_entropy": entropy,
        "kl_divergence": cross_entropy - entropy,
    }
