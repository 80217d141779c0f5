"""From a loader's batch to the networks' input and target, on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize import color
from colorize.data.loader import Batch


def to_networks(batch: Batch, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Move, mirror and convert a batch; only bytes travel to the device.

    Args:
        batch: of B images of side S.
        device: of the model.

    Returns:
        L_norm (B, 1, S, S) and ab_norm (B, 2, S, S), float32, channels_last in memory.
    """
    rgb = torch.from_numpy(batch.rgb).to(device, non_blocking=True)
    is_flipped = torch.from_numpy(batch.is_flipped).to(device, non_blocking=True)[:, None, None, None]
    rgb = torch.where(is_flipped, rgb.flip(2), rgb).movedim(-1, 1)  # (B, 3, S, S)
    L_norm, ab_norm = color.split_lab(color.rgb_to_lab(rgb))
    return (
        L_norm.contiguous(memory_format=torch.channels_last),
        ab_norm.contiguous(memory_format=torch.channels_last),
    )
