"""The files of one data set's prior: counts, smoothed prior, every model's class weights, a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from colorize import color, gamut, runtime
from colorize.data.loader import Split
from colorize.models import MODELS
from colorize.prior import counts, picture, weights

_L = 60.0  # lightness at which the picture shows the bins


def build(name: str, shards: Path, soft_targets, lambda_: float, out: Path) -> None:
    """Compute the prior of a training set.

    Args:
        name: of the data set.
        shards: folder of its shards.
        soft_targets: the section of that name of the parameters.
        lambda_: share of the uniform distribution.
        out: folder to fill with counts.npy, prior.npy, rebalancing.npy (the class weights), prior.png, and
            weights-<model>.npy for every model: the class weights, or ones where it is unweighted.
    """
    colors = counts.count_colors(Split(shards, "train"), name)
    bins, prior = counts.bin_counts_and_prior(
        colors, soft_targets.num_neighbors, soft_targets.sigma, soft_targets.encode
    )
    rebalancing = weights.rebalancing_weights(prior, lambda_)
    runtime.write_array(out / "counts.npy", bins)
    runtime.write_array(out / "prior.npy", prior)
    runtime.write_array(out / "rebalancing.npy", rebalancing.astype(np.float32))
    for model, spec in MODELS.items():  # a file of its own each: lambda must not retrain the unweighted models
        values = rebalancing if spec.is_weighted else np.ones_like(prior)
        runtime.write_array(out / f"weights-{model}.npy", values.astype(np.float32))
    picture.draw(out / "prior.png", gamut.GAMUT_AB, _bin_colors(), prior, rebalancing, f"Colours of {name} (training)")


def _bin_colors() -> np.ndarray:
    """(Q, 3) uint8: every bin at one lightness, as saturated as sRGB can."""
    ab = gamut.gamut_ab().t()[None, :, :, None]  # (1, 2, Q, 1)
    lab = torch.cat([torch.full_like(ab[:, :1], _L), ab], dim=1)
    return color.lab_to_rgb(color.fit_to_gamut(lab)[0])[0, :, :, 0].t().numpy()
