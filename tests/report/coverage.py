"""Coverage of the intervals on made-up images: `python -m tests.report.coverage` prints the table of docs/intervals.md.

Each group has 10 images. The intraclass correlation of every normal variable below is .8: sqrt(.8) times a value of
the group plus sqrt(.2) times a value of the image. A lognormal(s) value is exp(s x) of such a variable x. All true
means are known exactly. One repetition is one column of `intervals.ratio_limits`, or of `intervals.fieller_limits` for
a ratio of two differences. A ratio that is not defined has no limits, so it counts as an interval that contains the
truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from colorize.report import intervals

NUM_GROUPS, IMAGES, REPETITIONS, SLAB, SEED = (20, 40, 100, 1_000), 10, 3_000, 250, 7
ICC, MODELS, WEIGHTS = 0.8, 0.7, 0.5  # correlations: of images in a group; of two models; of weights and values


class Made(NamedTuple):
    """Numerators (K, G, 10) and denominators (K, G, 10) or (G, 10) of the images, and the true ratio."""

    s: np.ndarray
    w: np.ndarray
    truth: float


class Draw:
    """Clustered standard normal variables of K repetitions."""

    def __init__(self, generator: np.random.Generator, repetitions: int, num_groups: int) -> None:
        self.generator, self.shape = generator, (repetitions, num_groups, IMAGES)

    def normal(self) -> np.ndarray:
        """(K, G, 10)."""
        group = self.generator.standard_normal((*self.shape[:2], 1))
        x = self.generator.standard_normal(self.shape)
        x *= math.sqrt(1 - ICC)  # in place: further arrays of this size cost more time than the arithmetic
        x += math.sqrt(ICC) * group
        return x

    def like(self, other: np.ndarray, correlation: float) -> np.ndarray:
        """(K, G, 10), correlated with `other`."""
        x = self.normal()
        x *= math.sqrt(1 - correlation**2)
        x += correlation * other
        return x


def _normal_mean(draw: Draw) -> Made:
    return Made(x := draw.normal(), np.ones(x.shape[1:]), 0.0)


def _lognormal_mean(sigma: float) -> Callable[[Draw], Made]:
    return lambda draw: Made(x := np.exp(sigma * draw.normal()), np.ones(x.shape[1:]), math.exp(sigma**2 / 2))


def _normal_difference(draw: Draw) -> Made:
    first = draw.normal()
    return Made(first - 0.8 * draw.like(first, MODELS) + 0.3, np.ones(first.shape[1:]), 0.3)


def _lognormal_difference(draw: Draw) -> Made:
    first = draw.normal()
    s = np.exp(0.6 * first) - 1.2 * np.exp(0.6 * draw.like(first, MODELS))
    return Made(s, np.ones(s.shape[1:]), -0.2 * math.exp(0.18))


def _weighted_difference(draw: Draw) -> Made:
    """Of sum(w l) / sum(w), with lognormal(.5) weights; E[w l] / E[w] = exp(.6^2 / 2 + .6 * .5 * correlation)."""
    first = draw.normal()
    second = draw.like(first, MODELS)
    w = np.exp(0.5 * draw.like(first, WEIGHTS))
    s = w * (np.exp(0.6 * first) - 1.2 * np.exp(0.6 * second))
    truth = math.exp(0.18 + 0.3 * WEIGHTS) - 1.2 * math.exp(0.18 + 0.3 * WEIGHTS * MODELS)
    return Made(s, w, truth)


def _ratio_of_differences(reference: float) -> Callable[[Draw], Made]:
    """Of lognormal(.6) losses: (1.2 times as large - own) / (`reference` times as large - own)."""

    def made(draw: Draw) -> Made:
        first = draw.normal()
        own, cross, third = (np.exp(0.6 * x) for x in (first, draw.like(first, MODELS), draw.like(first, MODELS)))
        return Made(1.2 * cross - own, reference * third - own, 0.2 / (reference - 1))

    return made


KINDS: dict[str, Callable[[Draw], Made]] = {
    "mean, normal": _normal_mean,
    "mean, lognormal(.6)": _lognormal_mean(0.6),
    "mean, lognormal(1)": _lognormal_mean(1.0),
    "difference, normal": _normal_difference,
    "difference, lognormal(.6)": _lognormal_difference,
    "difference of sum(w l) / sum(w)": _weighted_difference,
    "ratio of two differences": _ratio_of_differences(1.5),
}
WEAK = (
    "ratio of two differences, weak denominator"  # not in the table; with 20 groups, 61 % of the ratios are not defined
)
_ALL = KINDS | {WEAK: _ratio_of_differences(1.2)}


@cache
def coverage(kind: str, num_groups: int, *, has_groups: bool = True) -> float:
    """Percentage of the intervals of 3,000 made-up splits that contain the true value.

    Args:
        kind: a key of `KINDS`, or `WEAK`.
        num_groups: G, of 10 images each.
        has_groups: whether the intervals know the groups; otherwise, each image is a group of its own.
    """
    groups = intervals.Groups.single(num_groups if has_groups else num_groups * IMAGES)
    generator = np.random.Generator(np.random.PCG64([SEED, num_groups, list(_ALL).index(kind)]))
    covered = 0
    for _ in range(REPETITIONS // SLAB):
        made = _ALL[kind](Draw(generator, SLAB, num_groups))
        s, w = (x.sum(axis=-1) if has_groups else x.reshape(*x.shape[:-2], -1) for x in (made.s, made.w))
        if kind.startswith("ratio"):
            _, low, high = intervals.fieller_limits(groups, s, w)
        else:
            _, low, high = intervals.ratio_limits(groups, s, w, allow_log=kind.startswith("mean"))
        covered += int((~((made.truth < low) | (made.truth > high))).sum())
    return 100 * covered / REPETITIONS


def percentages(kind: str) -> list[float]:
    """The numbers of one row of the table in docs/intervals.md."""
    return [*(coverage(kind, num_groups) for num_groups in NUM_GROUPS), coverage(kind, 20, has_groups=False)]


def table_row(kind: str) -> str:
    """One row of the table."""
    return f"| {kind} | " + " | ".join(f"{value:.1f} %" for value in percentages(kind)) + " |"


if __name__ == "__main__":
    print(*map(table_row, KINDS), sep="\n")
