"""Temperature curves of the classifiers: colors and calibration of softmax(logits / T), see docs/measures.md."""

from __future__ import annotations

import numpy as np

from tools.review import color
from tools.review.color import BINS
from tools.review.distributions import Predictor, Table
from tools.review.measures import Truth, colorfulness, psnr, rounded

TEMPERATURES = (0.0, 0.2, 0.38, 0.6, 0.8, 1.0, 1.25, 1.5)
INTERVALS = 15  # of the top probability
CLOSE_PROBABILITY = 1e-6  # relative: in which interval float32 puts a pixel
Row = dict[str, tuple[float, float]]  # column -> value and doubt


def curve(predict: Predictor, batches: list[Truth]) -> dict[float, Row]:
    """One row for each temperature: means over the images of all batches, in order."""
    predictions = [(truth, *predict(truth).plain) for truth in batches]
    return {temperature: _row(predictions, temperature) for temperature in TEMPERATURES}


def _row(predictions: list[tuple[Truth, Table, np.ndarray]], temperature: float) -> Row:
    sides = []
    for parts in zip(*(_of_batch(*one, temperature) for one in predictions), strict=True):
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if "top" in found:
            found["calibration_error"] = calibration_error(found.pop("top"), found.pop("is_hit"))
        sides.append(found)
    found, changed = sides
    return {name: (float(found[name].mean()), float(np.abs(found[name] - changed[name]).mean())) for name in found}


def calibration_error(top: np.ndarray, is_hit: np.ndarray) -> np.ndarray:
    """Expected calibration error of pixels: (N,) top probability, (N,) whether this bin is the true one."""
    interval = np.minimum((top * INTERVALS).astype(int), INTERVALS - 1)
    gaps = [abs(top[interval == n].sum() - is_hit[interval == n].sum()) for n in range(INTERVALS)]
    return np.sum(gaps) / len(top)


def _of_batch(truth: Truth, table: Table, rows: np.ndarray, temperature: float) -> list[dict[str, np.ndarray]]:
    """Values of the images, and of the pixels for the calibration error; the second time, close cases are decided
    differently.
    """
    both = list(enumerate(modes[rows] for modes in (table.modes, table.other_modes)))
    if temperature == 0:
        return [_colors(truth, BINS[modes].astype(np.float64), side) for side, modes in both]
    log_p = table.log_p / temperature  # up to a constant
    p = np.exp(log_p)
    total = p.sum(axis=1, keepdims=True)
    log_p -= np.log(total)
    losses = {
        "cross_entropy": -(truth.targets * log_p[rows[..., None], truth.bins]).sum(axis=-1),
        "negative_log_likelihood": -log_p[rows, truth.nearest],
    }
    found = {name: values.mean(axis=(1, 2)) for name, values in losses.items()}
    top, ab = (values[rows] for values in (p.max(axis=1) / total[:, 0], p @ BINS.astype(np.float64) / total))
    return [
        {
            **found,
            "top": top.ravel() * (1 + side * CLOSE_PROBABILITY),
            "is_hit": (modes == truth.nearest).ravel(),
            **_colors(truth, ab, side),
        }
        for side, modes in both
    ]


def _colors(truth: Truth, ab: np.ndarray, side: int) -> dict[str, np.ndarray]:
    lab, _ = color.fit(np.concatenate([truth.lab[..., :1], ab], axis=-1), side)
    predicted = rounded(color.to_levels(lab), side)
    return {
        "l2": np.square((ab - truth.lab[..., 1:]) / 128).mean(axis=(1, 2, 3)),
        "psnr": psnr(truth, predicted),
        "colorfulness": colorfulness(predicted),
        "true_colorfulness": colorfulness(truth.rgb),
    }
