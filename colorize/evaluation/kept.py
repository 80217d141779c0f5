"""The test images whose predictions are kept for the report: evenly spaced images, the worst, and named ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize.color import cielab, gamut
from colorize.color.targets import Options
from colorize.data import loader, shards
from colorize.data.split import Split, spread
from colorize.data.transform import to_networks
from colorize.evaluation.measuring import Compared, Kind, Predictor, Truth, images_at_once
from colorize.evaluation.npz import write_npz
from colorize.evaluation.temperature import Curve, at_all_temperatures
from colorize.layout import stage_name
from colorize.runtime import DataError, repair_command

if TYPE_CHECKING:
    from colorize.config.params import Evaluate


class Kept(NamedTuple):
    """Which rows of the split are kept, and why."""

    rows: np.ndarray  # (N,) int64: row numbers in the split
    key: np.ndarray  # (N,) int64: keys of the images in the split
    source: np.ndarray  # (N,) unicode: name of the image in the raw archive
    l2: np.ndarray  # (N,) float32: the measure `l2`
    is_saved: np.ndarray  # (N,) bool: evenly spaced images, the same for every model
    is_worst: np.ndarray  # (N,) bool: images with the largest L2 of this model


def choose(split: Split, l2: np.ndarray, settings: Evaluate, named: list[int]) -> Kept:
    """Choose the test images whose predictions are kept.

    Args:
        split: the test split.
        l2: (images,) the measure `l2` of each image.
        settings: the section `evaluate` of the parameters.
        named: keys of further images to keep.

    Raises:
        DataError: a named key is not in the split, or the table of the split does not have one row per image.
    """
    keys = split.keys(np.arange(len(split)))
    unknown = sorted(set(named) - set(keys.tolist()))
    if unknown:
        problem = f"{unknown} are not keys of the test split (0 to {keys[-1]})"
        raise DataError(f"evaluate.named.{split.folder.name}: {problem}; correct params.yaml")
    saved = spread(len(split), settings.num_saved)
    worst = np.argsort(-l2, kind="stable")[: settings.num_worst]
    of_name = np.flatnonzero(np.isin(keys, named))
    rows = np.unique(np.concatenate([saved, worst, of_name]))
    membership = [np.isin(rows, chosen) for chosen in (saved, worst)]
    return Kept(rows, keys[rows], read_column(split, "source")[rows], l2[rows].astype(np.float32), *membership)


def read_column(split: Split, name: str) -> np.ndarray:
    """A column of the table of the images: (images,) unicode.

    Raises:
        DataError: the table is missing or damaged, or does not have one row per image.
    """
    column = np.array(list(shards.read_column(split.folder, name)), dtype=np.str_)
    if len(column) != len(split):
        raise DataError(
            f"{split.folder / shards.TABLE}: {len(column)} rows, but the shards hold {len(split)} images; "
            f"run `{repair_command(split.folder, stage_name('shard', split.folder.name))}`"
        )
    return column


@torch.inference_mode()
def save(
    folder: Path, kept: Kept, split: Split, predict: Predictor, kind: Kind, weights: Tensor, options: Options
) -> None:
    """Predict the kept images once more; write `predictions.npz`, and the curves of distributions.

    `predictions.npz` has the fields of `Kept` except `rows`, and the arrays of `_pictures`. Distributions also have
    `temperature.csv` and `reliability.csv`: those of `temperature.Curve` for the evenly spaced images.

    Args:
        folder: output folder of the evaluation.
        kept: the images to keep.
        split: the test split.
        predict: predictor of a model.
        kind: kind of its predictions.
        weights: (Q,) class weights, on the device of the model.
        options: options of the soft targets.
    """
    parts: list[dict[str, np.ndarray]] = []
    device, curve = weights.device, Curve()
    at_once = images_at_once(device, split.size)
    is_saved = torch.from_numpy(kept.is_saved).to(device).split(at_once)
    batches = loader.evaluation_batches(split, at_once, device, kept.rows)
    for batch, is_counted in zip(batches, is_saved, strict=True):
        truth = Truth(batch.rgb, *to_networks(batch), options)
        compared = Compared(predict(truth), truth, weights)
        if kind == Kind.DISTRIBUTIONS:
            compared = at_all_temperatures(compared)
            curve.add(compared, is_counted)
        parts.append({name: values.cpu().numpy() for name, values in _pictures(compared, kind).items()})
    images = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    write_npz(folder / "predictions.npz", {k: v for k, v in kept._asdict().items() if k != "rows"} | images)
    if kind == Kind.DISTRIBUTIONS:
        curve.write(folder / "temperature.csv")
        curve.write_reliability(folder / "reliability.csv")


def _pictures(batch: Compared, kind: Kind) -> dict[str, Tensor]:
    """What the report shows of a batch: pictures of (B, H, W) or, in RGB, (B, H, W, 3) uint8.

    `predicted` has the colors of the mode. Only distributions have `annealed_mean`, the colors of the annealed mean,
    and `entropy`, (B, h, w) float16: the entropy of the predicted distributions in nats.
    """
    gray = cielab.lab_to_rgb(cielab.join_lab(batch.truth.L_norm, torch.zeros_like(batch.ab_norm)))[:, 0]
    found = {"truth": batch.truth.rgb, "gray": gray, "predicted": _picture(batch)}
    if kind == Kind.DISTRIBUTIONS:
        found["annealed_mean"] = _picture(batch.decoded(gamut.ANNEALED))
        found["entropy"] = batch.distributions.entropy.half()
    return found


def _picture(batch: Compared) -> Tensor:
    return batch.predicted_rgb.byte().movedim(1, -1)  # (B, H, W, 3)
