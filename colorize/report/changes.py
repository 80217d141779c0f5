"""The differences between two runs, such as two commits or two experiments: `make compare`.

Both runs evaluate their models on test images. If these are the same images, the difference of a measure has a paired
95 % interval over groups of images, as between two models of one run (docs/intervals.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from colorize.layout import Cell
from colorize.report import labels
from colorize.report.inputs import Inputs, PerImage
from colorize.report.intervals import Groups, Interval
from colorize.report.measures import Method, compare_images, methods_of
from colorize.report.seeds import over_seeds

_TRUTH = "true_colorfulness"  # depends on the test images alone
_NONE = Interval(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class Change:
    """One measure of a model in both runs."""

    source: str
    target: str
    method: Method
    measure: str
    before: float  # means over the seeds
    after: float
    difference: Interval  # after - before; all NaN if the runs have other test images or other weights of the images

    @property
    def is_clear(self) -> bool:
        """Whether the difference is larger than the chance of the test images explains."""
        return self.difference.excludes_zero

    @property
    def is_in_table1(self) -> bool:
        """Whether Table 1 shows this measure."""
        return self.measure in labels.TABLE1_METRICS and self.method.decoding in labels.MODES

    @property
    def size(self) -> float:
        """The difference in units of half the width of its interval; 0 if there is no interval."""
        half = (self.difference.high - self.difference.low) / 2
        return abs(self.difference.value) / half if half > 0 and math.isfinite(half) else 0.0


@dataclass(frozen=True)
class Changes:
    """How a run differs from another one."""

    changed: list[Change]  # clear changes first; of these, the measures of Table 1, then by the size of the change
    equal: int  # number of measures with exactly the same value for every test image
    added: list[Cell] = field(default_factory=list)  # only in the run after
    removed: list[Cell] = field(default_factory=list)  # only in the run before


def compare_runs(before: Inputs, after: Inputs) -> Changes:
    """Compare all measures of all trained models that both runs have.

    Raises:
        DataError: a file of one of the runs is missing or damaged.
    """
    cells, others = _cells(before), _cells(after)
    found = [change for cell in cells if cell in others for change in _changes(before, after, cell)]
    changed = [change for change in found if change.before != change.after or change.difference.value != 0]
    return Changes(
        changed=sorted(changed, key=lambda change: (not change.is_clear, not change.is_in_table1, -change.size)),
        equal=len(found) - len(changed),
        added=[cell for cell in others if cell not in cells],
        removed=[cell for cell in cells if cell not in others],
    )


def _cells(inputs: Inputs) -> list[Cell]:
    datasets = inputs.datasets
    return [Cell(source, model, target) for source in datasets for model in inputs.models for target in datasets]


def _changes(before: Inputs, after: Inputs, cell: Cell) -> Iterator[Change]:
    for method in methods_of(cell.model):
        were, are = (_means(inputs, cell, method) for inputs in (before, after))
        old, new = (inputs.per_image(cell, method.decoding) for inputs in (before, after))
        groups = new.images.groups if _are_same(old, new) else None
        for measure in (name for name in are if name in were and not _is_of_truth(new, name)):
            interval = _NONE if groups is None else _difference(groups, old, new, measure)
            yield Change(cell.source, cell.target, method, measure, were[measure], are[measure], interval)


def _means(inputs: Inputs, cell: Cell, method: Method) -> dict[str, float]:
    by_seed = inputs.values_by_seed(cell, method.decoding)
    return {name: over_seeds(values).mean for name, values in by_seed.items()}


def _is_of_truth(images: PerImage, measure: str) -> bool:
    """Whether a measure does not depend on the predictions."""
    return measure.startswith("true_") or measure in {*images.weights.values(), "target_entropy"}


def _are_same(before: PerImage, after: PerImage) -> bool:
    """Whether both runs have the same test images in the same groups."""
    if not before.images.are(after.images):
        return False
    truth, other = (images.measures.get(_TRUTH, np.empty(0)) for images in (before, after))
    return np.array_equal(truth, other)


def _difference(groups: Groups, before: PerImage, after: PerImage, measure: str) -> Interval:
    """After minus before; the weights of the images must be the same, because they are a part of the measure."""
    weight = after.weights.get(measure)
    if before.weights.get(measure) != weight:
        return _NONE
    if weight is not None and not np.array_equal(after.measures[weight], before.measures[weight]):
        return _NONE
    return compare_images(groups, {"a": after, "b": before}, measure, [("a", "b")]).differences["a", "b"]


def verdict(change: Change) -> str:
    """What the difference says, for a reader."""
    if math.isnan(change.difference.value):
        return "other test images or weights: no interval"
    if not change.is_clear:
        return "can be chance"
    best = labels.best_value([change.before, change.after], change.measure)
    return "changed" if best is None else "better" if best == change.after else "worse"
