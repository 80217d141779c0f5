"""Section: where the models fail. For several kinds of failure, the saved test images that show it most clearly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from colorize.layout import Cell
from colorize.report.evidence import Evidence
from colorize.report.figures import select_unlike
from colorize.report.inputs import Inputs
from colorize.report.labels import format_number, model_title
from colorize.report.page import pictures
from colorize.report.page.gallery import measures_of
from colorize.report.page.section import Section

IMAGES = 4  # per kind of failure
CANDIDATES = 12  # images with the clearest failures; of these, images that differ from each other are shown
MEASURES = ("l2", "colorfulness", "true_colorfulness")
NOTABLE = 15.0  # difference of colorfulness: that between a gray and a slightly colorful picture
KINDS = {
    "wrong": ("Wrong colors", "The largest L2: the predicted colors are far from the true ones."),
    "gray": ("Too gray", "The true picture is colorful, and the prediction is much less colorful."),
    "colorful": ("Too colorful", "The prediction is much more colorful than the true picture."),
    "sure": (
        "Sure and wrong",
        "Of the fourth of the images with the largest L2, those for which the model found the fewest colors probable.",
    ),
}


def build(evidence: Evidence) -> Section:
    """The failures of every model on the test images of its own data set."""
    inputs = evidence.inputs
    data: dict[str, Any] = {"columns": pictures.COLUMNS, "runs": []}
    runs = []
    for dataset in inputs.datasets:
        for model in inputs.models:
            groups, sprites, side = _failures(inputs, Cell(dataset, model, dataset))
            title = {"dataset": inputs.titles[dataset], "model": model_title(model)}
            runs.append(title | {"groups": groups})
            data["runs"].append(sprites | {"side": side})
    return Section("failures", "Where the models fail", {"runs": runs, "seed_note": inputs.seed_note}, data)


def _failures(inputs: Inputs, cell: Cell) -> tuple[list[dict[str, Any]], dict[str, str], int]:
    """The groups of images with their texts; sprites of all these images, in the same order; and their side."""
    predictions = inputs.predictions(cell)
    measures = measures_of(inputs, cell, predictions.key, MEASURES)
    entropy = None if predictions.entropy is None else predictions.entropy.astype(np.float64).mean(axis=(1, 2))
    groups: list[dict[str, Any]] = []
    rows: list[int] = []
    for kind, candidates in _find(measures, entropy):
        title, why = KINDS[kind]
        found = [candidates[n] for n in select_unlike(predictions.truth[candidates], IMAGES)]
        images = [
            {
                "number": len(rows) + n,
                "key": int(predictions.key[row]),
                "name": str(predictions.source[row]),
                "text": _text(kind, measures, entropy, row),
            }
            for n, row in enumerate(found)
        ]
        groups.append({"title": title, "why": why, "images": images})
        rows += found
    arrays = {"gray": predictions.gray, "predicted": predictions.predicted, "truth": predictions.truth}
    sprites = {name: pictures.sprite(array[rows]) for name, array in arrays.items()}
    return groups, sprites, pictures.side_of(predictions.truth.shape[1])


def _find(measures: dict[str, np.ndarray], entropy: np.ndarray | None) -> Iterator[tuple[str, list[int]]]:
    """The rows of the images that show each kind of failure, the clearest first. A kind without images is left out."""
    l2 = measures["l2"]
    yield "wrong", np.argsort(-l2, kind="stable")[:CANDIDATES].tolist()
    if {*MEASURES} <= measures.keys():
        excess = measures["colorfulness"] - measures["true_colorfulness"]
        for kind, size in (("gray", -excess), ("colorful", excess)):
            rows = [row for row in np.argsort(-size, kind="stable")[:CANDIDATES].tolist() if size[row] > NOTABLE]
            if rows:
                yield kind, rows
    if entropy is not None:
        wrong = np.flatnonzero(l2 >= np.quantile(l2, 0.75))
        yield "sure", wrong[np.argsort(entropy[wrong], kind="stable")][:CANDIDATES].tolist()


def _text(kind: str, measures: dict[str, np.ndarray], entropy: np.ndarray | None, row: int) -> str:
    """The numbers that put this image into the list."""
    l2 = f"L2 {format_number(float(measures['l2'][row]), 'l2')}"
    if kind in ("gray", "colorful"):
        ours, true = (format_number(float(measures[name][row]), name) for name in MEASURES[1:])
        return f"colorfulness {ours} instead of {true}"
    if kind == "sure" and entropy is not None:
        return f"{l2}; about {np.exp(entropy[row]):.0f} probable colors"
    return l2
