"""Conversion of a model's output to ab; training, evaluation and prediction share it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from colorize.color import gamut
from colorize.color.cielab import AB_SCALE


def is_distribution(output: Tensor) -> bool:
    """Whether an output holds logits of the bins; otherwise it holds ab_norm."""
    return output.shape[1] == gamut.NUM_BINS


def to_ab_norm(output: Tensor, size: Sequence[int], temperature: float | None = None) -> Tensor:
    """Convert the output of a model to colors of full size.

    Args:
        output: (B, 2, H, W) ab_norm, or (B, Q, h, w) logits.
        size: (H, W) of the result.
        temperature: temperature of the annealed mean, in (0, 1]; None takes the mode, as in the paper.

    Returns:
        (B, 2, H, W) ab_norm.
    """
    if not is_distribution(output):
        return output
    ab = gamut.mode(output) if temperature is None else gamut.annealed_mean(output, temperature)
    return torch.nn.functional.interpolate(ab, size, mode="nearest") / AB_SCALE
