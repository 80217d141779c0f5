"""Section: predictions of the same test images by all models."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np

from colorize.layout import Cell
from colorize.report.evidence import Evidence
from colorize.report.inputs import Inputs, Predictions, spec_of
from colorize.report.labels import DECODINGS, METRIC_LABELS, model_title
from colorize.report.page import pictures
from colorize.report.page.measured import ENTROPY, groups_of, label_of, mean_entropy, measures_of, of_first_seed
from colorize.report.page.section import Section

IMAGES, FEWEST = 40, 8  # per data set
PIXELS = 20_000_000  # of the predictions and entropy maps of all models: about 8 MB
SHOWN_DECODINGS = ("mode", "annealed_mean")  # evaluation saves pictures of these


def build(evidence: Evidence, before: Inputs | None = None) -> Section | None:
    """The pictures of every model, and their measures.

    Args:
        evidence: the results.
        before: another run, whose predictions of the same images are shown beside those of this run.
    """
    inputs = of_first_seed(evidence.inputs)
    count = image_count(inputs)
    keys = {
        target: chosen(inputs.predictions(Cell(target, inputs.models[0], target)), count) for target in inputs.datasets
    }
    if not all(map(len, keys.values())):
        return None
    runs = [
        [
            [_run(inputs, Cell(source, model, target), keys[target], before) for model in inputs.models]
            for source in inputs.datasets
        ]
        for target in inputs.datasets
    ]
    data = {
        "columns": pictures.COLUMNS,
        "isComparison": before is not None,
        "scale": pictures.entropy_scale(),
        "sources": [inputs.titles[source] for source in inputs.datasets],
        "models": [model_title(model) for model in inputs.models],
        "first": next((n for n, model in enumerate(inputs.models) if spec_of(model).is_classifier), 0),
        "decodings": [[name, DECODINGS[name]] for name in SHOWN_DECODINGS],
        "measures": _measures(runs),
        "targets": [_target(inputs, target, keys[target]) for target in inputs.datasets],
        "runs": runs,
    }
    values = {
        "seed_note": evidence.inputs.seed_note,
        "count": max(map(len, keys.values())),
        "size": _largest_size(inputs),
        "side": pictures.LARGEST,
    }
    return Section("gallery", "Pictures", values, data)


def image_count(inputs: Inputs) -> int:
    """Images per data set: at most `IMAGES`, and so few that all pictures have at most `PIXELS` pixels."""
    kinds = sum(3 if spec_of(model).is_classifier else 1 for model in inputs.models)  # two decodings and the entropy
    side = pictures.side_of(_largest_size(inputs))
    fitting = PIXELS // (kinds * len(inputs.datasets) ** 2 * side**2)
    return max(FEWEST, min(IMAGES, fitting))


def chosen(predictions: Predictions, count: int) -> np.ndarray:
    """Keys of at most `count` of the evenly spaced images, (n,) int64; they are the same for all models of a target."""
    saved = predictions.key[predictions.is_saved]
    return saved[np.linspace(0, len(saved) - 1, min(count, len(saved))).round().astype(np.int64)]


def file_name(source: str) -> str:
    """The last part of the name of an image in its archive."""
    return PurePosixPath(source).name or source


def _largest_size(inputs: Inputs) -> int:
    """Side of the largest saved images, pixels."""
    first = inputs.models[0]
    return max(inputs.predictions(Cell(target, first, target)).truth.shape[1] for target in inputs.datasets)


def _target(inputs: Inputs, target: str, keys: np.ndarray) -> dict[str, Any]:
    """Names, inputs and true colors of the images of a data set."""
    cell = Cell(target, inputs.models[0], target)
    predictions, groups = inputs.predictions(cell), groups_of(inputs, cell, keys)
    rows = predictions.positions_of(keys)
    names = [str(predictions.source[row]) for row in rows]
    return {
        "title": inputs.titles[target],
        "side": pictures.side_of(predictions.truth.shape[1]),
        "images": [[int(keys[n]), file_name(name), name, groups[n]] for n, name in enumerate(names)],
        "truth": pictures.sprite(predictions.truth[rows], is_lossless=True),
        "gray": pictures.sprite(predictions.gray[rows], is_lossless=True),
    }


def _run(inputs: Inputs, cell: Cell, keys: np.ndarray, before: Inputs | None) -> dict[str, Any]:
    """The pictures of one model, and the measures of each of them."""
    predictions = inputs.predictions(cell)
    rows = predictions.positions_of(keys)
    measures = {"mode": measures_of(inputs, cell, keys)}
    found: dict[str, Any] = {"pictures": {"mode": pictures.sprite(predictions.predicted[rows])}}
    entropy = mean_entropy(predictions)
    if predictions.annealed_mean is not None and predictions.entropy is not None and entropy is not None:
        found["pictures"]["annealed_mean"] = pictures.sprite(predictions.annealed_mean[rows])
        found["entropy"] = pictures.sprite(pictures.entropy_colors(predictions.entropy[rows]), is_lossless=True)
        found["entropySide"] = pictures.side_of(predictions.entropy.shape[1])
        measures["mode"][ENTROPY] = entropy[rows]
        measures["annealed_mean"] = measures_of(inputs, cell, keys, "annealed_mean")
    if before is not None and (other := _before(before, cell, keys)):
        found["before"] = other
    return found | {"measures": {decoding: _rounded(values) for decoding, values in measures.items()}}


def _rounded(measures: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """The values with the decimals that are shown."""
    return {name: [round(float(x), label_of(name).decimals) for x in array] for name, array in measures.items()}


def _before(inputs: Inputs, cell: Cell, keys: np.ndarray) -> str:
    """The sprite of another run with the same images; empty if that run does not have this cell or these images."""
    if cell.model not in inputs.models or not {cell.source, cell.target} <= {*inputs.datasets}:
        return ""
    predictions = inputs.predictions(cell)
    if not np.isin(keys, predictions.key).all():
        return ""
    return pictures.sprite(predictions.predicted[predictions.positions_of(keys)])


def _measures(runs: list[list[list[dict[str, Any]]]]) -> list[list[Any]]:
    """Name, title, direction and decimals of the measures of all runs; those of the tables come first."""
    names = {name for by_source in runs for models in by_source for run in models for name in run["measures"]["mode"]}
    known = [name for name in ("l2", ENTROPY, *METRIC_LABELS) if name in names]
    ordered = dict.fromkeys([*known, *sorted(names)])
    return [[name, label_of(name).title, label_of(name).better, label_of(name).decimals] for name in ordered]
