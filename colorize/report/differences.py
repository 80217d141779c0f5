"""Which models are the best, and the paired differences that decide it: results/differences.csv.

All models and baselines of a pair of data sets are measured on the same images, so the interval of a difference is
paired (docs/intervals.md). Table 1 and Table 2 take their marks from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from colorize import runtime
from colorize.report import labels
from colorize.report.intervals import Interval
from colorize.report.measures import (
    Measured,
    Method,
    baseline_methods,
    interval_texts,
)

COLUMNS = (
    "source", "target", "measure", "model", "other", "other_decoding", "difference", "low", "high", "groups",
)  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """One measure of a model minus the same measure of the best model or of the best baseline, on the same images."""

    source: str
    target: str
    measure: str
    method: Method
    other: Method
    interval: Interval


@dataclass(frozen=True)
class Ranking:
    """The marks of one measure of a pair of data sets.

    Attributes:
        best: the best model, and all models that cannot be told apart from it: the interval of their difference to it
            contains 0. All of them are better than every baseline; empty if no model is.
        worse: the models that are worse than a baseline.
        differences: of each model to the best model, and to the best baseline.
        baseline: the best baseline, with the decoding that makes it the best one; None if no baseline has the measure.
        intervals: of the values of all models and of the best baseline.
    """

    best: frozenset[Method] = frozenset()
    worse: frozenset[Method] = frozenset()
    differences: tuple[Difference, ...] = ()
    baseline: Method | None = None
    intervals: dict[Method, Interval] = field(default_factory=dict)


def rank(measured: Measured, measure: str, models: Iterable[Method]) -> Ranking:
    """Compare models with each other and with all baselines, in all decodings of the baselines.

    A model, or a baseline with one decoding, is only compared if it has the measure. If it is not known which values
    are better (`labels.METRIC_LABELS`), or no model has the measure, nothing is marked.
    """
    values, baselines = measured.having(measure, models), measured.having(measure, baseline_methods())
    best = labels.best_value([*values.values()], measure)
    if best is None:
        return Ranking()
    bar = labels.best_value([*baselines.values()], measure)
    baseline = None if bar is None else _first_with(baselines, bar)
    others = [_first_with(values, best), *([] if baseline is None else [baseline])]
    pairs = [(method, other) for method in values for other in others if method != other]
    found = measured.compare(measure, [*values, *others], pairs)
    different = found.differences
    equal = {method for method in values if values[method] == best or not _differs(different, method, others[0])}
    return Ranking(
        best=frozenset(method for method in equal if bar is None or _is_better(values[method], bar, measure)),
        worse=frozenset(method for method in values if bar is not None and _is_better(bar, values[method], measure)),
        differences=tuple(
            Difference(measured.source, measured.target, measure, *pair, interval)
            for pair, interval in different.items()
        ),
        baseline=baseline,
        intervals=found.means,
    )


def to_csv(rankings: Iterable[Ranking]) -> str:
    """One line per difference: `model` minus `other`, with the limits of its 95 % interval over groups of images.

    The value of `model` is that of Table 1, so it belongs to the mode. A baseline is taken with its best decoding.
    `low` and `high` are empty if the groups do not bound the difference. `groups` is the number of groups.

    Args:
        rankings: those of Table 1.
    """
    return runtime.comma_separated(COLUMNS, (_line(one) for ranking in rankings for one in ranking.differences))


def _line(one: Difference) -> tuple[str, ...]:
    return (one.source, one.target, one.measure, one.method.model, *one.other, *interval_texts(one.interval))


def _first_with(values: dict[Method, float], value: float) -> Method:
    return next(method for method in values if values[method] == value)


def _differs(found: dict[tuple[Method, Method], Interval], method: Method, other: Method) -> bool:
    """Whether two methods can be told apart; unbounded intervals contain 0."""
    return (method, other) in found and found[method, other].excludes_zero


def _is_better(value: float, other: float, measure: str) -> bool:
    return value != other and labels.best_value([value, other], measure) == value
