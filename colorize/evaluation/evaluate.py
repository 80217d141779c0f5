"""Evaluate a model of one data set on the test split of another (or the same), and two baselines beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize import runtime
from colorize.color.targets import Options
from colorize.data import feed, loader
from colorize.data.transform import to_networks
from colorize.evaluation import kept, measures
from colorize.models import MODELS, files
from colorize.prior.files import load_tensor
from colorize.runtime import DataError

if TYPE_CHECKING:
    from colorize.config.params import Evaluate

_DIGITS = 5  # of the committed metrics


class Paths(NamedTuple):
    """Where one cell of the matrix reads and writes."""

    shards: Path  # of the target
    prior: Path  # of the source
    model: Path  # of the source; not read for a baseline
    metrics: Path
    evaluation: Path


class Cell(NamedTuple):
    """Trained on `source`, evaluated on `target`."""

    source: str
    model: str
    target: str

    @property
    def name(self) -> str:
        """As in the names of stages and files."""
        return f"{self.source}-{self.model}-{self.target}"


Predictor = Callable[[Tensor], tuple[Tensor, Tensor | None]]  # L_norm -> output, and another for weighted cross entropy


def evaluate(cell: Cell, settings: Evaluate, options: Options, paths: Paths, device: str) -> dict:
    """Compute one cell and write its metrics, its per-image table and the predictions that the report shows.

    Args:
        cell: what is evaluated.
        settings: the section `evaluate` of the parameters.
        options: of the soft targets.
        paths: where everything lies.
        device: to run on.

    Returns:
        the metrics.

    Raises:
        DataError: an input is missing, damaged or of another size, or a metric is not finite.
    """
    split = loader.Split(paths.shards, "test")
    weights = load_tensor(paths.prior / "rebalancing.npy").to(device)
    predictor = _predictor(cell, paths, split.size, device)
    table = _measure(cell, predictor, split, weights, options, device)
    means = {name: round(float(values.mean()), _DIGITS) for name, values in table.items()}
    _check(cell, means)
    shown = kept.choose(split, paths.shards, table["l2"], settings, settings.named.get(cell.target, []))
    details = kept.save(paths.evaluation, shown, split, lambda L: predictor(L)[0], device)
    _write_table(paths.evaluation / "per_image.csv", split.keys(np.arange(len(split))), table)
    details |= {"images": len(split), "target_entropy": means.pop("target_entropy", None)}
    runtime.write_json(paths.evaluation / "details.json", details)
    runtime.fault_point("evaluate-metrics")
    runtime.write_json(paths.metrics, means)
    return means


def _check(cell: Cell, means: dict[str, float]) -> None:
    for name, value in means.items():
        if not math.isfinite(value):
            train = f"dvc repro --force --single-item train@{cell.source}-{cell.model}"
            raise DataError(
                f"evaluate {cell.name}: {name} is {value}: the model's weights are too large; "
                f"lower train.lr or train.clip_norm and run `{train}`"
            )


def _predictor(cell: Cell, paths: Paths, size: int, device: str) -> Predictor:
    if cell.model == "gray":
        return lambda L_norm: (torch.zeros_like(L_norm).expand(-1, 2, -1, -1), None)
    if cell.model == "prior":
        return _constant_prior(paths.prior, device)
    model, sidecar = files.load(paths.model, device)
    if sidecar["size"] != size:
        raise DataError(
            f"{paths.model}: trained on images of {sidecar['size']} px, but {paths.shards} has {size} px; "
            "run `dvc repro`, which uses one shard.size for all data sets"
        )
    return lambda L_norm: (model(L_norm), None)


def _constant_prior(folder: Path, device: str) -> Predictor:
    """The best constant distributions: the prior for plain, the weighted prior for weighted cross entropy."""
    names = ("prior", "weighted_prior")
    logits, weighted = (load_tensor(folder / f"{name}.npy").clamp_min(1e-9).log().to(device) for name in names)

    def predict(L_norm: Tensor) -> tuple[Tensor, Tensor]:
        shape = (len(L_norm), -1, *L_norm.shape[-2:])
        return logits[None, :, None, None].expand(shape), weighted[None, :, None, None].expand(shape)

    return predict


@torch.inference_mode()
def _measure(cell: Cell, predictor: Predictor, split, weights, options, device: str) -> dict[str, np.ndarray]:
    """(N,) per image for every metric that the model has."""
    collected: dict[str, list[Tensor]] = {}
    with runtime.progress(f"evaluate {cell.name}", len(split), "images") as advance:
        for batch in feed.evaluation_feed(split, measures.images_at_once(device, split.size), device):
            L_norm, ab_norm = to_networks(batch)
            output, weighted_output = predictor(L_norm)
            for name, values in measures.per_image(output, ab_norm, weights, options, weighted_output).items():
                collected.setdefault(name, []).append(values)
            advance(len(L_norm))
    table = {name: torch.cat(values).cpu().numpy() for name, values in collected.items()}
    if cell.model in MODELS and not MODELS[cell.model].is_classifier:
        del table["accuracy"]  # the paper gives none: a regression predicts no bin
    return table


def _write_table(path: Path, keys: np.ndarray, table: dict[str, np.ndarray]) -> None:
    import pandas as pd

    columns = ["l2", "l1", "cross_entropy", "weighted_cross_entropy", "accuracy"]
    frame = pd.DataFrame({"key": keys, **{name: table.get(name, np.nan) for name in columns}})
    runtime.write_text(path, frame.to_csv(index=False, float_format="%.5f", lineterminator="\n"))
