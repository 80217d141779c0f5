"""Measuring predictions in one pass over the images of a split, for validation and for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from colorize.color import cielab, gamut
from colorize.color.cielab import AB_SCALE
from colorize.color.targets import Options, SoftTargets, pool, soft_targets, weigh
from colorize.data import loader
from colorize.data.split import Split
from colorize.data.transform import to_networks
from colorize.evaluation.predicted import Distributions
from colorize.models import output as outputs

_PIXELS = {"cpu": 1 << 14, "gpu": 1 << 19}  # pixels per batch: 20 MB and 660 MB of logits


class Kind(IntEnum):
    """Kind of a model's predictions. A model also has the measures of all lower kinds."""

    COLORS = 1  # ab, from a regression or a constant color
    DISTRIBUTIONS = 2  # a distribution over the ab bins


@dataclass(frozen=True)
class Truth:
    """B images: as in the shards, and as the input and target of the networks."""

    rgb: Tensor  # (B, H, W, 3) uint8
    L_norm: Tensor  # (B, 1, H, W)
    ab_norm: Tensor  # (B, 2, H, W)
    options: Options  # of the soft targets

    @cached_property
    def _results(self) -> dict[Callable[[Truth], Tensor], Tensor]:
        return {}

    def once(self, function: Callable[[Truth], Tensor]) -> Tensor:
        """The result of a function of these images, computed at the first call: several predictions share it."""
        if function not in self._results:
            self._results[function] = function(self)
        return self._results[function]

    @cached_property
    def bins(self) -> Tensor:
        """(B, H, W) int64, the bins of the colors."""
        return gamut.nearest_bin(self.ab_norm * AB_SCALE)

    @cached_property
    def targets(self) -> SoftTargets:
        """The soft targets, (B, H, W, K)."""
        return soft_targets(self.ab_norm, self.options)

    @cached_property
    def lab(self) -> Tensor:
        """(B, 3, H, W)."""
        return cielab.join_lab(self.L_norm, self.ab_norm)

    @cached_property
    def levels(self) -> Tensor:
        """(B, 3, H, W) float32, whole numbers in [0, 255]: the 8-bit levels of R, G and B."""
        return self.rgb.movedim(-1, 1).float()


class Prediction(NamedTuple):
    """What a model or a baseline predicts for B images."""

    output: Tensor | Distributions  # (B, 2, H, W) ab_norm; (B, Q, h, w) logits; or distributions
    for_weighted: Distributions | None = None  # those of the weighted cross entropy; None: the same


class Compared:
    """Predictions and true colors of B images. Values that several measures need are computed once, at first use.

    Args:
        prediction: the predictions, with h = H / head_stride and w = W / head_stride.
        truth: the images.
        weights: (Q,) class weights.
        inverse_prior: (Q,) weights of the rebalanced measures; None gives all bins the same weight.
    """

    def __init__(self, prediction: Prediction, truth: Truth, weights: Tensor, inverse_prior: Tensor | None = None):
        output = prediction.output
        if isinstance(output, Tensor) and outputs.is_distribution(output):
            output = Distributions.of_logits(output)
        self._output, self._for_weighted = output, prediction.for_weighted
        self.truth, self.ab_norm = truth, truth.ab_norm
        self.weights = weights
        self.inverse_prior = torch.ones_like(weights) if inverse_prior is None else inverse_prior
        self._results: dict[Callable[[Compared], Tensor], Tensor] = {}
        self._decoded: dict[float, Compared] = {}

    def once(self, function: Callable[[Compared], Tensor]) -> Tensor:
        """The result of a function of this batch, computed at the first call: a measure can use other measures."""
        if function not in self._results:
            self._results[function] = function(self)
        return self._results[function]

    def decoded(self, temperature: float) -> Compared:
        """The same images beside the mean colors of the predicted distributions at a temperature."""
        if temperature not in self._decoded:
            ab_norm = self._to_size(self.distributions.mean_ab(temperature))
            self._decoded[temperature] = self.with_prediction(Prediction(ab_norm))
        return self._decoded[temperature]

    def with_prediction(self, prediction: Prediction) -> Compared:
        """The same images beside another prediction."""
        return Compared(prediction, self.truth, self.weights, self.inverse_prior)

    @property
    def distributions(self) -> Distributions:
        """The predicted distributions; only predictions of the kind DISTRIBUTIONS have them."""
        assert isinstance(self._output, Distributions)
        return self._output

    @property
    def distributions_for_weighted(self) -> Distributions:
        """The distributions for the weighted cross entropy; only a few baselines have separate ones."""
        return self._for_weighted or self.distributions

    @cached_property
    def predicted(self) -> Tensor:
        """(B, 2, H, W) ab_norm, the predicted colors: of a distribution, its mode."""
        if isinstance(self._output, Tensor):
            return self._output
        return self._to_size(gamut.gamut_ab(self.ab_norm.device)[self._output.modes].movedim(-1, 1))

    def _to_size(self, ab: Tensor) -> Tensor:
        """(B, 2, h, w) ab -> (B, 2, H, W) ab_norm."""
        return torch.nn.functional.interpolate(ab, self.ab_norm.shape[-2:], mode="nearest") / AB_SCALE

    @cached_property
    def predicted_bins(self) -> Tensor:
        """(B, H, W) int64, the bins of the predicted colors."""
        return gamut.nearest_bin(self.predicted * AB_SCALE)

    @property
    def true_bins(self) -> Tensor:
        """(B, H, W) int64, the bins of the true colors."""
        return self.truth.bins

    @property
    def true_lab(self) -> Tensor:
        """(B, 3, H, W)."""
        return self.truth.lab

    @property
    def true_rgb(self) -> Tensor:
        """(B, 3, H, W) float32, whole numbers in [0, 255]."""
        return self.truth.levels

    @cached_property
    def fitted(self) -> tuple[Tensor, Tensor]:
        """The prediction with the true L, fitted to the gamut of sRGB: (B, 3, H, W) lab, (B, H, W) bool is_changed."""
        return cielab.fit_to_gamut(cielab.join_lab(self.truth.L_norm, self.predicted))

    @cached_property
    def predicted_rgb(self) -> Tensor:
        """(B, 3, H, W) float32, whole numbers in [0, 255]: the picture that the report shows."""
        return cielab.lab_to_rgb(self.fitted[0]).float()

    @property
    def targets(self) -> SoftTargets:
        """The soft targets, (B, H, W, K)."""
        return self.truth.targets

    @cached_property
    def pooled_targets(self) -> SoftTargets:
        """The soft targets at the resolution of the logits, (B, h, w, K') with K' = K * (H / h)^2."""
        return pool(self.targets, self.stride)

    @cached_property
    def pooled_weighted_targets(self) -> SoftTargets:
        """The pooled soft targets, with each pixel multiplied by its class weight, (B, h, w, K')."""
        return pool(weigh(self.targets, self.ab_norm, self.weights), self.stride)

    @cached_property
    def pooled_true_bins(self) -> SoftTargets:
        """The true bins at the resolution of the logits, (B, h, w, (H / h)^2), each with an equal share of 1."""
        bins = self.true_bins[..., None]  # (B, H, W, 1)
        return pool(SoftTargets(bins, torch.ones_like(bins, dtype=torch.float32)), self.stride)

    @property
    def stride(self) -> int:
        """Size of the images divided by the size of the logits."""
        return self.ab_norm.shape[-1] // self.distributions.shape[-1]


class Measure(NamedTuple):
    """A function that returns one number per image, and the predictions that it needs.

    The value of a split is the mean over its images. If the measure has a weight, the value of a split is
    sum(function) / sum(weight) over the images: a mean over pixels of different weights, not a mean of ratios.
    """

    function: Callable[[Compared], Tensor]  # returns (B,) float64
    kind: Kind  # lowest kind of prediction that has this measure
    weight: str | None = None  # name of another measure, which all kinds have


Name = TypeVar("Name", bound=Hashable)  # of a predictor
Predictor = Callable[[Truth], Prediction]  # only the oracle looks at the true colors


def measure(
    predict: Predictor,
    kind: Kind,
    split: Split,
    measures: Mapping[str, Measure],
    weights: Tensor,
    options: Options,
    rows: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """Compute the measures of one predictor; arguments and results are those of `measure_all`."""
    return measure_all({None: (predict, kind)}, split, measures, weights, options, rows)[None]


@torch.inference_mode()
def measure_all(
    predictors: Mapping[Name, tuple[Predictor, Kind]],
    split: Split,
    measures: Mapping[str, Measure],
    weights: Tensor,
    options: Options,
    rows: np.ndarray | None = None,
    advance: Callable[[int], None] = lambda _: None,
    inverse_prior: Tensor | None = None,
) -> dict[Name, dict[str, Tensor]]:
    """Compute the measures of all predictions for the images of a split, in one pass over the images.

    Args:
        predictors: by name: a predictor with its model in evaluation mode, on the device of `weights`, and the kind of
            its predictions. Measures of higher kinds are left out.
        split: the images.
        measures: measures by name.
        weights: (Q,) class weights.
        options: options of the soft targets.
        rows: (N,) row numbers; None for all N rows.
        advance: called with the number of images measured since the last call.
        inverse_prior: (Q,) weights of the rebalanced measures; None gives all bins the same weight.

    Returns:
        by predictor and measure: (N,) float64, on the device of `weights`.
    """
    device = weights.device
    # Arrays for all images, made first: small tensors that are kept between large temporary ones would fragment the
    # memory, by almost 2 MB per image.
    num_images = len(split) if rows is None else len(rows)
    measured: dict[Name, dict[str, Tensor]] = {
        predictor: {
            name: torch.empty(num_images, dtype=torch.float64, device=device)
            for name, one in measures.items()
            if one.kind <= kind
        }
        for predictor, (_, kind) in predictors.items()
    }
    start = 0
    for batch in loader.evaluation_batches(split, images_at_once(device, split.size), device, rows):
        truth = Truth(batch.rgb, *to_networks(batch), options)
        images = slice(start, start + len(truth.rgb))
        for predictor, found in measured.items():
            compared = Compared(predictors[predictor][0](truth), truth, weights, inverse_prior)
            for name, values in found.items():
                values[images] = compared.once(measures[name].function)
        start = images.stop
        advance(len(truth.rgb))
    return measured


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


def length(ab: Tensor) -> Tensor:
    """(B, 2, H, W) -> (B, H, W): the length of each vector. `norm` takes up to 70 times as long on a CPU."""
    return torch.hypot(*ab.unbind(1))
