"""How good a model is on the validation split, in numbers and in a picture."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from colorize import models
from colorize.color import targets
from colorize.data import feed, loader
from colorize.data.transform import to_networks
from colorize.evaluation import measures
from colorize.training import history

_PICTURES = 10  # validation images in a picture


@torch.inference_mode()
def validate(
    spec: models.Spec,
    model: nn.Module,
    split: loader.Split,
    weights: Tensor,
    options: targets.Options,
    num_images: int,
) -> dict:
    """Validation columns of a history row.

    Args:
        spec: of the model.
        model: on the device of `weights`; left in evaluation mode.
        split: for validation.
        weights: (Q,) class weights.
        options: of the soft targets.
        num_images: at most so many, evenly spaced over the split.
    """
    model.eval()
    rows = loader.spread(len(split), num_images)
    at_once = measures.images_at_once(weights.device, split.size)
    collected: dict[str, list[Tensor]] = {}
    for batch in feed.evaluation_feed(split, at_once, weights.device, rows):
        L_norm, ab_norm = to_networks(batch)
        for name, values in measures.per_image(model(L_norm), ab_norm, weights, options).items():
            collected.setdefault(name, []).append(values)
    values = torch.stack([torch.cat(values).mean() for values in collected.values()]).tolist()  # the one wait
    means = dict(zip(collected, values, strict=True))
    return {
        "val_loss": means["weighted_cross_entropy"] if spec.is_classifier else means["l2"],  # the regression's loss
        "val_l1": means["l1"],
        "val_l2": means["l2"],
        "val_accuracy": means["accuracy"] if spec.is_classifier else None,
    }


@torch.inference_mode()
def draw(model: nn.Module, split: loader.Split, device: torch.device, path: Path) -> None:
    """Write a picture of some validation images: input, prediction, truth."""
    model.eval()
    rows = loader.spread(len(split), _PICTURES)
    L_norm, ab_norm = to_networks(next(feed.evaluation_feed(split, _PICTURES, device, rows)))
    history.draw(path, L_norm, model(L_norm), ab_norm)
