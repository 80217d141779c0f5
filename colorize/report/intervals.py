"""95 % intervals over groups of images: of means, of differences between runs, and of ratios of two differences.

Images of one group are not independent, for example crops of one photograph. The groups are taken as independent.
docs/intervals.md explains the method and lists its measured coverage.

Shapes: N images, G groups, B resamples, K columns (one run, or one difference of two runs, is one column).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from statistics import NormalDist
from typing import Generic, TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)  # of a run
LEVEL = 0.95
FEW_GROUPS = 30  # below this number, an interval can be too short for measures with a few very large values
_UNBOUNDED_GROUPS = 3  # with so few groups, the limits are infinite
LARGE_GROUPS = 1_000  # from this number on, Student's t distribution replaces the resamples
RESAMPLES = 1_999  # with B + 1 = 2,000, the 95 % quantile is exactly the 1,900th smallest value
SEED = 0
_ROUNDING = 1e-10  # a relative standard error below this is the rounding error of constant values
_SLAB = 1 << 20  # float64 values of one temporary array, 8 MB


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval.

    Attributes:
        value: the mean, or the difference between two means; NaN if an image has no finite value.
        low: lower limit; -inf (0 on the log scale) if the groups do not bound it; NaN if `value` is NaN.
        high: upper limit; inf if the groups do not bound it; NaN if `value` is NaN.
        num_groups: number of groups behind the interval.
    """

    value: float
    low: float
    high: float
    num_groups: int

    def __neg__(self) -> Interval:
        """The interval of the opposite difference."""
        return Interval(-self.value, -self.high, -self.low, self.num_groups)

    @property
    def has_few_groups(self) -> bool:
        """Whether the interval rests on fewer than 30 groups."""
        return self.num_groups < FEW_GROUPS

    @property
    def is_bounded(self) -> bool:
        """Whether both limits are finite numbers."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def excludes_zero(self) -> bool:
        """For a difference: whether the two runs can be told apart. False if a limit is NaN."""
        return self.low > 0 or self.high < 0


class Comparison(Generic[Name]):
    """The intervals of one measure, computed at first use.

    Args:
        groups: of the images.
        sums: by run, (G,) float64, the sum of weight and value over each group.
        weights: (G,) float64, the sum of the weights over each group.
        pairs: (a, b) of runs.
    """

    def __init__(
        self, groups: Groups, sums: dict[Name, np.ndarray], weights: np.ndarray, pairs: list[tuple[Name, Name]]
    ) -> None:
        self._groups, self._sums, self._weights, self._pairs = groups, sums, weights, pairs

    @functools.cached_property
    def means(self) -> dict[Name, Interval]:
        """The mean of each run."""
        found = _intervals(self._groups, iter(self._sums.values()), self._weights, allow_log=True)
        return dict(zip(self._sums, found, strict=True))

    @functools.cached_property
    def differences(self) -> dict[tuple[Name, Name], Interval]:
        """For each pair (a, b): mean of a - mean of b."""
        columns = (self._sums[a] - self._sums[b] for a, b in self._pairs)
        found = _intervals(self._groups, columns, self._weights, allow_log=False)
        return dict(zip(self._pairs, found, strict=True))


class Groups:
    """The groups of N images, and the resamples of these groups.

    The resamples depend on the number of groups only. All runs and measures of one split therefore share them.

    Args:
        labels: (N,) int. Images with the same label form a group. An image with a negative label has no known group,
            and is a group of its own.

    Raises:
        ValueError: `labels` is not a list of integers, or is empty.
    """

    def __init__(self, labels: np.ndarray) -> None:
        labels = np.asarray(labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
            raise ValueError(f"labels: {labels.dtype} of shape {labels.shape}, expected (N,) integers with N > 0")
        is_known = labels >= 0
        known, self._index = np.unique(labels[is_known], return_inverse=True)
        if not is_known.all():
            index = np.empty(len(labels), dtype=np.intp)
            index[is_known] = self._index
            index[~is_known] = len(known) + np.arange(len(labels) - len(self._index))
            self._index = index
        self.num_images, self.num_groups = len(labels), int(self._index.max()) + 1

    @classmethod
    def single(cls, num_images: int) -> Groups:
        """Every image is a group of its own."""
        return cls(np.arange(num_images))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values` (N,) in each group, (G,) float64."""
        if self.num_groups == self.num_images:  # each image is a group: nothing to add
            sums = np.empty(self.num_groups)
            sums[self._index] = values
            return sums
        return np.bincount(self._index, weights=values, minlength=self.num_groups)

    @functools.cached_property
    def counts(self) -> np.ndarray:
        """How many times each group occurs in each resample of G groups, (G, B) float64.

        The groups are drawn from the raw bits of PCG64. NumPy guarantees these bits for all machines and versions. It
        gives no such guarantee for `Generator.multinomial`.
        """
        num_groups = np.uint64(self.num_groups)
        bits = np.random.PCG64(SEED).random_raw(RESAMPLES * self.num_groups) >> np.uint64(32)
        drawn = (bits * num_groups >> np.uint64(32)).astype(np.int64).reshape(RESAMPLES, self.num_groups)
        drawn += np.arange(RESAMPLES)[:, None] * self.num_groups
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)  # (B, G)
        return np.ascontiguousarray(counts.T, dtype=np.float64)  # (G, B)


def groups_of(names: np.ndarray) -> Groups:
    """The groups with these names: (N,) str, empty for an image whose group is not known."""
    _, numbers = np.unique(names, return_inverse=True)
    return Groups(np.where(names == "", -1, numbers))


def compare(
    groups: Groups,
    values: Mapping[Name, np.ndarray],
    weights: np.ndarray | None = None,
    pairs: Iterable[tuple[Name, Name]] = (),
) -> Comparison[Name]:
    """Intervals of one measure for several runs over the same images.

    The mean of a run is sum(w l) / sum(w). Call this function once for each measure, so that only the values of one
    measure must be in memory. A pair needs the same weights for both runs: with different weights, the two means are
    different measures.

    Args:
        groups: of the N images.
        values: run -> (N,) float, l of each image. If one value with a positive weight is not finite, the run has no
            mean: leaving out the image would compare the runs over different images.
        weights: (N,) float, w of each image, not negative; None: all are 1. The value of an image with weight 0 is
            ignored.
        pairs: (a, b) of runs, for the differences mean of a - mean of b.

    Raises:
        ValueError: a shape is wrong, a weight is negative or not finite; names the run.
        KeyError: a pair names a run that is not in `values`.
    """
    image_weights = np.ones(groups.num_images) if weights is None else np.asarray(weights, dtype=np.float64)
    _require_shape("weights", image_weights, groups)
    if not (np.isfinite(image_weights) & (image_weights >= 0)).all():
        raise ValueError("weights: a weight is negative or not finite")
    sums = {}
    for run in values:
        run_values = np.asarray(values[run], dtype=np.float64)
        _require_shape(str(run), run_values, groups)
        if weights is not None:
            run_values = np.where(image_weights > 0, image_weights * run_values, 0.0)
        sums[run] = groups.sums(run_values)
    wanted = list(pairs)
    if unknown := [run for pair in wanted for run in pair if run not in sums]:
        raise KeyError(unknown[0])
    return Comparison(groups, sums, groups.sums(image_weights), wanted)


def ratio_limits(
    groups: Groups, s: np.ndarray, w: np.ndarray, *, allow_log: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ratios sum(s) / sum(w) and the limits of their 95 % intervals.

    The interval is symmetric around the ratio m: m +- q se. With `allow_log`, it is symmetric around log m in every
    column whose s and w are all positive. `se` is the cluster-robust standard error; q is the 95 % quantile of
    abs(m* - m) / se* over resamples of the groups (Cameron, Gelbach and Miller 2008), or from 1,000
    groups on the 97.5 % quantile of Student's t distribution.

    Degenerate columns: the limits are infinite if there is one group, or if more than 5 % of the resamples have no
    standard error (always with two or three groups). They are equal to m if s / w is the same in all groups. All
    three results are NaN if m is not finite.

    Args:
        groups: G groups; only the number and the resamples are used.
        s: (K, G) float64, numerator of each group.
        w: (G,) or (K, G) float64, denominator of each group.
        allow_log: whether the log scale may be used.

    Returns:
        m, low, high: (K,) float64 each.
    """
    num_groups = groups.num_groups
    with np.errstate(all="ignore"):
        total = w.sum(axis=-1)
        m = s.sum(axis=-1) / total  # (K,)
        m = np.where(np.isfinite(m), m, np.nan)
        residuals = s - m[:, None] * w  # (K, G)
        spread = _norm(residuals)
        lowest = np.minimum(s, w).min(axis=-1, keepdims=True) if allow_log else np.zeros((len(s), 1))
        is_log = lowest > 0  # (K, 1)
        if num_groups == 1:
            half = np.where(np.isnan(m), np.nan, np.inf)
        else:
            half = _quantile(groups, residuals, w, m, is_log) * spread * _correction(num_groups) / np.abs(total)
            half = np.where(spread <= _ROUNDING * _norm(s), 0.0, half)  # equal in all groups
        low, high = np.where(is_log[:, 0], m * np.exp([-half / m, half / m]), [m - half, m + half])
        return m, low, high


def fieller_limits(groups: Groups, s: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ratios sum(s) / sum(w) of two differences, and the limits of their 95 % intervals (Fieller 1954).

    Use this instead of `ratio_limits` if w can be negative in some groups, so that sum(w) can be near 0. The interval
    has all numbers r for which the mean of s - r w over the groups does not differ from 0:

        (mean(s) - r mean(w))^2 <= q^2 var(s - r w) / G

    q is the 97.5 % quantile of Student's t distribution with G - 1 degrees of freedom. If mean(w) itself does not
    differ from 0, these numbers have no limits, and the ratio is not defined.

    Args:
        groups: G groups; only the number is used.
        s: (K, G) float64, numerator of each group.
        w: (K, G) float64, denominator of each group.

    Returns:
        m, low, high: (K,) float64 each; all three are NaN if the ratio is not defined, always with G < 4.
    """
    num_groups = groups.num_groups
    if num_groups <= _UNBOUNDED_GROUPS:
        return (np.full(len(s), np.nan),) * 3
    both = np.stack([s, w])  # (2, K, G)
    mean = both.mean(axis=-1)
    rest = both - mean[..., None]
    covariance = np.einsum("ikg,jkg->ijk", rest, rest) / ((num_groups - 1) * num_groups)  # (2, 2, K), of the means
    (ss, sw), (_, ww) = mean[:, None] * mean - student_t(num_groups - 1) ** 2 * covariance
    with np.errstate(all="ignore"):  # the limits are the roots of ww r^2 - 2 sw r + ss
        half = np.sqrt(np.maximum(sw * sw - ww * ss, 0))
        limits = np.stack([mean[0] / mean[1], (sw - half) / ww, (sw + half) / ww])
    m, low, high = np.where(ww > 0, limits, np.nan)
    return m, low, high


def _intervals(groups: Groups, columns: Iterator[np.ndarray], w: np.ndarray, *, allow_log: bool) -> Iterator[Interval]:
    """The interval of each column (G,) of group sums."""
    slab = max(1, _SLAB // max(groups.num_groups, RESAMPLES))
    while chunk := list(islice(columns, slab)):
        limits = ratio_limits(groups, np.stack(chunk), w, allow_log=allow_log)
        for value, low, high in zip(*limits, strict=True):
            yield Interval(float(value), float(low), float(high), groups.num_groups)


def _norm(columns: np.ndarray) -> np.ndarray:
    """Euclidean norm of each column, (K,); einsum needs no temporary array and starts no threads."""
    return np.sqrt(np.einsum("kg,kg->k", columns, columns))


def _correction(num_groups: int) -> float:
    """Factor sqrt(G / (G - 1)) of a standard error over G > 1 groups."""
    return math.sqrt(num_groups / (num_groups - 1))


def _quantile(groups: Groups, residuals: np.ndarray, w: np.ndarray, m: np.ndarray, is_log: np.ndarray) -> np.ndarray:
    """The number q of standard errors on each side of the estimate, (K,)."""
    if groups.num_groups >= LARGE_GROUPS:
        return np.full(m.shape, student_t(groups.num_groups - 1))
    counts = groups.counts
    resampled_total = w @ counts  # (B,) or (K, B)
    d = (residuals @ counts) / resampled_total  # (K, B), m* - m
    squares = (residuals * residuals) @ counts
    variance = squares - 2 * d * ((residuals * w) @ counts) + d * d * ((w * w) @ counts)
    variance[variance <= _ROUNDING * squares] = 0  # a resample of equal groups
    error = np.sqrt(variance) * _correction(groups.num_groups) / np.abs(resampled_total)
    m = m[:, None]
    t = np.abs(np.where(is_log, np.log1p(d / m) * (m + d), d) / error)
    t[np.isnan(t)] = np.inf
    rank = round(LEVEL * (RESAMPLES + 1)) - 1
    return np.partition(t, rank, axis=-1)[:, rank]


def student_t(degrees: int) -> float:
    """97.5 % quantile of Student's t distribution: within 1 % from 2 degrees of freedom on, and 1e-8 from 999 on.

    The first terms of the Cornish-Fisher expansion (Abramowitz and Stegun 1964, 26.7.5). For 2 degrees of freedom, they
    are 3 % too low, and the quantile has a closed form.
    """
    if degrees == 2:
        return LEVEL / math.sqrt((1 - LEVEL**2) / 2)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2) + third


def _require_shape(name: str, array: np.ndarray, groups: Groups) -> None:
    if array.shape != (groups.num_images,):
        raise ValueError(f"{name}: shape {array.shape}, expected ({groups.num_images},), one value for each image")
