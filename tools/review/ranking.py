"""Which models are bold or have a dagger in Table 1 and Table 2, and results/differences.csv."""

from __future__ import annotations

import functools
from typing import NamedTuple

from colorize.layout import BASELINES
from tools.review.printed import Number, Value
from tools.review.tables import DIGITS, OTHER, Method, Review, interval

HIGHER = ("accuracy", "psnr")  # higher values are better
WITHOUT_MARKS = ("colorfulness", "true_colorfulness")
TABLE1 = ("l2", "l1", "cross_entropy", "weighted_cross_entropy", "accuracy")


class Ranking(NamedTuple):
    """The marks of one column, and the differences that decide them."""

    best: set[Method]
    worse: set[Method]
    differences: dict[tuple[Method, Method], list[Value]]


@functools.cache
def rank(review: Review, measure: str, models: tuple[Method, ...]) -> Ranking:
    """Compare models with the best of them, and with all baselines in all decodings.

    Bold: better than all baselines, and the interval of the difference to the best model contains 0. Dagger: worse than
    a baseline.
    """
    source, _, target, _ = models[0]
    baselines = [method for name in BASELINES for method in review.methods(source, name, target)]
    of_models, of_baselines = (_losses(review, measure, methods) for methods in (models, baselines))
    if not of_models or measure in WITHOUT_MARKS:
        return Ranking(set(), set(), {})
    first, bar = min(of_models, key=of_models.__getitem__), min(of_baselines.values(), default=float("inf"))
    others = [first, *[method for method in of_baselines if of_baselines[method] == bar][:1]]
    measured = {method: review.measured(method) for method in (*of_models, *others)}
    differences = {
        (method, other): interval(review.groups[target], measured[method], measure, measured[other])
        for method in of_models
        for other in others
        if method != other
    }
    best = {
        method
        for method, loss in of_models.items()
        if loss < bar and (loss == of_models[first] or not _excludes_zero(differences[method, first]))
    }
    return Ranking(best, {method for method, loss in of_models.items() if loss > bar}, differences)


def _losses(review: Review, measure: str, methods: list[Method]) -> dict[Method, float]:
    """The printed value of each method that has the measure; lower is better."""
    having = [method for method in methods if measure in review.measured(method).values]
    sign = -1 if measure in HIGHER else 1
    return {method: sign * review.value(method, measure)[0].rounded for method in having}


def _excludes_zero(limits: list[Value]) -> bool:
    _, low, high = (limit.value for limit in limits)
    return low > 0 or high < 0


def check_differences(review: Review) -> None:
    """Compare results/differences.csv."""
    key = ("source", "target", "measure", "model", "other", "other_decoding")
    found = {tuple(row[name] for name in key): row for row in review.rows("results/differences.csv")}
    for source, target in review.pairs:
        for measure in TABLE1:
            ranking = rank(review, measure, tuple(review.modes(source, target, review.models)))
            for (method, other), limits in ranking.differences.items():
                where = f"results/differences.csv: {method.title} {measure} {other.model}"
                row = found.pop((source, target, measure, method.model, other.model, other.decoding), None)
                if row is None:
                    review.findings.deviation(method.title, f"{where}: this line is missing")
                    continue
                review.findings.same(method.title, where, row["groups"], str(review.groups[target].count))
                for column, value in zip(("difference", "low", "high"), limits, strict=True):
                    number = Number(f"{where}: {column}", method.title, row[column], DIGITS)
                    review.findings.compare(number, value)
    review.findings.same(OTHER, "results/differences.csv: lines that are too many", list(found), [])
