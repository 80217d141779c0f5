"""Measures of the predicted colors as such: how colorful they are, how many are gray, and how many sRGB cannot show."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.color.cielab import AB_SCALE
from colorize.evaluation.measuring import Compared, Truth, length, mean_per_image

_NEAR_GRAY = 5.0  # largest chroma, CIELAB units


def colorfulness(batch: Compared) -> Tensor:
    """Colorfulness M3 (Hasler and Suesstrunk 2003, eq. 9 to 11) of the predicted picture: 0 is gray, 109 extreme."""
    return batch.once(_both_m3)[0]


def true_colorfulness(batch: Compared) -> Tensor:
    """The same of the true picture."""
    return batch.truth.once(_true_both_m3)[0]


def colorfulness_error(batch: Compared) -> Tensor:
    """Absolute difference between the colorfulness of the predicted and of the true picture."""
    return (batch.once(colorfulness) - batch.once(true_colorfulness)).abs()


def absolute_colorfulness(batch: Compared) -> Tensor:
    """The variant that CT2 and DDColor report: the absolute values of the opponent channels take their place."""
    return batch.once(_both_m3)[1]


def true_absolute_colorfulness(batch: Compared) -> Tensor:
    """The same of the true picture."""
    return batch.truth.once(_true_both_m3)[1]


def absolute_colorfulness_error(batch: Compared) -> Tensor:
    """Absolute difference between this variant of the predicted and of the true picture."""
    return (batch.once(absolute_colorfulness) - batch.once(true_absolute_colorfulness)).abs()


def near_gray(batch: Compared) -> Tensor:
    """Fraction of the pixels whose predicted ab is at most 5 CIELAB units from gray; near 1, color has collapsed."""
    return _near_gray(batch.predicted)


def true_near_gray(batch: Compared) -> Tensor:
    """The same of the true ab."""
    return batch.truth.once(_true_near_gray)


def out_of_gamut(batch: Compared) -> Tensor:
    """Fraction of the pixels whose prediction sRGB cannot show; their chroma is reduced in the picture."""
    return mean_per_image(batch.fitted[1])


def _both_m3(batch: Compared) -> Tensor:
    return _m3(batch.predicted_rgb)


def _true_both_m3(truth: Truth) -> Tensor:
    return _m3(truth.levels)


def _true_near_gray(truth: Truth) -> Tensor:
    return _near_gray(truth.ab_norm)


def _near_gray(ab_norm: Tensor) -> Tensor:
    return mean_per_image(length(ab_norm) * AB_SCALE <= _NEAR_GRAY)


def _m3(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) levels -> (2, B) float64: M3 of the opponent channels, and of their absolute values.

    M3 is the norm of the standard deviations of both channels plus 0.3 times the norm of their means. The levels are
    whole numbers, so the sums are exact, or nearly so in large images, and differences of them lose no digits.
    """
    red, green, blue = rgb.unbind(1)
    channels = torch.stack([red - green, (red + green) / 2 - blue])  # (2, B, H, W): the opponent channels
    squares = _mean(channels.square())
    means = torch.stack([_mean(channels), _mean(channels.abs_())])  # (2, 2, B): variant, channel and image
    deviations = (squares - means.square()).clamp_min(0).sum(dim=1).sqrt()
    return deviations + 0.3 * means.norm(dim=1)


def _mean(channels: Tensor) -> Tensor:
    """(..., H, W) float32 -> (...) float64: the mean over the pixels. Only the sums of the rows are in float32."""
    return channels.sum(dim=-1).double().sum(dim=-1) / (channels.shape[-2] * channels.shape[-1])
