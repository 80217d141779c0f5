"""Write the files of a data set's prior: color counts, smoothed prior, class weights of every model, a picture."""

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

    The files are written to the data set's folder of priors. Every array is (Q,):

        counts.npy                        pixels per nearest bin
        prior.npy                         smoothed prior
        rebalancing.npy                   class weights of the weighted models
        weighted_prior.npy                constant distribution with the lowest weighted cross entropy
        class_weights-<model>.npy         rebalancing.npy if the model is weighted, else ones
        measured_weights-<model>.npy      rebalancing.npy if the model is a classifier, else ones
        initial_distribution-<model>.npy  constant distribution with the lowest loss of the model
        prior.png                         picture of the bins, the smoothed prior and the class weights

    Args:
        dataset: name of the data set.
        options: options of the soft targets.
        lambda_: share of the uniform distribution in the mixture that gives the class weights.
        folders: folders of the training images and of the prior.
    """
    out = folders.prior(dataset)
    images = Split(folders.shards("train", dataset))
    bins, joint = counts.bin_counts(counts.count_colors(images, dataset), options)
    prior = joint.sum(axis=0) / joint.sum()
    rebalancing = weights.rebalancing_weights(prior, lambda_)
    weighted_prior = rebalancing @ joint / (rebalancing @ joint).sum()  # each pixel has the weight of its own bin
    arrays = {"counts": bins, "prior": prior, "rebalancing": rebalancing, "weighted_prior": weighted_prior}
    for model, spec in MODELS.items():  # one file per model: a change of lambda must not retrain the regression
        arrays[f"class_weights-{model}"] = rebalancing if spec.is_weighted else np.ones_like(prior)
        arrays[f"measured_weights-{model}"] = rebalancing if spec.is_classifier else np.ones_like(prior)
        arrays[f"initial_distribution-{model}"] = weighted_prior if spec.is_weighted else prior
    for file, array in arrays.items():
        runtime.fault_point("prior-write")
        runtime.write_array(out / f"{file}.npy", array)
    picture.draw(
        out / "prior.png", gamut.GAMUT_AB, _bin_colors(), prior, rebalancing, f"Colors of {dataset} (training split)"
    )


def _bin_colors() -> np.ndarray:
    """(Q, 3) uint8 sRGB: the color of every bin at lightness 60; chroma is reduced if sRGB cannot show the color."""
    ab = gamut.gamut_ab().t()[None, :, :, None]  # (1, 2, Q, 1)
    lab = torch.cat([torch.full_like(ab[:, :1], _L), ab], dim=1)
    return cielab.lab_to_rgb(cielab.fit_to_gamut(lab)[0])[0, :, :, 0].t().numpy()
