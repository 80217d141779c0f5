"""All measures of all cells with their 95 % intervals: results/measures.csv."""

from __future__ import annotations

import csv
import io
import math

import numpy as np

from colorize.layout import BASELINES, Cell
from colorize.report.inputs import Inputs, PerImage
from colorize.report.intervals import Groups, Interval, compare

COLUMNS = ("source", "target", "model", "measure", "value", "low", "high", "groups")
_DIGITS = 5


def to_csv(inputs: Inputs) -> str:
    """One line per cell and measure.

    `value` is the value over the test split, and `low` and `high` are the limits of its 95 % interval over groups of
    images (docs/intervals.md). They are empty if the groups do not bound the value. `groups` is the number of groups.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for source in inputs.datasets:
        for target in inputs.datasets:
            cells = {model: inputs.per_image(Cell(source, model, target)) for model in (*BASELINES, *inputs.models)}
            groups = Groups(group_numbers(next(iter(cells.values())).group))
            for measure in dict.fromkeys(name for cell in cells.values() for name in cell.measures):
                writer.writerows((source, target, *row) for row in _rows(groups, cells, measure))
    return text.getvalue()


def group_numbers(names: np.ndarray) -> np.ndarray:
    """(N,) names of groups -> (N,) numbers; -1 for an image whose group is not known."""
    _, numbers = np.unique(names, return_inverse=True)
    return np.where(names == "", -1, numbers)


def _rows(groups: Groups, cells: dict[str, PerImage], measure: str) -> list[tuple[str, ...]]:
    """The lines of one measure; a model that does not have it has no line."""
    having = {model: cell for model, cell in cells.items() if measure in cell.measures}
    values = {model: cell.measures[measure].astype(np.float64) for model, cell in having.items()}
    first = next(iter(having.values()))
    if (weight := first.weights.get(measure)) is None:
        found = compare(groups, values)
    else:  # the files have the products of value and weight
        weights = first.measures[weight].astype(np.float64)
        found = compare(groups, {model: _divide(products, weights) for model, products in values.items()}, weights)
    return [(model, measure, *_texts(interval)) for model, interval in found.means.items()]


def _divide(products: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.divide(products, weights, out=np.zeros_like(products), where=weights > 0)


def _texts(interval: Interval) -> tuple[str, str, str, str]:
    numbers = (interval.value, interval.low, interval.high)
    value, low, high = (f"{number:.{_DIGITS}f}" if math.isfinite(number) else "" for number in numbers)
    return value, low, high, str(interval.num_groups)
