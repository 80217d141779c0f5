"""Section: where the models fail. For several kinds of failure, the saved test images that show it most clearly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from colorize.layout import Cell
from colorize.report.evidence import Evidence
from colorize.report.figures import select_unlike
from colorize.report.inputs import Inputs, Predictions
from colorize.report.labels import format_number, model_title
from colorize.report.page import pictures
from colorize.report.page.gallery import file_name
from colorize.report.page.measured import mean_entropy, measures_of, of_first_seed
from colorize.report.page.section import Section

IMAGES = 4  # per kind of failure
CANDIDATES = 12  # images with the clearest failures; of these, images that differ from each other are shown
MEASURES = ("l2", "colorfulness", "true_colorfulness")
NOTABLE = 15.0  # difference of colorfulness: that between a gray and a slightly colorful picture
KINDS = {
    "wrong": ("Wrong colors", "The images with the largest L2 of the whole test set."),
    "gray": ("Too gray", "The true picture is colorful, and the prediction is much less colorful."),
    "colorful": ("Too colorful", "The prediction is much more colorful than the true picture."),
    "unsure": ("Unsure", "The model thinks that many colors are possible: the largest entropy."),
    "sure": (
        "Sure and wrong",
        "The model thinks that few colors are possible, but its L2 is in the highest quarter of the saved images.",
    ),
}


@dataclass(frozen=True)
class Judged:
    """The saved images of one model and target, and their measures."""

    predictions: Predictions
    l2: np.ndarray  # (N,)
    colorfulness: np.ndarray | None  # (N,); None: not measured
    true_colorfulness: np.ndarray | None
    entropy: np.ndarray | None  # (N,) nats; None for a regression

    def middle(self, values: np.ndarray) -> float:
        """The median over the evenly spaced images; the other saved images are not typical of the test set."""
        return float(np.median(values[self.predictions.is_saved]))


class Collected:
    """Pictures in the order in which they are added, each only once."""

    def __init__(self) -> None:
        self.rows: dict[int, np.ndarray] = {}  # key -> picture

    def add(self, key: int, picture: np.ndarray) -> int:
        """The position of the picture with this key."""
        self.rows.setdefault(key, picture)
        return list(self.rows).index(key)

    @property
    def array(self) -> np.ndarray:
        """All pictures, (N, S, S[, 3])."""
        return np.stack(list(self.rows.values()))


def build(evidence: Evidence) -> Section | None:
    """The failures of every model on every data set."""
    inputs = of_first_seed(evidence.inputs)
    if not all(inputs.predictions(Cell(d, inputs.models[0], d)).is_saved.any() for d in inputs.datasets):
        return None
    runs: list[dict[str, Any]] = []
    targets: list[dict[str, Any]] = []
    predicted: list[str] = []
    for target in inputs.datasets:
        gray, truth = Collected(), Collected()
        for source in inputs.datasets:
            for model in inputs.models:
                groups, sprite = _failures(judge(inputs, Cell(source, model, target)), gray, truth)
                titles = {"model": model_title(model), "source": inputs.titles[source], "target": inputs.titles[target]}
                runs.append(titles | {"groups": groups})
                predicted.append(sprite)
        sprites = {name: pictures.sprite(one.array) for name, one in (("gray", gray), ("truth", truth))}
        targets.append({"title": inputs.titles[target], "side": pictures.side_of(truth.array.shape[1])} | sprites)
    data = {
        "columns": pictures.COLUMNS,
        "targets": targets,
        "sources": [inputs.titles[source] for source in inputs.datasets],
        "models": [model_title(model) for model in inputs.models],
        "predicted": predicted,  # one sprite per run, in the order of the page
    }
    return Section("failures", "Where the models fail", {"runs": runs, "seed_note": evidence.inputs.seed_note}, data)


def judge(inputs: Inputs, cell: Cell) -> Judged:
    """The saved images of one model and target with their measures."""
    predictions = inputs.predictions(cell)
    found = measures_of(inputs, cell, predictions.key, names=MEASURES)
    return Judged(
        predictions,
        found["l2"],
        found.get("colorfulness"),
        found.get("true_colorfulness"),
        mean_entropy(predictions),
    )


def find(judged: Judged) -> Iterator[tuple[str, list[int]]]:
    """The rows of the images that show each kind of failure, the clearest first. A kind without images is left out."""
    l2, entropy = judged.l2, judged.entropy
    yield "wrong", _largest(l2)
    if judged.colorfulness is not None and judged.true_colorfulness is not None:
        excess = judged.colorfulness - judged.true_colorfulness
        for kind, size in (("gray", -excess), ("colorful", excess)):
            if rows := [row for row in _largest(size) if size[row] > NOTABLE]:
                yield kind, rows
    if entropy is not None:
        yield "unsure", _largest(entropy)
        wrong = np.flatnonzero(l2 >= np.quantile(l2, 0.75))
        sure = wrong[np.argsort(entropy[wrong], kind="stable")]
        if rows := [row for row in sure[:CANDIDATES].tolist() if entropy[row] < judged.middle(entropy)]:
            yield "sure", rows


def reason(kind: str, judged: Judged, row: int) -> str:
    """One sentence: the numbers that put this image into the list."""
    l2 = format_number(float(judged.l2[row]), "l2")
    typical = f"the median over the images is {format_number(judged.middle(judged.l2), 'l2')}"
    if kind in ("gray", "colorful") and judged.colorfulness is not None and judged.true_colorfulness is not None:
        ours, true = judged.colorfulness[row], judged.true_colorfulness[row]
        return f"The colorfulness is {ours:.1f}; that of the true picture is {true:.1f}."
    if judged.entropy is None or kind == "wrong":
        return f"The L2 is {l2}; {typical}."
    count, usual = (f"{np.exp(x):.0f}" for x in (judged.entropy[row], judged.middle(judged.entropy)))
    colors = f"The model thinks about {count} colors possible (median: {usual})"
    return f"{colors}." if kind == "unsure" else f"{colors}, but the L2 is {l2}; {typical}."


def _largest(values: np.ndarray) -> list[int]:
    return np.argsort(-values, kind="stable")[:CANDIDATES].tolist()


def _failures(judged: Judged, gray: Collected, truth: Collected) -> tuple[list[dict[str, Any]], str]:
    """The groups of images with their texts, and the sprite of the predictions.

    Inputs and true pictures are added to `gray` and `truth`, which all models of the target share.
    """
    shown, predicted, groups = judged.predictions, Collected(), []
    for kind, candidates in find(judged):
        title, why = KINDS[kind]
        images = []
        for n in select_unlike(shown.truth[candidates], IMAGES):
            row = candidates[n]
            key, source = int(shown.key[row]), str(shown.source[row])
            gray.add(key, shown.gray[row])
            images.append(
                {
                    "shared": truth.add(key, shown.truth[row]),
                    "own": predicted.add(key, shown.predicted[row]),
                    "key": key,
                    "name": file_name(source),
                    "path": source,
                    "text": reason(kind, judged, row),
                }
            )
        groups.append({"title": title, "why": why, "images": images})
    return groups, pictures.sprite(predicted.array)
