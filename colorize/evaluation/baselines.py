"""What the baselines predict: constant colors, constant distributions, and distributions by lightness.

Their colors and distributions come from training images. The only exception is the oracle. It predicts the bin nearest
to the true color, so it has the lowest L2 of all predictions that are bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from colorize.color import gamut
from colorize.color.cielab import AB_SCALE, L_SCALE
from colorize.evaluation.measuring import Kind, Prediction, Predictor, Truth
from colorize.evaluation.predicted import Distributions
from colorize.layout import Folders, Run
from colorize.prior import smoothing
from colorize.prior.files import load_array


def predictor(
    run: Run, target: str, folders: Folders, device: str, temperatures: Sequence[float]
) -> tuple[Predictor, Kind]:
    """The predictor of a baseline, and the kind of its predictions.

    Args:
        run: the baseline and its data set, the source.
        target: the data set of the test images.
        folders: folders of the priors.
        device: device to run on.
        temperatures: at which the predicted distributions are decoded.

    Raises:
        DataError: a file of the prior is missing or damaged.
    """
    source = folders.prior(run.dataset)
    if run.model == "oracle":
        return _nearest_bin, Kind.COLORS
    if run.model in ("gray", "mean_ab", "median_ab"):
        ab = np.zeros(2) if run.model == "gray" else smoothing.load(source, run.model)
        return _color(ab, device), Kind.COLORS
    if run.model == "lightness":
        tables = [smoothing.load(source, name) for name in ("lightness_prior", "weighted_lightness_prior")]
    else:
        of_colors = source if run.model == "prior" else folders.prior(target)
        tables = _constant(smoothing.load(of_colors, "joint"), load_array(source / "rebalancing.npy"))
    plain, weighted = (torch.from_numpy(table).log().float().to(device) for table in tables)
    return _distributions(plain, weighted, temperatures), Kind.DISTRIBUTIONS


def _color(ab: np.ndarray, device: str) -> Predictor:
    """The same (2,) ab for every pixel."""
    ab_norm = (torch.from_numpy(ab).float() / AB_SCALE).to(device)[:, None, None]
    return lambda truth: Prediction(ab_norm.expand_as(truth.ab_norm))


def _nearest_bin(truth: Truth) -> Prediction:
    return Prediction(gamut.gamut_ab(truth.bins.device)[truth.bins].movedim(-1, 1) / AB_SCALE)


def _constant(joint: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """(1, Q) each: the constant distributions with the lowest plain and with the lowest weighted cross entropy."""
    return [smoothing.constant(joint, of_bins)[None] for of_bins in (np.ones_like(weights), weights)]


def _distributions(logits: Tensor, for_weighted: Tensor, temperatures: Sequence[float]) -> Predictor:
    """The row of a table for every pixel, by its level of lightness; the only row if there is one.

    Args:
        logits: (R, Q), R is 1 or LEVELS.
        for_weighted: the same for the weighted cross entropy.
        temperatures: as in `predictor`.
    """

    def predict(truth: Truth) -> Prediction:
        rows = smoothing.level_of(truth.L_norm[:, 0] * L_SCALE).clamp_max(len(logits) - 1)  # (B, H, W)
        return Prediction(
            Distributions.of_table(logits, rows, temperatures), Distributions.of_table(for_weighted, rows)
        )

    return predict
