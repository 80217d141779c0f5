"""All measures of all models and baselines on one pair of data sets, and results/measures.csv with their intervals."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from colorize import runtime
from colorize.layout import BASELINES, UNTRAINED, Cell
from colorize.report import labels
from colorize.report.inputs import Inputs, PerImage, spec_of
from colorize.report.intervals import Comparison, Groups, Interval, Name, compare
from colorize.report.seeds import OverSeeds, over_seeds
from colorize.runtime import DataError

COLUMNS = ("source", "target", "model", "decoding", "measure", "value", "low", "high", "groups", "seeds", "sd")
WITH_DISTRIBUTION = ("prior", "target_prior", "lightness")  # baselines that predict a distribution over the bins
_DIGITS = 5
_AT_ONCE = 1 << 27  # bytes of measures in memory; more are read in several passes


class Method(NamedTuple):
    """A model or a baseline, and how colors are made of its distribution."""

    model: str
    decoding: str  # a key of `labels.DECODINGS`; empty if the model predicts no distribution


@dataclass(frozen=True)
class Measured:
    """What was measured of several methods, which are trained on `source`, on the test images of `target`."""

    source: str
    target: str
    values: dict[Method, dict[str, OverSeeds]]  # over the split
    images: dict[Method, PerImage]  # the means over the seeds
    groups: Groups

    def having(self, measure: str, methods: Iterable[Method]) -> dict[Method, float]:
        """The value of each of these methods that has the measure: the mean over the seeds."""
        return {method: self.values[method][measure].mean for method in methods if measure in self.values[method]}

    def compare(
        self, measure: str, methods: Collection[Method], pairs: Iterable[tuple[Method, Method]] = ()
    ) -> Comparison[Method]:
        """The intervals of a measure that all these methods have, and those of the differences of `pairs`."""
        return compare_images(self.groups, {method: self.images[method] for method in methods}, measure, pairs)


class Line(NamedTuple):
    """One measure of one method: a line of results/measures.csv."""

    source: str
    target: str
    method: Method
    measure: str
    interval: Interval  # its value is that over the test split: the mean over the seeds
    seeds: int
    sd: float | None  # standard deviation over the seeds; None for a single seed


def compare_images(
    groups: Groups, images: Mapping[Name, PerImage], measure: str, pairs: Iterable[tuple[Name, Name]] = ()
) -> Comparison[Name]:
    """The intervals of a measure that all of these have; its weight must be the same for all, as the images are."""
    values = {name: found.measures[measure].astype(np.float64) for name, found in images.items()}
    first = next(iter(images.values()))
    if (weight := first.weights.get(measure)) is None:
        return compare(groups, values, pairs=pairs)
    weights = first.measures[weight].astype(np.float64)  # the files have the products of value and weight
    quotients = {name: _divide(products, weights) for name, products in values.items()}
    return compare(groups, quotients, weights, pairs)


def methods_of(model: str) -> list[Method]:
    """The model with each decoding, the mode first; a model without a distribution has a single, empty one."""
    has_distribution = model in WITH_DISTRIBUTION or (model not in UNTRAINED and spec_of(model).is_classifier)
    return [Method(model, decoding) for decoding in (labels.DECODINGS if has_distribution else ("",))]


def read_measured(
    inputs: Inputs,
    source: str,
    target: str,
    names: Collection[str] | None = None,
    methods: Collection[Method] | None = None,
) -> Measured:
    """Read the measures of models and baselines.

    Args:
        inputs: the input files.
        source: data set of the training.
        target: data set of the test images.
        names: measures whose values per image are read, with their weights; None reads all. At 328,500 images, one
            measure needs 1.3 MB per method.
        methods: None: all baselines, models and references with all decodings.

    Raises:
        DataError: a file is missing or damaged, or has other images than the others; names it and the remedy.
    """
    methods = _methods(inputs) if methods is None else list(methods)
    values: dict[Method, dict[str, OverSeeds]] = {}
    images: dict[Method, PerImage] = {}
    for method in methods:
        cell = Cell(source, method.model, target)
        found = inputs.values_by_seed(cell, method.decoding)
        values[method] = {name: over_seeds(of_seeds) for name, of_seeds in found.items()}
        images[method] = inputs.per_image(cell, method.decoding, names)
    first = images[methods[0]]
    for method in methods:
        if not np.array_equal(images[method].images.key, first.images.key):
            folders = f"data/evaluations of {source}-{method.model} and {source}-{methods[0].model} on {target}"
            raise DataError(f"{folders}: their images differ; run `make verify`, which names the damaged files")
    return Measured(source, target, values, images, first.images.groups)


def baseline_methods() -> list[Method]:
    """All baselines with all their decodings."""
    return [method for model in BASELINES for method in methods_of(model)]


def lines(inputs: Inputs) -> Iterator[Line]:
    """All measures of all methods, by source, target and measure; a method without a measure has no line for it."""
    methods = _methods(inputs)
    for source in inputs.datasets:
        for target in inputs.datasets:
            cells = [(Cell(source, method.model, target), method.decoding) for method in methods]
            names = list(dict.fromkeys(name for one in cells for name in inputs.measure_names(*one)))
            at_once = max(1, _AT_ONCE // (4 * inputs.num_images(cells[0][0]) * len(methods)))
            for start in range(0, len(names), at_once):
                measured = read_measured(inputs, source, target, names[start : start + at_once])
                for measure in names[start : start + at_once]:
                    yield from _lines(inputs, measured, measure)


def _methods(inputs: Inputs) -> list[Method]:
    """All baselines, models and references with all decodings."""
    return [method for model in (*UNTRAINED, *inputs.models) for method in methods_of(model)]


def _lines(inputs: Inputs, measured: Measured, measure: str) -> Iterator[Line]:
    having = [method for method, found in measured.images.items() if measure in found.measures]
    for method, interval in measured.compare(measure, having).means.items():
        number = len(Cell(measured.source, method.model, measured.target).runs(inputs.seeds))
        value = measured.values[method].get(measure)
        yield Line(measured.source, measured.target, method, measure, interval, number, value.sd if value else None)


def to_csv(found: Iterable[Line]) -> str:
    """One line per method and measure.

    `decoding` says how colors are made of the distribution of the model. It is empty if the model has none.
    `value` is the value over the test split, and `low` and `high` are the limits of its 95 % interval over groups of
    images (docs/intervals.md). They are empty if the groups do not bound the value. `groups` is the number of groups.
    `seeds` is the number of seeds, which is 1 for a baseline. With several seeds, `value` is the mean over the seeds,
    the interval is that of this mean, and `sd` is the standard deviation over the seeds; otherwise, `sd` is empty.

    Args:
        found: all of `lines`.
    """
    return runtime.comma_separated(COLUMNS, map(_texts, found))


def _texts(line: Line) -> tuple[str, ...]:
    sd = "" if line.sd is None else f"{line.sd:.{_DIGITS}f}"
    where = (line.source, line.target, *line.method, line.measure)
    return (*where, *interval_texts(line.interval), str(line.seeds), sd)


def interval_texts(interval: Interval) -> tuple[str, str, str, str]:
    """The texts of `value`, `low`, `high` and `groups` in a CSV; a number that is not finite is empty."""
    numbers = (interval.value, interval.low, interval.high)
    value, low, high = (f"{number:.{_DIGITS}f}" if math.isfinite(number) else "" for number in numbers)
    return value, low, high, str(interval.num_groups)


def _divide(products: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.divide(products, weights, out=np.zeros_like(products), where=weights > 0)
