"""Names that several packages use: names of runs, cells of Table 1, DVC stages and output folders.

No stage in `dvc.yaml` depends on this file, because a name must not change a result. If you change a path here, change
it in `dvc.yaml` too; DVC then computes the outputs at this path again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# Evaluated like models, but not trained. docs/measures.md explains them.
BASELINES = ("gray", "mean_ab", "median_ab", "prior", "target_prior", "lightness")
REFERENCES = ("oracle",)  # shown beside the baselines, but no model has to be better
UNTRAINED = (*BASELINES, *REFERENCES)
ALL_BASELINES = "baselines"  # stands for all of them in the command of the stage `baseline`


class Run(NamedTuple):
    """A model trained on a data set with one seed, or a baseline of a data set."""

    dataset: str
    model: str
    seed: int | None  # None for a baseline

    @property
    def name(self) -> str:
        """Name in stages and folders, such as `objects-unet-0` or `objects-gray`."""
        return "-".join(str(part) for part in self if part is not None)


class Cell(NamedTuple):
    """A cell of Table 1: a model trained on the data set `source`, evaluated on the test images of `target`.

    Its values are the means over the seeds.
    """

    source: str
    model: str
    target: str

    def runs(self, seeds: Iterable[int]) -> list[Run]:
        """The runs of the cell: one per seed, or a single one for a baseline."""
        return runs_of(self.source, self.model, seeds)


def runs_of(dataset: str, model: str, seeds: Iterable[int]) -> list[Run]:
    """The runs of a model on a data set: one per seed, or a single one for a baseline."""
    return [Run(dataset, model, None)] if model in UNTRAINED else [Run(dataset, model, seed) for seed in seeds]


def stage_name(name: str, *items: str) -> str:
    """DVC's name for a stage, such as `report`, or for an item of a loop, such as `train@objects-unet-0`."""
    return f"{name}@{'-'.join(items)}" if items else name


def evaluation_stage(run: Run) -> str:
    """DVC's name for the stage that evaluates a model or a baseline."""
    return stage_name("baseline", run.dataset) if run.model in UNTRAINED else stage_name("evaluate", run.name)


@dataclass(frozen=True)
class Folders:
    """Paths of the outputs of all stages, and of the sources, below the top folder of a repository."""

    root: Path = Path()

    def source(self, dataset: str) -> Path:
        """The description of a data set; for a union, the stage `union` writes it."""
        return self.root / "sources" / f"{dataset}.yaml"

    def shards(self, split: str, dataset: str) -> Path:
        """The images of one split: tars, table and manifest."""
        return self.root / "data" / "shards" / split / dataset

    def prior(self, dataset: str) -> Path:
        """The prior and the class weights."""
        return self.root / "data" / "priors" / dataset

    def model(self, run: Run) -> Path:
        """The trained weights and the sidecar that describes the training."""
        return self.root / "data" / "models" / run.name

    def history(self, run: Run) -> Path:
        """Losses and validation measures of a training, the model's layer list, and pictures of validation images."""
        return self.root / "data" / "histories" / run.name

    def evaluation(self, run: Run, target: str) -> Path:
        """The measures of every test image of `target`, and the predictions that the report shows."""
        return self.root / "data" / "evaluations" / run.name / target

    def metrics(self, cell: Cell) -> Path:
        """The JSON file with the metrics of a cell."""
        return self.root / "results" / "metrics" / f"{cell.source}-{cell.model}" / f"{cell.target}.json"
