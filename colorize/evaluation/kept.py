"""The test images whose predictions are kept for the report: evenly spaced images, the worst, and named ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize.color import cielab
from colorize.data import loader, shards
from colorize.data.split import Split, spread
from colorize.data.transform import to_networks
from colorize.evaluation.measuring import images_at_once
from colorize.evaluation.npz import write_npz
from colorize.layout import stage_name
from colorize.models import output as outputs
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
    sources = np.array(list(shards.read_column(split.folder, "source")), dtype=object)
    if len(sources) != len(split):
        raise DataError(
            f"{split.folder / shards.TABLE}: {len(sources)} rows, but the shards hold {len(split)} images; "
            f"run `{repair_command(split.folder, stage_name('shard', split.folder.name))}`"
        )
    membership = [np.isin(rows, chosen) for chosen in (saved, worst)]
    return Kept(rows, keys[rows], sources[rows].astype(str), l2[rows].astype(np.float32), *membership)


@torch.inference_mode()
def save(folder: Path, kept: Kept, split: Split, predict: Callable[[Tensor], Tensor], device: str) -> None:
    """Predict the kept images once more and write `predictions.npz`.

    The file has the fields of `Kept` except `rows`, and three uint8 arrays: `truth` and `predicted`, (N, H, W, 3) RGB,
    and `gray`, (N, H, W).

    Args:
        folder: output folder of the evaluation.
        kept: the images to keep.
        split: the test split.
        predict: function from L_norm to the output of the model.
        device: device to run on.
    """
    arrays: dict[str, list[np.ndarray]] = {"truth": [], "gray": [], "predicted": []}
    for batch in loader.evaluation_batches(split, images_at_once(device, split.size), device, kept.rows):
        L_norm, ab_norm = to_networks(batch)
        ab = outputs.to_ab_norm(predict(L_norm), ab_norm.shape[-2:])
        lab, _ = cielab.fit_to_gamut(cielab.join_lab(L_norm, ab))
        gray = cielab.lab_to_rgb(cielab.join_lab(L_norm, torch.zeros_like(ab_norm)))[:, 0]
        arrays["truth"].append(batch.rgb.cpu().numpy())
        arrays["gray"].append(gray.cpu().numpy())
        arrays["predicted"].append(cielab.lab_to_rgb(lab).movedim(1, -1).cpu().numpy())
    images = {name: np.concatenate(parts) for name, parts in arrays.items()}
    write_npz(folder / "predictions.npz", {k: v for k, v in kept._asdict().items() if k != "rows"} | images)
