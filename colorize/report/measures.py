"""All measures of all cells with their 95 % intervals: results/measures.csv."""

from __future__ import annotations

import csv
import io
import math

import numpy as np

from colorize.layout import BASELINES, Cell
from colorize.report.inputs import Inputs, PerImage
from colorize.report.intervals import Groups, Interval, compare
from colorize.report.seeds import over_seeds

COLUMNS = ("source", "target", "model", "measure", "value", "low", "high", "groups", "seeds", "sd")
_DIGITS = 5


def to_csv(inputs: Inputs) -> str:
    """One line per cell and measure.

    `value` is the value over the test split, and `low` and `high` are the limits of its 95 % interval over groups of
    images (docs/intervals.md). They are empty if the groups do not bound the value. `groups` is the number of groups.
    `seeds` is the number of seeds, which is 1 for a baseline. With several seeds, `value` is the mean over the seeds,
    the interval is that of this mean, and `sd` is the standard deviation over the seeds; otherwise, `sd` is empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for source in inputs.datasets:
        for target in inputs.datasets:
            cells = {model: Cell(source, model, target) for model in (*BASELINES, *inputs.models)}
            by_seed = {model: inputs.values_by_seed(cell) for model, cell in cells.items()}
            found = {model: inputs.per_image(cell) for model, cell in cells.items()}
            groups = Groups(group_numbers(next(iter(found.values())).group))
            for measure in dict.fromkeys(name for cell in found.values() for name in cell.measures):
                for model, *texts in _rows(groups, found, measure):
                    seeds = _seed_texts(cells[model], inputs.seeds, by_seed[model].get(measure, []))
                    writer.writerow((source, target, model, *texts, *seeds))
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


def _seed_texts(cell: Cell, seeds: list[int], values: list[float]) -> tuple[str, str]:
    """The number of seeds of a cell, and the standard deviation of its values over them."""
    sd = over_seeds(values).sd if values else None
    return str(len(cell.runs(seeds))), "" if sd is None else f"{sd:.{_DIGITS}f}"


def _divide(products: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.divide(products, weights, out=np.zeros_like(products), where=weights > 0)


def _texts(interval: Interval) -> tuple[str, str, str, str]:
    numbers = (interval.value, interval.low, interval.high)
    value, low, high = (f"{number:.{_DIGITS}f}" if math.isfinite(number) else "" for number in numbers)
    return value, low, high, str(interval.num_groups)
