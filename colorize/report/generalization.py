"""How well a model generalizes to another data set, relative to a model of that data set: results/generalization.csv.

For a model trained on A and the test images of B:

    ratio = (cross - own) / (reference - own)

`cross` is the loss of the model trained on A, `own` that of the same kind of model trained on B, and `reference` that
of a baseline of B. With 0, the model of A is as good as the model of B. With 1, it is only as good as the baseline. All
three are measured on the same images, so harder images alone do not make the ratio larger. A and B have no image in
common: a union of data sets is not compared with its own parts.

The cross entropy is the plain one. The weighted cross entropies of `cross` and `own` use the class weights of different
data sets, so their difference has no meaning.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from colorize import runtime
from colorize.layout import Cell
from colorize.report import labels
from colorize.report.inputs import Inputs
from colorize.report.intervals import Groups, Interval, fieller_limits

COLUMNS = ("source", "target", "model", "measure", "own", "cross", "reference", "ratio", "low", "high", "groups")
REFERENCES = {"l2": "gray", "l1": "gray", "cross_entropy": "prior", "accuracy": "prior"}  # measure: baseline of B
_DIGITS = 5


@dataclass(frozen=True)
class Generalization:
    """One measure of a model on a data set on which it was not trained.

    Attributes:
        cell: the model, its data set A (`source`), and the other data set B (`target`).
        measure: a key of `REFERENCES`.
        own: value of the model trained on B.
        cross: value of the model trained on A.
        reference: value of the baseline of B.
        ratio: (cross - own) / (reference - own) with its interval over the groups of test images of B, from
            `intervals.fieller_limits`. All its numbers are NaN if the ratio is not defined: the model of B must be
            better than the baseline by more than chance. Otherwise, the denominator can be 0, and the ratio any number.
    """

    cell: Cell
    measure: str
    own: float
    cross: float
    reference: float
    ratio: Interval


def generalizations(inputs: Inputs) -> list[Generalization]:
    """All pairs of data sets without common images, with all models and all measures that a model has.

    Raises:
        DataError: the measures of a cell are missing or damaged; names the file and the stage that makes it.
    """
    return [
        found
        for source in inputs.datasets
        for target in inputs.datasets
        if not inputs.have_common_images(source, target)
        for model in inputs.models
        for found in _of_cell(inputs, Cell(source, model, target))
    ]


def _of_cell(inputs: Inputs, cell: Cell) -> list[Generalization]:
    target, found = cell.target, []
    names = [*REFERENCES]
    cross, own = (inputs.per_image(Cell(source, cell.model, target), names=names) for source in (cell.source, target))
    references = {name: inputs.per_image(Cell(target, name, target), names=names) for name in {*REFERENCES.values()}}
    groups = own.images.groups
    for measure in (name for name in REFERENCES if name in own.measures):
        values = [of.measures[measure].astype(np.float64) for of in (own, cross, references[REFERENCES[measure]])]
        own_mean, cross_mean, reference_mean = (float(value.mean()) for value in values)
        ratio = ratio_of(groups, measure, *values)
        found.append(Generalization(cell, measure, own_mean, cross_mean, reference_mean, ratio))
    return found


def ratio_of(groups: Groups, measure: str, own: np.ndarray, cross: np.ndarray, reference: np.ndarray) -> Interval:
    """The ratio and its interval.

    Args:
        groups: of the N test images.
        measure: name of the measure, which says whether higher values are better.
        own: (N,) float64 values of the model that was trained on the data set of the images.
        cross: (N,) those of the model trained on the other data set.
        reference: (N,) those of the baseline.
    """
    sign = -1 if labels.METRIC_LABELS[measure].better == "higher" else 1  # turns an accuracy into a loss
    s, w = (groups.sums(sign * (values - own)) for values in (cross, reference))
    m, low, high = (float(limit[0]) for limit in fieller_limits(groups, s[None], w[None]))
    if w.sum() <= 0:  # the baseline is better
        m = low = high = math.nan
    return Interval(m, low, high, groups.num_groups)


def to_csv(found: Iterable[Generalization]) -> str:
    """CSV with one line per model, pair of data sets and measure; numbers of a ratio that is not defined are empty."""
    return runtime.comma_separated(COLUMNS, map(_line, found))


def _line(found: Generalization) -> list[object]:
    source, model, target = found.cell
    interval = (found.ratio.value, found.ratio.low, found.ratio.high)
    numbers = (found.own, found.cross, found.reference, *interval)
    texts = (f"{number:.{_DIGITS}f}" if math.isfinite(number) else "" for number in numbers)
    return [source, target, model, found.measure, *texts, found.ratio.num_groups]
