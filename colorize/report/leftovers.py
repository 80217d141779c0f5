"""Refuse results that belong to no data set, model or seed of params.yaml."""

from __future__ import annotations

from pathlib import Path

from colorize.layout import UNTRAINED, Cell
from colorize.report.inputs import Inputs
from colorize.runtime import DataError


def refuse_leftovers(inputs: Inputs) -> None:
    """Check that data/evaluations and data/histories have only folders of runs and targets that params.yaml names.

    The stage `report` depends on both folders as a whole. With another folder in them, DVC would record a hash that no
    fresh clone can have, and would run the report again there.

    Raises:
        DataError: there are other folders; names them and the remedy.
    """
    evaluations, histories = (inputs.folders.root / "data" / name for name in ("evaluations", "histories"))
    found = [*evaluations.glob("*/"), *evaluations.glob("*/*/"), *histories.glob("*/")]
    leftovers = {*found} - _expected(inputs)
    if names := [str(path) for path in sorted(leftovers) if path.parent not in leftovers]:
        raise DataError(
            f"results of no data set, model and seed of params.yaml: {', '.join(names)}; run `dvc checkout`, "
            "which removes those that DVC has recorded, delete the folders that remain, and run again"
        )


def _expected(inputs: Inputs) -> set[Path]:
    """The folders of all cells and trainings."""
    folders, datasets = inputs.folders, inputs.datasets
    models = (*UNTRAINED, *inputs.models)
    cells = [Cell(source, model, target) for source in datasets for model in models for target in datasets]
    targets = {folders.evaluation(run, cell.target) for cell in cells for run in cell.runs(inputs.seeds)}
    trained = {folders.history(run) for name in datasets for model in inputs.models for run in inputs.runs(name, model)}
    return {*targets, *(path.parent for path in targets), *trained}
