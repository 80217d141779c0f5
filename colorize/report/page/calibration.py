"""Section: how well the predicted probabilities fit, and what the temperature of the distributions changes."""

from __future__ import annotations

from typing import Any

from colorize.layout import Run
from colorize.report.evidence import Evidence
from colorize.report.inputs import TEMPERATURE_COLUMNS, Inputs
from colorize.report.labels import ABSENT, model_title
from colorize.report.page.section import Section

QUANTITIES = {
    "calibration_error": "Calibration error",
    "negative_log_likelihood": "Negative log likelihood of the true bin, nats",
    "cross_entropy": "Cross entropy, nats",
    "l2": "L2 of the mean color",
    "psnr": "PSNR of the mean color, dB",
    "colorfulness": "Colorfulness of the mean color",
}

Row = dict[str, str]


def build(evidence: Evidence) -> Section | None:
    """The curves of all classifiers; None if there are none."""
    inputs = evidence.inputs
    if not inputs.classifiers:
        return None
    pairs = [(source, target) for source in inputs.datasets for target in inputs.datasets]
    runs = {pair: [inputs.runs(pair[0], model)[0] for model in inputs.classifiers] for pair in pairs}
    data = {
        "models": [[model_title(model), inputs.models.index(model)] for model in inputs.classifiers],
        "pairs": [f"{inputs.titles[source]} → {inputs.titles[target]}" for source, target in pairs],
        "quantities": list(QUANTITIES.items()),
        "temperatures": [[_temperature(inputs, run, pair[1]) for run in runs[pair]] for pair in pairs],
        "reliability": [[_reliability(inputs, run, pair[1]) for run in runs[pair]] for pair in pairs],
    }
    values = {
        "seed_note": inputs.seed_note,
        "rows": [_summary(inputs, run, target) for source, target in pairs for run in runs[source, target]],
    }
    return Section("calibration", "Do the probabilities fit?", values, data)


def _temperature(inputs: Inputs, run: Run, target: str) -> dict[str, list[float | None]]:
    rows = inputs.temperature_curve(run, target)
    columns = [name for name in TEMPERATURE_COLUMNS if name == "temperature" or name in QUANTITIES]
    return {name: [float(row[name]) if row[name] else None for row in rows] for name in columns}


def _reliability(inputs: Inputs, run: Run, target: str) -> list[list[Any]]:
    """Limits of each interval of the top probability, accuracy, and share of the pixels."""
    rows = inputs.reliability(run, target)
    total = sum(float(row["pixels"]) for row in rows) or 1
    return [
        [
            round(float(row["low"]), 4),
            round(float(row["high"]), 4),
            float(row["accuracy"]) if row["accuracy"] else None,
            round(float(row["pixels"]) / total, 4),
        ]
        for row in rows
    ]


def _summary(inputs: Inputs, run: Run, target: str) -> dict[str, str]:
    """What the table shows of one run: the calibration error as trained, and the temperature that fits best."""
    rows = [row for row in inputs.temperature_curve(run, target) if row["negative_log_likelihood"]]
    as_trained = next((row for row in rows if float(row["temperature"]) == 1), None)
    best = min(rows, key=lambda row: float(row["negative_log_likelihood"]), default=None)
    return {
        "source": inputs.titles[run.dataset],
        "target": inputs.titles[target],
        "model": model_title(run.model),
        "error": _text(as_trained, "calibration_error", 3),
        "likelihood": _text(as_trained, "negative_log_likelihood", 3),
        "temperature": _text(best, "temperature", 2),
        "best_likelihood": _text(best, "negative_log_likelihood", 3),
    }


def _text(row: Row | None, name: str, decimals: int) -> str:
    return f"{float(row[name]):.{decimals}f}" if row and row[name] else ABSENT
