"""Measuring predictions in one pass over the images of a split, for validation and for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize.color import cielab, gamut
from colorize.color.cielab import AB_SCALE
from colorize.color.targets import Options, SoftTargets, pool, soft_targets, weigh
from colorize.data import loader
from colorize.data.split import Split
from colorize.data.transform import to_networks
from colorize.models import output as outputs

_PIXELS = {"cpu": 1 << 14, "gpu": 1 << 19}  # pixels per batch: 20 MB and 660 MB of logits


class Kind(IntEnum):
    """Kind of a model's predictions. A model also has the measures of all lower kinds."""

    COLORS = 1  # any ab, from a regression
    BINS = 2  # one of the ab bins
    DISTRIBUTIONS = 3  # a distribution over the ab bins


class Truth(NamedTuple):
    """B images: as in the shards, and as the input and target of the networks."""

    rgb: Tensor  # (B, H, W, 3) uint8
    L_norm: Tensor  # (B, 1, H, W)
    ab_norm: Tensor  # (B, 2, H, W)


class Compared:
    """Predictions and true colors of B images. Values that several measures need are computed once, at first use.

    Args:
        output: (B, 2, H, W) ab_norm, or (B, Q, h, w) logits with h = H / head_stride and w = W / head_stride.
        truth: the images.
        weights: (Q,) class weights.
        options: options of the soft targets.
        logits_for_weighted: (B, Q, h, w) logits for the weighted cross entropy; None means `output`. Only the constant
            prior has separate logits.
        inverse_prior: (Q,) weights of the rebalanced measures; None gives all bins the same weight.
    """

    def __init__(
        self,
        output: Tensor,
        truth: Truth,
        weights: Tensor,
        options: Options,
        logits_for_weighted: Tensor | None = None,
        inverse_prior: Tensor | None = None,
    ):
        self.logits = output
        self.logits_for_weighted = output if logits_for_weighted is None else logits_for_weighted
        self.truth, self.ab_norm = truth, truth.ab_norm
        self.weights, self._options = weights, options
        self.inverse_prior = torch.ones_like(weights) if inverse_prior is None else inverse_prior
        self._results: dict[Callable[[Compared], Tensor], Tensor] = {}

    def once(self, function: Callable[[Compared], Tensor]) -> Tensor:
        """The result of a function of this batch, computed at the first call: a measure can use other measures."""
        if function not in self._results:
            self._results[function] = function(self)
        return self._results[function]

    @cached_property
    def predicted(self) -> Tensor:
        """(B, 2, H, W) ab_norm, the predicted colors."""
        return outputs.to_ab_norm(self.logits, self.ab_norm.shape[-2:])

    @cached_property
    def predicted_bins(self) -> Tensor:
        """(B, H, W) int64, the bins of the predicted colors."""
        return gamut.nearest_bin(self.predicted * AB_SCALE)

    @cached_property
    def true_bins(self) -> Tensor:
        """(B, H, W) int64, the bins of the true colors."""
        return gamut.nearest_bin(self.ab_norm * AB_SCALE)

    @cached_property
    def true_lab(self) -> Tensor:
        """(B, 3, H, W)."""
        return cielab.join_lab(self.truth.L_norm, self.ab_norm)

    @cached_property
    def true_rgb(self) -> Tensor:
        """(B, 3, H, W) float32, whole numbers in [0, 255]."""
        return self.truth.rgb.movedim(-1, 1).float()

    @cached_property
    def fitted(self) -> tuple[Tensor, Tensor]:
        """The prediction with the true L, fitted to the gamut of sRGB: (B, 3, H, W) lab, (B, H, W) bool is_changed."""
        return cielab.fit_to_gamut(cielab.join_lab(self.truth.L_norm, self.predicted))

    @cached_property
    def predicted_rgb(self) -> Tensor:
        """(B, 3, H, W) float32, whole numbers in [0, 255]: the picture that the report shows."""
        return cielab.lab_to_rgb(self.fitted[0]).float()

    @cached_property
    def targets(self) -> SoftTargets:
        """The soft targets, (B, H, W, K)."""
        return soft_targets(self.ab_norm, self._options)

    @cached_property
    def pooled_targets(self) -> SoftTargets:
        """The soft targets at the resolution of the logits, (B, h, w, K') with K' = K * (H / h)^2."""
        return pool(self.targets, self.stride)

    @cached_property
    def pooled_weighted_targets(self) -> SoftTargets:
        """The pooled soft targets, with each pixel multiplied by its class weight, (B, h, w, K')."""
        return pool(weigh(self.targets, self.ab_norm, self.weights), self.stride)

    @property
    def stride(self) -> int:
        """Size of the images divided by the size of the logits."""
        return self.ab_norm.shape[-1] // self.logits.shape[-1]


class Measure(NamedTuple):
    """A function that returns one number per image, and the predictions that it needs.

    The value of a split is the mean over its images. If the measure has a weight, the value of a split is
    sum(function) / sum(weight) over the images: a mean over pixels of different weights, not a mean of ratios.
    """

    function: Callable[[Compared], Tensor]  # returns (B,) float64
    kind: Kind  # lowest kind of prediction that has this measure
    weight: str | None = None  # name of another measure, which all kinds have


# L_norm (B, 1, H, W) -> the output of the model, and `logits_for_weighted` of `Compared`
Predictor = Callable[[Tensor], tuple[Tensor, Tensor | None]]


@torch.inference_mode()
def measure(
    predict: Predictor,
    kind: Kind,
    split: Split,
    measures: Mapping[str, Measure],
    weights: Tensor,
    options: Options,
    rows: np.ndarray | None = None,
    advance: Callable[[int], None] = lambda _: None,
    inverse_prior: Tensor | None = None,
) -> dict[str, Tensor]:
    """Compute the measures of the predictions for the images of a split.

    Args:
        predict: predictor with its model in evaluation mode, on the device of `weights`.
        kind: kind of the predictions; measures of higher kinds are left out.
        split: the images.
        measures: measures by name.
        weights: (Q,) class weights.
        options: options of the soft targets.
        rows: (N,) row numbers; None for all N rows.
        advance: called with the number of images measured since the last call.
        inverse_prior: (Q,) weights of the rebalanced measures; None gives all bins the same weight.

    Returns:
        (N,) float64 per measure, by name, on the device of `weights`.
    """
    device = weights.device
    collected: dict[str, list[Tensor]] = {name: [] for name, one in measures.items() if one.kind <= kind}
    for batch in loader.evaluation_batches(split, images_at_once(device, split.size), device, rows):
        L_norm, ab_norm = to_networks(batch)
        output, logits_for_weighted = predict(L_norm)
        truth = Truth(batch.rgb, L_norm, ab_norm)
        compared = Compared(output, truth, weights, options, logits_for_weighted, inverse_prior)
        for name, values in collected.items():
            values.append(compared.once(measures[name].function))
        advance(len(L_norm))
    return {name: torch.cat(values) for name, values in collected.items()}


def values_of_split(measured: Mapping[str, np.ndarray], measures: Mapping[str, Measure]) -> dict[str, float]:
    """The value of each measure over a split, as `Measure` defines it.

    Args:
        measured: (N,) float64 of some measures, with all weights that they name.
        measures: by name.
    """
    weights = {name: measures[name].weight for name in measured}
    return {
        name: float(values.mean() if (weight := weights[name]) is None else values.sum() / measured[weight].sum())
        for name, values in measured.items()
    }


def images_at_once(device: str | torch.device, size: int) -> int:
    """Batch size for images of `size` x `size` pixels; on a CPU, it is small because of the caches."""
    pixels = _PIXELS["cpu" if torch.device(device).type == "cpu" else "gpu"]
    return max(1, pixels // size**2)


def mean_per_image(values: Tensor) -> Tensor:
    """(B, ...) -> (B,) float64, the mean of each image."""
    return values.double().flatten(1).mean(dim=1)
