"""The measures of the pictures that the page shows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from colorize.layout import Cell
from colorize.report.inputs import Inputs, PerImage, Predictions
from colorize.report.labels import METRIC_LABELS, MetricLabel

ENTROPY = "entropy"  # mean entropy of the pixels of a saved image; not a measure of evaluation
LABELS = METRIC_LABELS | {ENTROPY: MetricLabel("Entropy", decimals=2)}


def label_of(measure: str) -> MetricLabel:
    """Title, direction and decimals of a measure."""
    return LABELS.get(measure) or MetricLabel(measure)


def of_first_seed(inputs: Inputs) -> Inputs:
    """The same results with the first seed only, whose pictures are saved."""
    return (
        inputs
        if len(inputs.seeds) == 1
        else Inputs(inputs.datasets, inputs.models, inputs.seeds[:1], inputs.folders.root, inputs.unions)
    )


def measures_of(
    inputs: Inputs, cell: Cell, keys: np.ndarray, decoding: str = "", names: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """The measures of some images, (n,) float64 each, in the order of `keys`.

    Args:
        inputs: of one seed.
        cell: the model and the test images.
        keys: (n,) keys of the images.
        decoding: a key of `labels.DECODINGS`; the mode if it is empty.
        names: the measures; those that the model does not have are left out. None: all.
    """
    wanted = inputs.measure_names(cell, decoding) if names is None else list(names)
    found = inputs.per_image(cell, decoding, wanted)
    rows = _rows(found, keys)
    values = {name: found.measures[name][rows].astype(np.float64) for name in wanted if name in found.measures}
    for name, weight in found.weights.items():  # these arrays hold sums of weighted values
        values[name] = values[name] / found.measures[weight][rows]
    return {name: array for name, array in values.items() if np.isfinite(array).all()}


def mean_entropy(predictions: Predictions) -> np.ndarray | None:
    """The mean entropy of each image over its pixels, (N,) nats; None for a regression."""
    return None if predictions.entropy is None else predictions.entropy.astype(np.float64).mean(axis=(1, 2))


def groups_of(inputs: Inputs, cell: Cell, keys: np.ndarray) -> list[str]:
    """The group of some images, such as their class or the photo that they are cut from; empty if not known."""
    found = inputs.per_image(cell, names=("l2",))
    return [str(found.images.group[row]) for row in _rows(found, keys)]


def _rows(found: PerImage, keys: np.ndarray) -> np.ndarray:
    """Row numbers of the images with these keys, (K,) int64."""
    order = np.argsort(found.images.key, kind="stable")
    return order[np.searchsorted(found.images.key, keys, sorter=order)]
