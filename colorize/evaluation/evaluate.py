"""Evaluate a model or a baseline, trained on one data set, on the test split of the same or another data set."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from colorize import runtime
from colorize.color.gamut import NUM_BINS
from colorize.color.targets import Options
from colorize.data import shards
from colorize.data.split import Split
from colorize.evaluation import kept, measuring, paper
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Kind, Predictor
from colorize.evaluation.npz import write_npz
from colorize.layout import BASELINES, Folders, Run, stage_name
from colorize.models import files
from colorize.models.contract import Classifier
from colorize.prior.files import load_tensor
from colorize.runtime import DataError

if TYPE_CHECKING:
    from colorize.config.params import Evaluate

_DIGITS = 5  # of all values of a split
# Smallest prior of a bin in the rebalanced measures, as a share of 1 / Q. Without it, one bin that the training images
# do not contain can decide the value of a whole split.
_RAREST = 0.01


def evaluate(
    run: Run, target: str, settings: Evaluate, options: Options, folders: Folders, device: str
) -> dict[str, float]:
    """Evaluate a run on one test split; write all measures, and the predictions that the report shows.

    `details.json` has the value of every measure over the split, and the name of the weight of those that have one (see
    `Measure`). `per_image.npz` has one float32 array per measure, and the keys and groups of the images.

    Args:
        run: the trained model, or the baseline.
        target: the data set of the test images.
        settings: the section `evaluate` of the parameters.
        options: options of the soft targets.
        folders: folders of all inputs and outputs.
        device: device to run on.

    Returns:
        the value over the test split of each measure of the paper that the model has, rounded to 5 decimals.

    Raises:
        DataError: an input is missing or damaged, the model was trained on images of another size, or a metric is
            not finite.
    """
    split = Split(folders.shards("test", target))
    weights, inverse_prior = (values.to(device) for values in _bin_weights(folders.prior(run.dataset)))
    predictor, kind = _predictor(run, folders, split, device)
    with runtime.progress(f"evaluate {run.name} on {target}", len(split), "images") as advance:
        measured = measuring.measure(
            predictor, kind, split, MEASURES, weights, options, advance=advance, inverse_prior=inverse_prior
        )
    table = {name: values.cpu().numpy() for name, values in measured.items()}
    values = {name: round(value, _DIGITS) for name, value in measuring.values_of_split(table, MEASURES).items()}
    keys = split.keys(np.arange(len(split)))
    _check(run, target, values, table, keys)
    out = folders.evaluation(run, target)
    shown = kept.choose(split, table["l2"], settings, settings.named.get(target, []))
    kept.save(out, shown, split, lambda L: predictor(L)[0], device)
    columns = {name: column.astype(np.float32) for name, column in table.items()}
    group = np.array(list(shards.read_column(split.folder, "group")), dtype=np.str_)
    write_npz(out / "per_image.npz", {"key": keys, "group": group} | columns)
    details = {"images": len(split), "kept_images": len(shown.rows), "measures": values}
    ratios = {name: MEASURES[name].weight for name in values if MEASURES[name].weight}
    runtime.fault_point("evaluate-details")
    runtime.write_json(out / "details.json", details | {"weights": ratios})
    return {name: value for name, value in values.items() if name in paper.MEASURES}


def _bin_weights(prior: Path) -> tuple[Tensor, Tensor]:
    """Class weights and inverse prior of a source, (Q,) each."""
    frequencies = load_tensor(prior / "prior.npy").clamp_min(_RAREST / NUM_BINS)
    return load_tensor(prior / "rebalancing.npy"), frequencies.reciprocal()


def _check(run: Run, target: str, values: dict[str, float], table: dict[str, np.ndarray], keys: np.ndarray) -> None:
    """Raise DataError if a value of the split is not finite."""
    wrong = next((name for name, value in values.items() if not math.isfinite(value)), None)
    if wrong is None:
        return
    if run.model not in BASELINES and wrong in paper.MEASURES:  # which are finite for all finite predictions
        train = f"dvc repro --force --single-item {stage_name('train', run.name)}"
        raise DataError(
            f"evaluate {run.name} on {target}: {wrong} is {values[wrong]}: the model's weights are too large; "
            f"lower train.lr or train.clip_norm and run `{train}`"
        )
    images = keys[~np.isfinite(table[wrong])]
    where = f", first for the image with key {images[0]}" if len(images) else ""
    raise DataError(f"evaluate {run.name} on {target}: {wrong} is {values[wrong]}{where}; correct this measure")


def _predictor(run: Run, folders: Folders, split: Split, device: str) -> tuple[Predictor, Kind]:
    if run.model == "gray":
        return lambda L_norm: (torch.zeros_like(L_norm).expand(-1, 2, -1, -1), None), Kind.BINS
    if run.model == "prior":
        return _constant_prior(folders.prior(run.dataset), device), Kind.DISTRIBUTIONS
    folder = folders.model(run)
    model, sidecar = files.load(folder, device)
    if sidecar["size"] != split.size:
        raise DataError(
            f"{folder}: trained on images of {sidecar['size']} px, but {split.folder} has {split.size} px; "
            "run `dvc repro`, which uses one shard.size for all data sets"
        )
    kind = Kind.DISTRIBUTIONS if isinstance(model, Classifier) else Kind.COLORS
    return lambda L_norm: (model(L_norm), None), kind


def _constant_prior(folder: Path, device: str) -> Predictor:
    """Return a predictor that gives the same distribution to each pixel.

    The prior minimizes the plain cross entropy, and the weighted prior minimizes the weighted cross entropy. The
    predictor returns the logits of both.
    """
    names = ("prior", "weighted_prior")
    logits, weighted = (load_tensor(folder / f"{name}.npy").clamp_min(1e-9).log().to(device) for name in names)

    def predict(L_norm: Tensor) -> tuple[Tensor, Tensor]:
        shape = (len(L_norm), -1, *L_norm.shape[-2:])
        return logits[None, :, None, None].expand(shape), weighted[None, :, None, None].expand(shape)

    return predict
