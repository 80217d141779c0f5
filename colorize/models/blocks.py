"""Building blocks of the networks: 3x3 convolutions, one BatchNorm per block, summed skip connections."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from colorize.color.gamut import NUM_BINS
from colorize.ops import up_conv


def scaled(channels: int, width: float) -> int:
    """Number of channels times the factor `width`, rounded, at least 1."""
    return max(1, round(channels * width))


def conv_block(*channels: int) -> nn.Sequential:
    """A chain of 3x3 convolutions, each followed by ReLU, and one BatchNorm at the end (paper, Figure 1).

    Args:
        channels: number of input channels, then the output channels of each convolution.
    """
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.BatchNorm2d(channels[-1]))


def head(channels: int) -> nn.Conv2d:
    """1x1 convolution to the logits of the ab bins."""
    return nn.Conv2d(channels, NUM_BINS, 1)


class UpBlock(nn.Module):
    """Nearest-neighbor upsampling by 2, then 3x3 convolutions.

    `forward` adds its argument `skip`, if given, to the output of the first convolution, before the ReLU.

    Args:
        channels: number of input channels, then the output channels of each convolution.
    """

    def __init__(self, *channels: int):
        super().__init__()
        self.first = UpConv2d(channels[0], channels[1])
        self.relu = nn.ReLU(inplace=True)
        self.rest = conv_block(*channels[1:])

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """x (B, C, h, w) and skip (B, C', 2h, 2w) -> (B, C', 2h, 2w)."""
        x = self.first(x)
        return self.rest(self.relu(x if skip is None else x + skip))


class UpConv2d(nn.Conv2d):
    """Nearest-neighbor upsampling by 2, then a 3x3 convolution."""

    bias: Tensor  # nn.Conv2d allows None

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', 2h, 2w): conv2d(interpolate(x, scale_factor=2), weight, bias, padding=1)."""
        return up_conv.up_conv2d(x, self.weight, self.bias)  # equal except for rounding, and faster


def set_head_bias(layer: nn.Conv2d, distribution: Tensor) -> None:
    """Set the bias of the head to the logarithm of a distribution over the bins.

    The loss at the start of training is then close to the cross entropy of this constant distribution.

    Args:
        layer: the head of a classifier, changed in place.
        distribution: (Q,), positive.
    """
    with torch.no_grad():
        layer.get_parameter("bias").copy_(distribution.log())
