"""95 % intervals of means over images, as docs/intervals.md describes them, without shortcuts."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from scipy.stats import t as student

RESAMPLES = 1_999
LARGE = 1_000  # groups


class Groups:
    """The groups of N images: (N,) names; an image without a name is a group of its own."""

    def __init__(self, names: np.ndarray) -> None:
        order = {name: n for n, name in enumerate(sorted(set(names.tolist()) - {""}))}
        for n in np.flatnonzero(names == ""):
            order[int(n)] = len(order)
        self.count = len(order)
        self._index = np.array([order[name or n] for n, name in enumerate(names.tolist())])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(N,) -> (G,)."""
        sums = np.zeros(self.count)
        np.add.at(sums, self._index, values)
        return sums

    def members(self) -> Iterator[np.ndarray]:
        """(N,) bool for each group: the images in it."""
        return (self._index == group for group in range(self.count))

    @functools.cached_property
    def drawn(self) -> np.ndarray:
        """(B, G) int64: the groups of each resample. The upper 32 bits of each number of PCG64, times G / 2^32."""
        numbers = np.random.PCG64(0).random_raw(RESAMPLES * self.count)
        return np.array([int(n >> 32) * self.count >> 32 for n in numbers.tolist()]).reshape(RESAMPLES, self.count)

    def interval(
        self, values: np.ndarray, weights: np.ndarray | None = None, may_be_log: bool = True
    ) -> tuple[float, float, float]:
        """The ratio sum(values) / sum(weights), and its limits.

        Args:
            values: (N,), the products of weight and value.
            weights: (N,); None: all are 1.
            may_be_log: whether the interval of positive values is computed for the logarithm.
        """
        s, w = self.sums(values), self.sums(np.ones(len(values)) if weights is None else weights)
        mean, error = _estimate(s, w)
        is_log = may_be_log and (s > 0).all() and (w > 0).all()
        if self.count == 1:
            half = np.inf
        elif np.ptp(s / w) <= 1e-9 * abs(mean):  # the same in all groups
            half = 0.0
        else:
            half = self._quantile(s, w, is_log) * error
        if is_log:
            return float(mean), float(mean * np.exp(-half / mean)), float(mean * np.exp(half / mean))
        return float(mean), float(mean - half), float(mean + half)

    def _quantile(self, s: np.ndarray, w: np.ndarray, is_log: bool) -> float:
        if self.count >= LARGE:
            return float(student.ppf(0.975, self.count - 1))
        mean, _ = _estimate(s, w)
        means, errors = _estimate(s[self.drawn], w[self.drawn])  # (B,)
        has_spread = errors > 1e-9 * np.abs(means)
        if is_log:
            means, errors, mean = np.log(means), errors / means, np.log(mean)
        t = np.full(RESAMPLES, np.inf)
        t[has_spread] = (np.abs(means - mean) / np.where(has_spread, errors, 1))[has_spread]
        return float(np.sort(t)[round(0.95 * (RESAMPLES + 1)) - 1])


def _estimate(s: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratio of the sums and its cluster-robust standard error, over the last dimension of G groups."""
    total = w.sum(axis=-1)
    mean = s.sum(axis=-1) / total
    residuals = s - mean[..., None] * w
    groups = s.shape[-1]
    spread = np.square(residuals).sum(axis=-1) * groups / max(groups - 1, 1)
    return mean, np.sqrt(spread) / total
