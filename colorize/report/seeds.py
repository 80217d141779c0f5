"""Values over the seeds: their mean and standard deviation."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

DIGITS = 5  # decimals of a mean; the values of a split have as many


class OverSeeds(NamedTuple):
    """One value per seed, summarized."""

    mean: float  # rounded to 5 decimals
    sd: float | None  # standard deviation over the seeds (divisor n - 1), rounded to 5 decimals; None for one value


def over_seeds(values: Sequence[float]) -> OverSeeds:
    """Summarize one value per seed. The mean of a single value is this value."""
    sd = round(statistics.stdev(values), DIGITS) if len(values) > 1 else None
    return OverSeeds(round(statistics.fmean(values), DIGITS), sd)
