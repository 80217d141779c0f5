"""Validation of a model during training: measures and a picture."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from colorize.color import targets
from colorize.data import loader
from colorize.data.split import Split, spread
from colorize.data.transform import to_networks
from colorize.evaluation.measuring import Kind, Prediction, measure
from colorize.evaluation.paper import MEASURES
from colorize.models.contract import Classifier, Network
from colorize.training import history

_MEASURES = {name: MEASURES[name] for name in ("l2", "l1", "accuracy", "weighted_cross_entropy")}
_PICTURES = 10  # validation images in a picture


def validate(
    model: Network, split: Split, weights: Tensor, options: targets.Options, num_images: int
) -> dict[str, float | None]:
    """Measure a model on the validation split.

    Args:
        model: network on the device of `weights`; afterwards it is in evaluation mode.
        split: the validation split.
        weights: (Q,) class weights.
        options: options of the soft targets.
        num_images: largest number of images, which are evenly spaced over the split.

    Returns:
        the columns `val_*` of a history row; `val_accuracy` of a regression is None.
    """
    model.eval()
    is_classifier = isinstance(model, Classifier)
    kind = Kind.DISTRIBUTIONS if is_classifier else Kind.COLORS
    rows = spread(len(split), num_images)
    measured = measure(lambda truth: Prediction(model(truth.L_norm)), kind, split, _MEASURES, weights, options, rows)
    values = torch.stack([values.mean() for values in measured.values()]).tolist()  # the only wait for the device
    means = dict(zip(measured, values, strict=True))
    return {
        "val_loss": means["weighted_cross_entropy" if is_classifier else "l2"],  # L2 is the loss of the regression
        "val_l1": means["l1"],
        "val_l2": means["l2"],
        "val_accuracy": means.get("accuracy"),
    }


@torch.inference_mode()
def write_picture(model: Network, split: Split, device: torch.device, path: Path) -> None:
    """Write a contact sheet of up to 10 evenly spaced validation images: input, prediction, truth.

    Afterwards, the model is in evaluation mode.
    """
    model.eval()
    rows = spread(len(split), _PICTURES)
    L_norm, ab_norm = to_networks(next(loader.evaluation_batches(split, _PICTURES, device, rows)))
    history.write_sheet(path, L_norm, model(L_norm), ab_norm)
