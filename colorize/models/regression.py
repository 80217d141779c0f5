"""The regression: the first layers of ResNet-18 and a decoder of five convolutional blocks (paper, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import ResNet, ResNet18_Weights, resnet18

from colorize.models.blocks import UpBlock, conv_block, scaled
from colorize.models.contract import Network
from colorize.runtime import DataError

# Statistics of the ImageNet training set, averaged over R, G and B. The pretrained first convolution (`stem`) expects a
# gray image that is normalized with them.
_IMAGENET_MEAN = (0.485 + 0.456 + 0.406) / 3
_IMAGENET_STD = (0.229 + 0.224 + 0.225) / 3


class Regression(Network):
    """(B, 1, H, W) L_norm -> (B, 2, H, W) ab_norm.

    The encoder keeps torchvision's fixed width; `width` scales the decoder.
    """

    multiple_of = 4
    mean: Tensor  # scalar buffers, for the normalization of the input
    std: Tensor

    def __init__(self, width: float = 1.0, pretrained: bool = False):
        super().__init__()
        resnet = _resnet(pretrained)
        stem = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        if pretrained:
            with torch.no_grad():
                stem.weight.copy_(resnet.conv1.weight.sum(dim=1, keepdim=True))  # a gray image has R = G = B
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN if pretrained else 0.0))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD if pretrained else 1.0))
        self.encoder = nn.Sequential(stem, resnet.bn1, resnet.relu, resnet.maxpool, resnet.layer1)
        c64, c32, c16 = (scaled(channels, width) for channels in (64, 32, 16))
        self.block1 = conv_block(64, c64)
        self.block2 = UpBlock(c64, c64)
        self.block3 = UpBlock(c64, c32)
        self.block4 = conv_block(c32, c16)
        self.block5 = nn.Conv2d(c16, 2, 3, padding=1)

    def forward(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) L_norm -> (B, 2, H, W) ab_norm."""
        x = self.encoder((L_norm - self.mean) / self.std)  # (B, 64, H/4, W/4)
        x = self.block2(self.block1(x))  # (B, 64, H/2, W/2)
        x = self.block4(self.block3(x))  # (B, 16, H, W)
        return self.block5(x)  # (B, 2, H, W)


def _resnet(pretrained: bool) -> ResNet:
    try:
        return resnet18(weights=ResNet18_Weights.IMAGENET1K_V1 if pretrained else None)
    except OSError as error:
        remedy = "connect to the network, or set it to false"
        raise DataError(f"train.pretrained: cannot get the ImageNet weights ({error}); {remedy}") from None


NETWORK = Regression
