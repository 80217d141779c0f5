"""What the networks are made of: 3x3 convolutions, one BatchNorm a block, summed skips."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from colorize.color.gamut import NUM_BINS


def scaled(channels: int, width: float) -> int:
    """Channels at a width, at least 1."""
    return max(1, round(channels * width))


def conv_block(*channels: int) -> nn.Sequential:
    """3x3 convolutions through the given channels, ReLU after each, BatchNorm at the end (paper, Figure 1)."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.BatchNorm2d(channels[-1]))


def head(channels: int) -> nn.Conv2d:
    """1x1 convolution to the logits of the ab bins."""
    return nn.Conv2d(channels, NUM_BINS, 1)


class UpBlock(nn.Module):
    """Nearest upsampling by 2, then convolutions; a skip, if given, is summed to the first convolution's output."""

    def __init__(self, *channels: int):
        super().__init__()
        self.first = UpConv2d(channels[0], channels[1])
        self.relu = nn.ReLU(inplace=True)
        self.rest = conv_block(*channels[1:])

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """(B, C, h, w) and a skip of (B, C', 2h, 2w) -> (B, C', 2h, 2w)."""
        x = self.first(x)
        return self.rest(self.relu(x if skip is None else x + skip))


class UpConv2d(nn.Conv2d):
    """Nearest upsampling by 2 and a 3x3 convolution, in one: the same result for 4/9 of the arithmetic.

    The pixel that upsampling repeats meets two or more taps of the kernel, whose sum can be taken beforehand. What is
    left for the output pixel (2i + p, 2j + q) is one of four 2x2 kernels, on the window of x that begins at
    (i + p - 1, j + q - 1); one 2x2 convolution computes all four on every window.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', 2h, 2w)."""
        rows = _add_taps(self.weight, dim=2)  # (2, C', C, 2, 3)
        kernels = _add_taps(rows, dim=4)  # (2 of q, 2 of p, C', C, 2, 2)
        kernels = kernels.flatten(0, 2).contiguous(memory_format=torch.channels_last)  # (4 C', C, 2, 2)
        windows = functional.conv2d(x, kernels, self.bias.repeat(4), padding=1)  # (B, 4 C', h + 1, w + 1)
        return _Interleave.apply(windows)


def _add_taps(kernels: Tensor, dim: int) -> Tensor:
    """(..., 3, ...) taps -> (2, ..., 2, ...): those that meet the same pixel added, for even and odd output pixels."""
    before, middle, after = kernels.unbind(dim)
    even = torch.stack([before, middle + after], dim)
    return torch.stack([even, torch.stack([before + middle, after], dim)])


class _Interleave(torch.autograd.Function):
    """(B, 4 C, h + 1, w + 1) -> (B, C, 2h, 2w): the quarter (q, p) of the channels gives the pixels (2i + p, 2j + q).

    A function of its own because slicing under autograd would fill and add four tensors of the whole size on the way
    back.
    """

    @staticmethod
    def forward(ctx, windows: Tensor) -> Tensor:
        batch, channels, height, width = windows.shape
        ctx.input_shape = windows.shape
        out = windows.new_empty((batch, channels // 4, 2 * (height - 1), 2 * (width - 1)))
        out = out.contiguous(memory_format=torch.channels_last)
        for window, pixel in _quarters(windows, out):
            pixel.copy_(window)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        result = grad.new_zeros(ctx.input_shape).contiguous(memory_format=torch.channels_last)
        for window, pixel in _quarters(result, grad):
            window.copy_(pixel)
        return result


def _quarters(windows: Tensor, pixels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Views that belong together, (B, C, h, w) each."""
    height, width = windows.shape[-2] - 1, windows.shape[-1] - 1
    parts = windows.chunk(4, dim=1)
    return [
        (parts[2 * q + p][..., p : p + height, q : q + width], pixels[..., p::2, q::2]) for q in (0, 1) for p in (0, 1)
    ]


def set_head_bias(layer: nn.Conv2d, distribution: Tensor) -> None:
    """Start the head at the logarithm of a distribution over bins, so that training starts at its cross entropy.

    Args:
        layer: the head of a classifier.
        distribution: (Q,), positive.
    """
    with torch.no_grad():
        layer.bias.copy_(distribution.log())
