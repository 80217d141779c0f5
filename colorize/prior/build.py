"""Write the files of a data set's prior: color counts, smoothed prior, class weights, baselines' colors, a picture."""

from __future__ import annotations

import numpy as np
import torch

from colorize import runtime
from colorize.color import cielab, gamut
from colorize.color.targets import Options
from colorize.data.split import Split
from colorize.layout import Folders
from colorize.models.registry import MODELS
from colorize.prior import counts, picture, smoothing, weights

_L = 60.0  # lightness at which the picture shows the bins


def write_prior(dataset: str, options: Options, lambda_: float, folders: Folders) -> None:
    """Compute the prior of a training set.

    The files are written to the data set's folder of priors. An array is (Q,) if the list does not say otherwise:

        counts.npy                        pixels per nearest bin
        prior.npy                         smoothed prior
        rebalancing.npy                   class weights of the weighted models
        weighted_prior.npy                constant distribution with the lowest weighted cross entropy
        class_weights-<model>.npy         rebalancing.npy if the model is weighted, else ones
        measured_weights-<model>.npy      rebalancing.npy if the model is a classifier, else ones
        initial_distribution-<model>.npy  constant distribution with the lowest loss of the model
        joint.npy                         (Q, Q) sums of the soft targets by bin of the pixel and bin of the target
        mean_ab.npy, median_ab.npy        (2,) mean and median of a and b, CIELAB units
        lightness_prior.npy               (LEVELS, Q) smoothed p(bin | level of lightness)
        weighted_lightness_prior.npy      the same, each pixel multiplied by the class weight of its own bin
        prior.png                         picture of the bins, the smoothed prior and the class weights
        bins.csv                          the same as numbers: a, b and sRGB color of each bin, prior and class weight

    Args:
        dataset: name of the data set.
        options: options of the soft targets.
        lambda_: share of the uniform distribution in the mixture that gives the class weights.
        folders: folders of the training images and of the prior.
    """
    out = folders.prior(dataset)
    images = Split(folders.shards("train", dataset))
    colors = counts.count_colors(images, dataset)
    bins, joint = counts.bin_counts(colors, options)
    prior = joint.sum(axis=0) / joint.sum()
    rebalancing = weights.rebalancing_weights(prior, lambda_)
    weighted_prior = rebalancing @ joint / (rebalancing @ joint).sum()  # each pixel has the weight of its own bin
    arrays = {"counts": bins, "prior": prior, "rebalancing": rebalancing, "weighted_prior": weighted_prior}
    for model, spec in MODELS.items():  # one file per model: a change of lambda must not retrain the regression
        arrays[f"class_weights-{model}"] = rebalancing if spec.is_weighted else np.ones_like(prior)
        arrays[f"measured_weights-{model}"] = rebalancing if spec.is_classifier else np.ones_like(prior)
        arrays[f"initial_distribution-{model}"] = weighted_prior if spec.is_weighted else prior
    arrays |= _baselines(colors, joint, rebalancing, options)
    for file, array in arrays.items():
        runtime.fault_point("prior-write")
        runtime.write_array(out / f"{file}.npy", array)
    colors_of_bins = _bin_colors()
    runtime.write_text(out / "bins.csv", _csv(colors_of_bins, prior, rebalancing))
    picture.draw(
        out / "prior.png", gamut.GAMUT_AB, colors_of_bins, prior, rebalancing, f"Colors of {dataset} (training split)"
    )


def _csv(colors: np.ndarray, prior: np.ndarray, weights: np.ndarray) -> str:
    """One line per bin; `colors` is (Q, 3) uint8 sRGB."""
    rows = (
        [*(f"{x:.0f}" for x in ab), *rgb.tolist(), f"{p:.6g}", f"{w:.6g}"]
        for ab, rgb, p, w in zip(gamut.GAMUT_AB, colors, prior, weights, strict=True)
    )
    return runtime.comma_separated(("a", "b", "red", "green", "blue", "prior", "weight"), rows)


def _baselines(
    colors: np.ndarray, joint: np.ndarray, rebalancing: np.ndarray, options: Options
) -> dict[str, np.ndarray]:
    """The arrays that only the baselines read, by name of the file."""
    mean_ab, median_ab = counts.mean_and_median(colors)
    ones = np.ones_like(rebalancing)
    plain, weighted = counts.lightness_counts(colors, options, np.stack([ones, rebalancing]))
    return {
        "joint": joint,
        "mean_ab": mean_ab,
        "median_ab": median_ab,
        "lightness_prior": smoothing.by_lightness(plain, joint, ones),
        "weighted_lightness_prior": smoothing.by_lightness(weighted, joint, rebalancing),
    }


def _bin_colors() -> np.ndarray:
    """(Q, 3) uint8 sRGB: the color of every bin at lightness 60; chroma is reduced if sRGB cannot show the color."""
    ab = gamut.gamut_ab().t()[None, :, :, None]  # (1, 2, Q, 1)
    lab = torch.cat([torch.full_like(ab[:, :1], _L), ab], dim=1)
    return cielab.lab_to_rgb(cielab.fit_to_gamut(lab)[0])[0, :, :, 0].t().numpy()
