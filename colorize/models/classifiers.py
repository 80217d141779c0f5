"""The paper's two classifiers, the CNN and the U-Net. Both have the same encoder (section 3 and Figure 1).

Shapes: the comments give the number of channels at width 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from colorize.models.blocks import UpBlock, conv_block, head, scaled
from colorize.models.contract import Classifier


class Encoder(Classifier):
    """Blocks 1 to 4; max pooling halves the height and width before each of blocks 2 to 4.

    Args:
        width: factor for the number of channels; 1 is the paper's size.
        pretrained: ignored, because these networks have no pretrained weights.
    """

    multiple_of = 8

    def __init__(self, width: float = 1.0, pretrained: bool = False):
        super().__init__()
        c64, c128, c256, c512 = self.channels = [scaled(channels, width) for channels in (64, 128, 256, 512)]
        self.down = nn.MaxPool2d(2)
        self.block1 = conv_block(1, c64, c64)
        self.block2 = conv_block(c64, c128, c128)
        self.block3 = conv_block(c128, c256, c256, c256)
        self.block4 = conv_block(c256, c512, c512, c512)

    def encode(self, L_norm: Tensor) -> list[Tensor]:
        """(B, 1, H, W) -> the outputs of blocks 1 to 4, in this order."""
        first = self.block1(L_norm)  # (B, 64, H, W)
        second = self.block2(self.down(first))  # (B, 128, H/2, W/2)
        third = self.block3(self.down(second))  # (B, 256, H/4, W/4)
        return [first, second, third, self.block4(self.down(third))]  # (B, 512, H/8, W/8)


class CNN(Encoder):
    """The encoder, two upsampling blocks, and logits of half the input size (section 3.3).

    The logits are not upsampled to H x W: nearest-neighbor upsampling would change neither the loss nor the color.
    """

    head_stride = 2

    def __init__(self, width: float = 1.0, pretrained: bool = False):
        super().__init__(width)
        _, c128, c256, c512 = self.channels
        self.block5 = UpBlock(c512, c256, c256)
        self.block6 = UpBlock(c256, c128, c128)
        self.head = head(c128)

    def features(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, C, H/2, W/2), the input of the head."""
        x = self.encode(L_norm)[-1]  # (B, 512, H/8, W/8)
        x = self.block5(x)  # (B, 256, H/4, W/4)
        return self.block6(x)  # (B, 128, H/2, W/2)


class UNet(Encoder):
    """The encoder, four more blocks, and logits of the input size (section 3.4).

    Skip connections add the output of block 3 in block 6, of block 2 in block 7, and of block 1 in block 8.
    """

    head_stride = 1
    skips = {"block6": "block3", "block7": "block2", "block8": "block1"}  # noqa: RUF012 - never changed

    def __init__(self, width: float = 1.0, pretrained: bool = False):
        super().__init__(width)
        c64, c128, c256, c512 = self.channels
        self.block5 = conv_block(c512, c512, c512, c512)
        self.block6 = UpBlock(c512, c256, c256)
        self.block7 = UpBlock(c256, c128, c128)
        self.block8 = UpBlock(c128, c64, c64)
        self.head = head(c64)

    def features(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, C, H, W), the input of the head."""
        first, second, third, x = self.encode(L_norm)
        x = self.block5(x)  # (B, 512, H/8, W/8)
        x = self.block6(x, third)  # (B, 256, H/4, W/4)
        x = self.block7(x, second)  # (B, 128, H/2, W/2)
        return self.block8(x, first)  # (B, 64, H, W)
