"""Over-fitting of every classifier as numbers: gap = loss of validation images - loss of training images.

Both losses are measured in the same way, in evaluation mode, on the fixed images of `training/validation.py`. Three
things must be known to read a gap:

- A gap also contains the difference between the two sets of images: the validation images can be harder. Before the
  first step, there is no over-fitting, and the gap at "first" shows this difference alone. With
  `train.head_bias: prior`, it is large and depends on the distribution that the model starts with. Therefore compare
  how much the gaps of two models have grown since "first", and not the gaps.
- A weighted cross entropy depends on how many rare colors the images have. `normalized_weighted_cross_entropy`, which
  is sum(w l) / sum(w), removes most of this influence. The gap of `weighted_cross_entropy` itself is hard to interpret.
- A gap has no interval: the history has means over images, and no values of single images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from colorize import runtime
from colorize.layout import Run
from colorize.report.inputs import Inputs

Row = dict[str, str]  # of a history
COLUMNS = ("dataset", "model", "seed", "measure", "at", "step", "train", "val", "gap")
MEASURES = ("cross_entropy", "weighted_cross_entropy", "normalized_weighted_cross_entropy")
STEPS: dict[str, Callable[[list[Row]], Row]] = {
    "first": lambda rows: rows[0],
    "best": lambda rows: min(rows, key=lambda row: float(row["val_loss"])),  # the first one, if several are equal
    "last": lambda rows: rows[-1],
}
_DIGITS = 5


@dataclass(frozen=True)
class Gap:
    """The losses of one classifier at one step, in nats.

    Attributes:
        run: the training.
        measure: one of `MEASURES`; all classifiers of a data set have the same class weights here.
        at: "first" for step 0, before the training; "best" for the step with the lowest validation loss; "last" for the
            last step. The best step is chosen with the validation images, so its `val` and its gap are too low by a
            small amount.
        step: number of the step.
        train: loss of the fixed training images.
        val: loss of the fixed validation images.
    """

    run: Run
    measure: str
    at: str
    step: int
    train: float
    val: float

    @property
    def gap(self) -> float:
        """How much lower the loss of the training images is, in nats. Over-fitting makes it grow."""
        return self.val - self.train


def gaps(inputs: Inputs) -> list[Gap]:
    """The gaps of all classifiers, in the order of data sets, models, seeds, `MEASURES` and `STEPS`.

    Raises:
        DataError: a history is missing or damaged; names the file and the stage that makes it.
    """
    found = []
    datasets, models = inputs.datasets, inputs.classifiers
    for run in (run for dataset in datasets for model in models for run in inputs.runs(dataset, model)):
        history = inputs.history(run)
        for measure in MEASURES:
            for at, choose in STEPS.items():
                row = choose(history)
                train, val = (loss(row, split, measure) for split in ("train", "val"))
                found.append(Gap(run, measure, at, int(float(row["step"])), train, val))
    return found


def loss(row: Row, split: str, measure: str) -> float:
    """A loss in a row of a history.

    Args:
        row: of a model that has the measure.
        split: "train" or "val".
        measure: one of `MEASURES`, or "l2".
    """
    if measure == "normalized_weighted_cross_entropy":
        return float(row[f"{split}_weighted_cross_entropy"]) / float(row[f"{split}_class_weight"])
    return float(row[f"{split}_{measure}"])


def to_csv(found: Iterable[Gap]) -> str:
    """CSV with one line per gap."""
    return runtime.comma_separated(COLUMNS, map(_line, found))


def _line(gap: Gap) -> list[object]:
    numbers = (f"{number:.{_DIGITS}f}" for number in (gap.train, gap.val, gap.gap))
    return [*gap.run, gap.measure, gap.at, gap.step, *numbers]
