"""Section: the training curves of all runs."""

from __future__ import annotations

import statistics
from typing import Any

from colorize.layout import Run
from colorize.report.evidence import Evidence
from colorize.report.inputs import Inputs
from colorize.report.labels import format_number, model_title
from colorize.report.page.section import Section

QUANTITIES = {
    "val_cross_entropy": "Cross entropy, validation images",
    "train_cross_entropy": "Cross entropy, training images",
    "val_weighted_cross_entropy": "Weighted cross entropy, validation images",
    "train_weighted_cross_entropy": "Weighted cross entropy, training images",
    "val_l2": "L2, validation images",
    "train_l2": "L2, training images",
    "val_l1": "L1, validation images",
    "val_accuracy": "Accuracy, validation images",
    "val_loss": "Validation loss",
    "train_loss": "Training loss",
}
_OF_BEST = {"val_cross_entropy": "cross_entropy", "val_l2": "l2", "val_accuracy": "accuracy"}  # column: metric

Row = dict[str, str]


def build(evidence: Evidence) -> Section:
    """The histories by data set and model (mean and range over the seeds), and the best step of each run."""
    inputs = evidence.inputs
    curves = [[_curves(inputs, inputs.runs(name, model)) for model in inputs.models] for name in inputs.datasets]
    known = {name for of_dataset in curves for of_model in of_dataset for name in of_model}
    data = {
        "datasets": [inputs.titles[dataset] for dataset in inputs.datasets],
        "models": [model_title(model) for model in inputs.models],
        "quantities": [[name, title] for name, title in QUANTITIES.items() if name in known],
        "curves": curves,
        "seeds": len(inputs.seeds),
    }
    runs = [run for name in inputs.datasets for model in inputs.models for run in inputs.runs(name, model)]
    values = {"seeds": len(inputs.seeds), "best": [_best_row(inputs, run) for run in runs]}
    return Section("curves", "Training curves", values, data)


def _curves(inputs: Inputs, runs: list[Run]) -> dict[str, Any]:
    """The curves of one model on one data set, over the steps that the histories of all seeds have."""
    histories = [{_step(row): row for row in inputs.history(run)} for run in runs]
    steps = [step for step in histories[0] if all(step in history for history in histories)]
    found: dict[str, Any] = {"steps": steps, "best": [_step(_best(inputs.history(run))) for run in runs]}
    for name in QUANTITIES:
        values = [[history[step][name] for history in histories] for step in steps]
        if any(any(of_seeds) for of_seeds in values):
            found[name] = [_summary([float(text) for text in of_seeds if text]) for of_seeds in values]
    return found


def _best(history: list[Row]) -> Row:
    """The row with the lowest validation loss, the first one if several are equal, as training chooses it."""
    return min(history, key=lambda row: float(row["val_loss"]))


def _best_row(inputs: Inputs, run: Run) -> dict[str, Any]:
    """What the table shows of one run."""
    history = inputs.history(run)
    best = _best(history)
    values = [format_number(float(best[name]) if best[name] else None, metric) for name, metric in _OF_BEST.items()]
    return {
        "dataset": inputs.titles[run.dataset],
        "model": model_title(run.model),
        "seed": run.seed,
        "step": _step(best),
        "last": _step(history[-1]),
        "values": values,
    }


def _step(row: Row) -> int:
    return int(float(row["step"]))


def _summary(values: list[float]) -> list[float] | None:
    """Mean, smallest and largest value; None if there is none."""
    return [_round(statistics.fmean(values)), _round(min(values)), _round(max(values))] if values else None


def _round(value: float) -> float:
    return float(f"{value:.6g}")
