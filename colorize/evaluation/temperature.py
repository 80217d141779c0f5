"""The temperature curve of a classifier: colors and calibration of softmax(logits / T) for several temperatures T.

The mean color of this distribution is between the mode (T = 0) and the mean of the predicted distribution (T = 1).
Above 1, the distribution is flatter than the predicted one.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from colorize import runtime
from colorize.color import gamut
from colorize.color.targets import SoftTargets
from colorize.evaluation import colors, distances, paper
from colorize.evaluation.measuring import Compared, Prediction, mean_per_image

TEMPERATURES = (0.0, 0.2, gamut.ANNEALED, 0.6, 0.8, 1.0, 1.25, 1.5)
COLUMNS = (
    "temperature",
    "l2",
    "psnr",
    "colorfulness",
    "true_colorfulness",
    "cross_entropy",  # against the soft targets
    "negative_log_likelihood",  # of the true bins
    "calibration_error",
)
RELIABILITY_COLUMNS = ("low", "high", "pixels", "top_probability", "accuracy")  # of an interval of the top probability
_BINS = 15  # intervals of the top probability
_DIGITS = 5


def at_all_temperatures(batch: Compared) -> Compared:
    """The same predictions, with distributions that one pass over the logits computes for all `TEMPERATURES`."""
    positive = [temperature for temperature in TEMPERATURES if temperature]
    return batch.with_prediction(Prediction(batch.distributions.at(positive)))


class Curve:
    """Sums over the images of a split, for every temperature."""

    def __init__(self) -> None:
        self._images = 0
        self._measures: dict[float, Tensor] = {}  # (6,) float64, the sums of the measures
        self._top: dict[float, Tensor] = {}  # (3, 15) float64: number, top probabilities and hits of pixels

    def add(self, batch: Compared, is_counted: Tensor) -> None:
        """Add the images of a batch of `at_all_temperatures` for which `is_counted`, (B,) bool, is true."""
        true = batch.pooled_true_bins
        self._images += int(is_counted.sum())
        for temperature in TEMPERATURES:
            values = [*_colors(batch, temperature)]
            if temperature:
                values += [_cross_entropy(batch, targets, temperature) for targets in (batch.pooled_targets, true)]
                top = batch.distributions.top_probability(temperature)[..., None].expand(true.bins.shape)
                is_hit = true.bins == batch.distributions.modes[..., None]
                _add(self._top, temperature, top_counts(top[is_counted], is_hit[is_counted]))
            _add(self._measures, temperature, torch.stack(values)[:, is_counted].sum(dim=1))

    def write(self, path: Path) -> None:
        """Write a CSV with one line per temperature. The last three columns of T = 0 are empty."""
        lines = []
        for temperature, sums in self._measures.items():
            values = (sums / self._images).tolist()
            values += [calibration_error(self._top[temperature]).item()] if temperature else [None] * 3
            lines.append([str(temperature), *map(_digits, values)])
        runtime.write_text(path, runtime.comma_separated(COLUMNS, lines))

    def write_reliability(self, path: Path) -> None:
        """Write a CSV with one line per interval of the top probability at T = 1.

        `pixels` is the number of pixels in the interval. `top_probability` is their mean top probability, and
        `accuracy` the fraction of them whose most probable bin is the true one. Both are empty if there are no pixels.
        """
        lines = []
        for interval, (pixels, top, hits) in enumerate(self._top[1.0].t().tolist()):
            means = [top / pixels, hits / pixels] if pixels else [None, None]
            limits = [interval / _BINS, (interval + 1) / _BINS]
            lines.append([*map(_digits, limits), str(int(pixels)), *map(_digits, means)])
        runtime.write_text(path, runtime.comma_separated(RELIABILITY_COLUMNS, lines))


def top_counts(top: Tensor, is_hit: Tensor) -> Tensor:
    """Count pixels by their top probability, in 15 intervals of equal width.

    Args:
        top: (...) the probability of the most probable bin.
        is_hit: (...) bool, whether this bin is the true one.

    Returns:
        (3, 15) float64: number of pixels, sum of the top probabilities, and number of hits.
    """
    interval = (top * _BINS).long().clamp_max(_BINS - 1).flatten()
    values = torch.stack([torch.ones_like(top), top, is_hit.to(top.dtype)]).flatten(1).double()  # (3, pixels)
    return torch.zeros(3, _BINS, dtype=torch.float64, device=top.device).index_add_(1, interval, values)


def calibration_error(counts: Tensor) -> Tensor:
    """Expected calibration error (Guo et al. 2017) of `top_counts`.

    It is the absolute difference between the accuracy and the mean top probability of the pixels of an interval,
    averaged over the intervals, each weighted by its number of pixels.
    """
    pixels, top, hits = counts
    return (hits - top).abs().sum() / pixels.sum()


def _colors(batch: Compared, temperature: float) -> list[Tensor]:
    """L2, PSNR, colorfulness and true colorfulness of the mean colors at a temperature, (B,) float64 each."""
    decoded = batch.decoded(temperature) if temperature else batch
    values = [decoded.once(measure) for measure in (paper.l2, distances.psnr, colors.colorfulness)]
    return [*values, batch.once(colors.true_colorfulness)]


def _cross_entropy(batch: Compared, targets: SoftTargets, temperature: float) -> Tensor:
    """Cross entropy of the distributions at a temperature, mean over pixels, (B,) float64, in nats."""
    log_p = batch.distributions.log_probabilities(targets.bins, temperature)
    return mean_per_image(-(targets.values * log_p).sum(dim=-1))


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.{_DIGITS}f}"


def _add(sums: dict[float, Tensor], temperature: float, values: Tensor) -> None:
    sums[temperature] = sums[temperature] + values if temperature in sums else values
