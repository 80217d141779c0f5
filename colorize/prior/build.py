"""The files of one data set's prior: counts, smoothed prior, every model's class weights, a picture."""

from __future__ import annotations

import numpy as np
import torch

from colorize import runtime
from colorize.color import cielab, gamut
from colorize.color.targets import Options
from colorize.data.split import Split
from colorize.layout import Folders
from colorize.models.registry import MODELS
from colorize.prior import counts, picture, weights

_L = 60.0  # lightness at which the picture shows the bins


def write_prior(dataset: str, options: Options, lambda_: float, folders: Folders) -> None:
    """Compute the prior of a training set.

    It is written into the data set's folder of priors, every array (Q,): counts.npy, prior.npy (smoothed),
    rebalancing.npy (class weights), weighted_prior.npy (the best constant distribution under weighted cross entropy),
    prior.png, and for every model class_weights-<model>.npy (class weights, or ones) and
    initial_distribution-<model>.npy (the best constant distribution under its loss).

    Args:
        dataset: its name.
        options: of the soft targets.
        lambda_: share of the uniform distribution in the class weights.
        folders: where the images lie and the prior goes.
    """
    out = folders.prior(dataset)
    images = Split(folders.shards("train", dataset))
    bins, joint = counts.bin_counts(counts.count_colors(images, dataset), options)
    prior = joint.sum(axis=0) / joint.sum()
    rebalancing = weights.rebalancing_weights(prior, lambda_)
    weighted_prior = rebalancing @ joint / (rebalancing @ joint).sum()  # a pixel is weighted by its own bin
    arrays = {"counts": bins, "prior": prior, "rebalancing": rebalancing, "weighted_prior": weighted_prior}
    for model, spec in MODELS.items():  # files of their own: lambda must not retrain the unweighted models
        arrays[f"class_weights-{model}"] = rebalancing if spec.is_weighted else np.ones_like(prior)
        arrays[f"initial_distribution-{model}"] = weighted_prior if spec.is_weighted else prior
    for file, array in arrays.items():
        runtime.fault_point("prior-write")
        runtime.write_array(out / f"{file}.npy", array)
    picture.draw(
        out / "prior.png", gamut.GAMUT_AB, _bin_colors(), prior, rebalancing, f"Colors of {dataset} (training split)"
    )


def _bin_colors() -> np.ndarray:
    """(Q, 3) uint8: every bin at one lightness, as saturated as sRGB can."""
    ab = gamut.gamut_ab().t()[None, :, :, None]  # (1, 2, Q, 1)
    lab = torch.cat([torch.full_like(ab[:, :1], _L), ab], dim=1)
    return cielab.lab_to_rgb(cielab.fit_to_gamut(lab)[0])[0, :, :, 0].t().numpy()
