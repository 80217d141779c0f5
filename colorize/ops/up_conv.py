"""Nearest-neighbor upsampling by 2 and a 3x3 convolution in one operation, with 4/9 of the multiplications.

`up_conv2d` equals `plain` except for rounding; tests/ops/test_up_conv.py compares their values and gradients.

Upsampling repeats each pixel of x, so several taps of the 3x3 kernel multiply the same pixel. These taps can be summed
before the convolution. For the output pixel (2i + p, 2j + q) with p and q in {0, 1}, a 2x2 kernel remains. It reads the
window of x that begins at (i + p - 1, j + q - 1). One 2x2 convolution applies all four kernels to every window.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The plain version of `up_conv2d`, with the same arguments and result."""
    return functional.conv2d(functional.interpolate(x, scale_factor=2, mode="nearest"), weight, bias, padding=1)


def up_conv2d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Nearest-neighbor upsampling by 2, then a 3x3 convolution with padding 1.

    Args:
        x: (B, C, h, w).
        weight: (C', C, 3, 3).
        bias: (C',).

    Returns:
        (B, C', 2h, 2w), channels_last in memory.
    """
    rows = _add_taps(weight, dim=2)  # (2, C', C, 2, 3)
    kernels = _add_taps(rows, dim=4)  # (2 for q, 2 for p, C', C, 2, 2)
    kernels = kernels.flatten(0, 2).contiguous(memory_format=torch.channels_last)  # (4 C', C, 2, 2)
    windows = functional.conv2d(x, kernels, bias.repeat(4), padding=1)  # (B, 4 C', h + 1, w + 1)
    return _Interleave.apply(windows)


def _add_taps(kernels: Tensor, dim: int) -> Tensor:
    """Add the taps that multiply the same pixel, along one dimension.

    (..., 3, ...) taps -> (2, ..., 2, ...): first the kernels for even output pixels, then those for odd ones.
    """
    before, middle, after = kernels.unbind(dim)
    even = torch.stack([before, middle + after], dim)
    odd = torch.stack([before + middle, after], dim)
    return torch.stack([even, odd])


class _Interleave(torch.autograd.Function):
    """(B, 4 C, h + 1, w + 1) -> (B, C, 2h, 2w): the quarter (q, p) of the channels gives the pixels (2i + p, 2j + q).

    This class has its own backward pass, because autograd would fill and add one tensor of full size per slice.
    """

    @staticmethod
    def forward(ctx: Any, windows: Tensor) -> Tensor:
        batch, channels, height, width = windows.shape
        ctx.input_shape = windows.shape
        out = windows.new_empty((batch, channels // 4, 2 * (height - 1), 2 * (width - 1)))
        out = out.contiguous(memory_format=torch.channels_last)
        for window, pixels in _quarters(windows, out):
            pixels.copy_(window)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        result = grad.new_zeros(ctx.input_shape).contiguous(memory_format=torch.channels_last)
        for window, pixels in _quarters(result, grad):
            window.copy_(pixels)
        return result


def _quarters(windows: Tensor, pixels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Pairs of views, (B, C, h, w) each: a quarter of the channels of `windows`, and its output pixels."""
    height, width = windows.shape[-2] - 1, windows.shape[-1] - 1
    parts = windows.chunk(4, dim=1)
    return [
        (parts[2 * q + p][..., p : p + height, q : q + width], pixels[..., p::2, q::2]) for q in (0, 1) for p in (0, 1)
    ]
