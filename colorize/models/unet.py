"""The U-Net classifier: eight convolutional blocks, skips summed 3 to 6, 2 to 7, 1 to 8 (paper, section 3.4)."""

from __future__ import annotations

from torch import Tensor

from colorize.models.blocks import Encoder, UpBlock, conv_block, head


class UNet(Encoder):
    """(B, 1, H, W) L_norm -> (B, Q, H, W) logits."""

    head_stride = 1
    skips = {"block6": "block3", "block7": "block2", "block8": "block1"}  # noqa: RUF012 - a constant of the paper

    def __init__(self, width: float = 1.0):
        super().__init__(width)
        c64, c128, c256, c512 = self.channels
        self.block5 = conv_block(c512, c512, c512, c512)
        self.block6 = UpBlock(c512, c256, c256)
        self.block7 = UpBlock(c256, c128, c128)
        self.block8 = UpBlock(c128, c64, c64)
        self.head = head(c64)

    def features(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, C, H, W), what the head reads."""
        first, second, third, x = self.encode(L_norm)
        x = self.block5(x)  # (B, 512, H/8, W/8)
        x = self.block6(x, third)  # (B, 256, H/4, W/4)
        x = self.block7(x, second)  # (B, 128, H/2, W/2)
        return self.block8(x, first)  # (B, 64, H, W)

    def forward(self, L_norm: Tensor) -> Tensor:
        """See the class."""
        return self.head(self.features(L_norm))
