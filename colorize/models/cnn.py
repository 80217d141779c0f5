"""The classifier: four convolutional blocks down, two up, logits at half size (paper, section 3.3 and Figure 1)."""

from __future__ import annotations

from torch import Tensor, nn

from colorize.models.blocks import UpBlock, conv_block, head, scaled


class CNN(nn.Module):
    """(B, 1, H, W) L_norm -> (B, Q, H/2, W/2) logits; nearest upsampling to H x W changes neither loss nor colour."""

    head_stride = 2
    multiple_of = 8  # H and W must be

    def __init__(self, width: float = 1.0):
        super().__init__()
        c64, c128, c256, c512 = (scaled(channels, width) for channels in (64, 128, 256, 512))
        self.down = nn.MaxPool2d(2)
        self.block1 = conv_block(1, c64, c64)
        self.block2 = conv_block(c64, c128, c128)
        self.block3 = conv_block(c128, c256, c256, c256)
        self.block4 = conv_block(c256, c512, c512, c512)
        self.block5 = UpBlock(c512, c256, c256)
        self.block6 = UpBlock(c256, c128, c128)
        self.head = head(c128)

    def features(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, C, H/2, W/2), what the head reads."""
        x = self.block1(L_norm)  # (B, 64, H, W)
        x = self.block2(self.down(x))  # (B, 128, H/2, W/2)
        x = self.block3(self.down(x))  # (B, 256, H/4, W/4)
        x = self.block4(self.down(x))  # (B, 512, H/8, W/8)
        x = self.block5(x)  # (B, 256, H/4, W/4)
        return self.block6(x)  # (B, 128, H/2, W/2)

    def forward(self, L_norm: Tensor) -> Tensor:
        """See the class."""
        return self.head(self.features(L_norm))
