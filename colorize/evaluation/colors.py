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
    """Norm of the standard deviations plus 0.3 times norm of the means of the opponent channels and of their absolutes.

    The squares of a channel and of its absolute value are equal, so both variants share them. The sums of the squares
    are exact in float64, so the difference of two of them loses no digit that is kept.

    Args:
        rgb: (B, 3, H, W), whole numbers in [0, 255].

    Returns:
        (2, B) float64: colorfulness, and the variant with absolute values.
    """
    red, green, blue = rgb.unbind(1)
    channels = torch.stack([red - green, (red + green) / 2 - blue], dim=1).flatten(2).double()  # (B, 2, H W)
    means = torch.stack([channels.mean(dim=2), channels.abs().mean(dim=2)])  # (2, B, 2): of both variants
    variances = channels.square().mean(dim=2) - means.square()
    return variances.clamp_min(0).sum(dim=2).sqrt() + 0.3 * means.norm(dim=2)
