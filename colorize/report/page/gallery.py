"""Section: predictions of the same test images by all models."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from colorize.layout import Cell
from colorize.report.evidence import Evidence
from colorize.report.inputs import Inputs, Predictions
from colorize.report.labels import metric_title, model_title
from colorize.report.page import pictures
from colorize.report.page.section import Section

IMAGES = 40  # largest number per data set
MEASURES = ("l2", "psnr", "ssim", "ciede2000", "colorfulness", "colorfulness_error", "cross_entropy", "accuracy")
LARGEST_ENTROPY = math.log(313)  # nats: all bins are equally probable


def build(evidence: Evidence, before: Inputs | None = None) -> Section:
    """The pictures of every model, and their measures.

    Args:
        evidence: the results.
        before: another run, whose predictions of the same images are shown beside those of this run.
    """
    inputs = evidence.inputs
    targets = [_target(inputs, target) for target in inputs.datasets]
    data = {
        "columns": pictures.COLUMNS,
        "targets": targets,
        "isComparison": before is not None,
        "sources": [inputs.titles[source] for source in inputs.datasets],
        "models": [model_title(model) for model in inputs.models],
        "measures": [[name, metric_title(name)] for name in (*MEASURES, "entropy")],
        "runs": [
            [
                [_run(inputs, Cell(source, model, target), before) for model in inputs.models]
                for source in inputs.datasets
            ]
            for target in inputs.datasets
        ],
    }
    values = {"seed_note": inputs.seed_note, "count": max(len(target["images"]) for target in targets)}
    return Section("gallery", "Pictures", values, data)


def chosen(predictions: Predictions) -> np.ndarray:
    """Positions of at most `IMAGES` of the evenly spaced images, (n,) int64; the same for all models of a target."""
    saved = np.flatnonzero(predictions.is_saved)
    return (
        saved[np.linspace(0, len(saved) - 1, min(IMAGES, len(saved))).round().astype(np.int64)] if len(saved) else saved
    )


def _target(inputs: Inputs, target: str) -> dict[str, Any]:
    """Names, inputs and true colors of the images of a data set."""
    predictions = inputs.predictions(Cell(target, inputs.models[0], target))
    rows = chosen(predictions)
    return {
        "title": inputs.titles[target],
        "side": pictures.side_of(predictions.truth.shape[1]),
        "images": [[int(predictions.key[row]), str(predictions.source[row])] for row in rows],
        "truth": pictures.sprite(predictions.truth[rows], is_lossless=True),
        "gray": pictures.sprite(predictions.gray[rows], is_lossless=True),
    }


def _run(inputs: Inputs, cell: Cell, before: Inputs | None) -> dict[str, Any]:
    """The pictures of one model, and the measures of the mode for each of them."""
    predictions = inputs.predictions(cell)
    rows = chosen(predictions)
    measures = measures_of(inputs, cell, predictions.key[rows], MEASURES)
    found: dict[str, Any] = {"mode": pictures.sprite(predictions.predicted[rows])}
    if predictions.annealed_mean is not None and predictions.entropy is not None:
        entropy = predictions.entropy[rows]
        found["annealed"] = pictures.sprite(predictions.annealed_mean[rows])
        found["entropy"] = pictures.sprite(pictures.heat(entropy, LARGEST_ENTROPY))
        found["entropySide"] = pictures.side_of(entropy.shape[1])
        measures["entropy"] = entropy.astype(np.float64).mean(axis=(1, 2))
    if before is not None and (other := _before(before, cell, predictions.key[rows])):
        found["before"] = other
    return found | {"measures": {name: [float(f"{x:.4g}") for x in values] for name, values in measures.items()}}


def _before(inputs: Inputs, cell: Cell, keys: np.ndarray) -> str:
    """The sprite of another run with the same images; empty if that run does not have this cell or these images."""
    if cell.model not in inputs.models or not {cell.source, cell.target} <= {*inputs.datasets}:
        return ""
    predictions = inputs.predictions(cell)
    if not np.isin(keys, predictions.key).all():
        return ""
    return pictures.sprite(predictions.predicted[predictions.positions_of(keys)])


def measures_of(inputs: Inputs, cell: Cell, keys: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The measures of some images, (n,) each; the measures that the model does not have are left out."""
    found = inputs.per_image(cell, names=names)
    order = np.argsort(found.key)
    rows = order[np.searchsorted(found.key, keys, sorter=order)]
    return {name: found.measures[name][rows] for name in names if name in found.measures}
