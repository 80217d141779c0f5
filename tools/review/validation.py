"""The losses in the history of a training, computed again for the weights that the training kept."""

from __future__ import annotations

import numpy as np

from colorize.models.registry import MODELS
from tools.review.color import BINS
from tools.review.distributions import Predicted, Predictor, losses
from tools.review.measures import Source, Truth


def choose(train: np.ndarray, val: np.ndarray, most: int) -> dict[str, np.ndarray]:
    """The images of a validation: at most `most` of each split, evenly spaced, and as many of both."""
    rows = spread(len(val), most)
    return {"val": val[rows], "train": train[spread(len(train), len(rows))]}


def spread(length: int, count: int) -> np.ndarray:
    """At most `count` evenly spaced rows of `length`."""
    return np.unique(np.round(np.linspace(0, length - 1, min(count, length))).astype(int))


def losses_of(predict: Predictor, batches: dict[str, list[Truth]], source: Source, model: str) -> dict[str, float]:
    """The columns of a history that do not depend on earlier steps.

    Args:
        predict: predictor of the model.
        batches: images of the validation, of "train" and of "val".
        source: class weights of the data set.
        model: name of the model, which says whether its loss is weighted.
    """
    row = {}
    for split, truths in batches.items():
        parts = [_of_pixels(predict(truth), truth, source) for truth in truths]
        found = {name: float(np.concatenate([part[name] for part in parts]).mean()) for name in parts[0]}
        loss = "weighted_cross_entropy" if MODELS[model].is_weighted else "cross_entropy"
        if split == "val":
            found["loss"] = found[loss if loss in found else "l2"]
        elif "cross_entropy" in found:
            found = {name: found[name] for name in ("cross_entropy", "weighted_cross_entropy", "class_weight")}
        else:
            found = {"l2": found["l2"]}
        row |= {f"{split}_{name}": value for name, value in found.items()}
    return row


def _of_pixels(predicted: Predicted, truth: Truth, source: Source) -> dict[str, np.ndarray]:
    """The losses of each pixel."""
    if predicted.plain is None:
        return _errors(predicted.ab, truth)
    table, rows = predicted.plain
    of_pixels = losses(truth, predicted.plain, predicted.plain, source)
    found = {name: of_pixels[name] for name in ("cross_entropy", "weighted_cross_entropy")}
    found["accuracy"] = table.modes[rows] == truth.nearest
    found["class_weight"] = source.class_weights[truth.nearest]
    return found | _errors(BINS[table.modes[rows]], truth)


def _errors(ab: np.ndarray, truth: Truth) -> dict[str, np.ndarray]:
    error = (ab - truth.lab[..., 1:]) / 128
    return {"l2": np.square(error), "l1": np.abs(error)}
