"""Validation of a model during training: measures of fixed validation and training images, and a picture.

The training images are measured in the same way as the validation images: with the same weights, in evaluation mode and
without flips. The difference between the two losses therefore shows over-fitting, apart from a difference between the
two sets of images. `train_loss` of the history cannot show it: it is a running mean over many steps, in training mode.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from colorize.color import targets
from colorize.data import loader
from colorize.data.split import Split, spread
from colorize.data.transform import to_networks
from colorize.evaluation.measuring import Kind, Measure, Prediction, measure
from colorize.evaluation.paper import MEASURES, class_weight, cross_entropy_with
from colorize.models.contract import Classifier, Network
from colorize.training import history

_COLORS = {name: MEASURES[name] for name in ("l2", "l1", "accuracy")}
_LOSSES = {
    Kind.COLORS: {"l2": MEASURES["l2"]},
    Kind.DISTRIBUTIONS: {
        "cross_entropy": MEASURES["cross_entropy"],
        "weighted_cross_entropy": MEASURES["weighted_cross_entropy"],
        "class_weight": Measure(class_weight, Kind.DISTRIBUTIONS),
    },
}
_PICTURES = 10  # validation images in a picture


class Weights(NamedTuple):
    """Class weights, (Q,) each, on the device of the model."""

    loss: Tensor  # those of the model's loss; all are 1 if the model is trained without class weights
    measured: Tensor  # those of the weighted cross entropy, which every classifier has


def validate(
    model: Network,
    predict: Callable[[Tensor], Tensor],
    train: Split,
    val: Split,
    weights: Weights,
    options: targets.Options,
    num_images: int,
) -> dict[str, float]:
    """Measure a model on fixed images of the validation split, and on as many fixed images of the training split.

    Args:
        model: network on the device of `weights`; afterwards it is in evaluation mode.
        predict: the function (B, 1, H, W) L_norm -> output of the model.
        train: the training split; only the losses are measured there.
        val: the validation split.
        weights: class weights.
        options: options of the soft targets.
        num_images: largest number of images of a split, which are evenly spaced over the split.

    Returns:
        the columns of a history row that this model has: `val_loss`, `val_<measure>` and `train_<measure>`.
    """
    model.eval()
    kind = Kind.DISTRIBUTIONS if isinstance(model, Classifier) else Kind.COLORS
    loss = MEASURES["l2"] if kind == Kind.COLORS else Measure(cross_entropy_with(weights.loss), kind)
    rows = {"val": spread(len(val), num_images)}
    rows["train"] = spread(len(train), len(rows["val"]))
    measures = {"val": {"loss": loss, **_COLORS, **_LOSSES[kind]}, "train": _LOSSES[kind]}
    row: dict[str, float] = {}
    for name, split in (("val", val), ("train", train)):
        measured = measure(
            lambda truth: Prediction(predict(truth.L_norm)),
            kind, split, measures[name], weights.measured, options, rows[name],
        )  # fmt: skip
        means = torch.stack([values.mean() for values in measured.values()]).tolist()  # the only wait for the device
        row |= {f"{name}_{column}": mean for column, mean in zip(measured, means, strict=True)}
    return row


@torch.inference_mode()
def write_picture(
    model: Network, predict: Callable[[Tensor], Tensor], split: Split, device: torch.device, path: Path
) -> None:
    """Write a contact sheet of up to 10 evenly spaced validation images: input, prediction, truth.

    Afterwards, the model is in evaluation mode. `predict` is the same as for `validate`.
    """
    model.eval()
    rows = spread(len(split), _PICTURES)
    L_norm, ab_norm = to_networks(next(loader.evaluation_batches(split, _PICTURES, device, rows)))
    history.write_sheet(path, L_norm, predict(L_norm), ab_norm)
