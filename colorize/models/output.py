"""From what a model returns to ab, the same for training, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from colorize.color import gamut
from colorize.color.cielab import AB_SCALE


def is_distribution(output: Tensor) -> bool:
    """Whether an output holds logits of the bins rather than ab itself."""
    return output.shape[1] == gamut.NUM_BINS


def to_ab_norm(output: Tensor, size: Sequence[int], temperature: float | None = None) -> Tensor:
    """The predicted colors.

    Args:
        output: (B, 2, H, W) ab_norm, or (B, Q, h, w) logits.
        size: (H, W).
        temperature: of the annealed mean; None takes the mode, as the paper does.

    Returns:
        (B, 2, H, W) ab_norm.
    """
    if not is_distribution(output):
        return output
    ab = gamut.mode(output) if temperature is None else gamut.annealed_mean(output, temperature)
    return torch.nn.functional.interpolate(ab, size, mode="nearest") / AB_SCALE
