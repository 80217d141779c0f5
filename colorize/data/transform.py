"""Convert a batch to the networks' input and target, on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize import runtime
from colorize.color import cielab
from colorize.data.loader import DeviceBatch


def to_networks(batch: DeviceBatch) -> tuple[Tensor, Tensor]:
    """Mirror and convert a batch.

    Args:
        batch: B images of S x S pixels, on the device.

    Returns:
        L_norm (B, 1, S, S) and ab_norm (B, 2, S, S), float32, channels_last in memory.
    """
    if batch.rgb.is_cuda:
        runtime.check_compiler()
        from colorize.ops import transform_cuda  # only the CUDA builds of torch include Triton

        return transform_cuda.to_networks(batch.rgb, batch.is_flipped)
    is_flipped = batch.is_flipped[:, None, None, None]
    rgb = torch.where(is_flipped, batch.rgb.flip(2), batch.rgb).movedim(-1, 1)  # (B, 3, S, S)
    L_norm, ab_norm = cielab.split_lab(cielab.rgb_to_lab(rgb))
    return (
        L_norm.contiguous(memory_format=torch.channels_last),
        ab_norm.contiguous(memory_format=torch.channels_last),
    )
