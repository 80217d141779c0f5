"""Section: the training curves of all runs."""

from __future__ import annotations

import statistics
from typing import Any

from colorize.layout import Run
from colorize.report.evidence import Evidence
from colorize.report.inputs import Inputs
from colorize.report.labels import model_title
from colorize.report.page.section import Section

QUANTITIES = {
    "val_loss": "Validation loss",
    "train_loss": "Training loss of single steps",
    "val_cross_entropy": "Cross entropy, validation images",
    "train_cross_entropy": "Cross entropy, training images",
    "val_l2": "L2, validation images",
    "val_l1": "L1, validation images",
    "val_accuracy": "Accuracy, validation images",
}


def build(evidence: Evidence) -> Section:
    """The histories by data set and model: mean, smallest and largest value over the seeds."""
    inputs = evidence.inputs
    data = {
        "datasets": [inputs.titles[dataset] for dataset in inputs.datasets],
        "models": [model_title(model) for model in inputs.models],
        "quantities": list(QUANTITIES.items()),
        "curves": [[_curves(inputs, inputs.runs(name, model)) for model in inputs.models] for name in inputs.datasets],
        "seeds": len(inputs.seeds),
    }
    return Section("curves", "Training curves", {"seeds": len(inputs.seeds)}, data)


def _curves(inputs: Inputs, runs: list[Run]) -> dict[str, Any]:
    """The curves of one model on one data set, over the steps that the histories of all seeds have."""
    histories = [{int(float(row["step"])): row for row in inputs.history(run)} for run in runs]
    steps = [step for step in histories[0] if all(step in history for history in histories)]
    best = [min(history, key=lambda step: float(history[step]["val_loss"])) for history in histories]
    found: dict[str, Any] = {"steps": steps, "best": best}
    for name in QUANTITIES:
        values = [[history[step][name] for history in histories] for step in steps]
        if any(any(of_seeds) for of_seeds in values):
            found[name] = [_summary([float(text) for text in of_seeds if text]) for of_seeds in values]
    return found


def _summary(values: list[float]) -> list[float] | None:
    """Mean, smallest and largest value; None if there is none."""
    return [_round(statistics.fmean(values)), _round(min(values)), _round(max(values))] if values else None


def _round(value: float) -> float:
    return float(f"{value:.6g}")
