"""Evaluate a model or a baseline, trained on one data set, on the test split of the same or another data set."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from colorize import runtime
from colorize.color.targets import Options
from colorize.data.split import Split
from colorize.evaluation import kept, measuring, paper
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Kind, Measure, Predictor
from colorize.layout import Cell, Folders, stage_name
from colorize.models import files
from colorize.models.contract import Classifier
from colorize.prior.files import load_tensor
from colorize.runtime import DataError

if TYPE_CHECKING:
    from colorize.config.params import Evaluate

_DIGITS = 5  # decimals of the mean measures
_TARGET_ENTROPY = "target_entropy"  # a property of the images, not of the model
_MEASURED = {**MEASURES, _TARGET_ENTROPY: Measure(paper.target_entropy, Kind.DISTRIBUTIONS)}


def evaluate(cell: Cell, settings: Evaluate, options: Options, folders: Folders, device: str) -> dict[str, float]:
    """Compute one cell of Table 1; write its metrics, its per-image table and the predictions that the report shows.

    Args:
        cell: the model or baseline, its data set (source), and the data set of the test images (target).
        settings: the section `evaluate` of the parameters.
        options: options of the soft targets.
        folders: folders of all inputs and outputs.
        device: device to run on.

    Returns:
        the mean over the test split of each measure that the model has, rounded to 5 decimals.

    Raises:
        DataError: an input is missing or damaged, the model was trained on images of another size, or a metric is
            not finite.
    """
    split = Split(folders.shards("test", cell.target))
    weights = load_tensor(folders.prior(cell.source) / "rebalancing.npy").to(device)
    predictor, kind = _predictor(cell, folders, split, device)
    with runtime.progress(f"evaluate {cell.name}", len(split), "images") as advance:
        measured = measuring.measure(predictor, kind, split, _MEASURED, weights, options, advance=advance)
    table = {name: values.cpu().numpy() for name, values in measured.items()}
    means = {name: round(float(values.mean()), _DIGITS) for name, values in table.items()}
    _check(cell, means)
    out = folders.evaluation(cell)
    shown = kept.choose(split, table["l2"], settings, settings.named.get(cell.target, []))
    details = kept.save(out, shown, split, lambda L: predictor(L)[0], device)
    _write_table(out / "per_image.csv", split.keys(np.arange(len(split))), table)
    details |= {"images": len(split), _TARGET_ENTROPY: means.pop(_TARGET_ENTROPY, None)}
    runtime.write_json(out / "details.json", details)
    runtime.fault_point("evaluate-metrics")
    runtime.write_json(folders.metrics(cell), means)
    return means


def _check(cell: Cell, means: dict[str, float]) -> None:
    for name, value in means.items():
        if not math.isfinite(value):
            train = f"dvc repro --force --single-item {stage_name('train', cell.run.name)}"
            raise DataError(
                f"evaluate {cell.name}: {name} is {value}: the model's weights are too large; "
                f"lower train.lr or train.clip_norm and run `{train}`"
            )


def _predictor(cell: Cell, folders: Folders, split: Split, device: str) -> tuple[Predictor, Kind]:
    if cell.model == "gray":
        return lambda L_norm: (torch.zeros_like(L_norm).expand(-1, 2, -1, -1), None), Kind.BINS
    if cell.model == "prior":
        return _constant_prior(folders.prior(cell.source), device), Kind.DISTRIBUTIONS
    folder = folders.model(cell.run)
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


def _write_table(path: Path, keys: np.ndarray, table: dict[str, np.ndarray]) -> None:
    """Write one line per image and one column per measure; measures that the model does not have stay empty."""
    import pandas as pd

    frame = pd.DataFrame({"key": keys, **{name: table.get(name, np.nan) for name in MEASURES}})
    runtime.write_text(path, frame.to_csv(index=False, float_format="%.5f", lineterminator="\n"))
