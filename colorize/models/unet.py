"""The U-Net classifier: eight convolutional blocks, skips summed 3 to 6, 2 to 7, 1 to 8 (paper, section 3.4)."""

from __future__ import annotations

from torch import Tensor, nn

from colorize.models.blocks import UpBlock, conv_block, head, scaled


class UNet(nn.Module):
    """(B, 1, H, W) L_norm -> (B, Q, H, W) logits."""

    head_stride = 1
    multiple_of = 8  # H and W must be
    skips = {"block6": "block3", "block7": "block2", "block8": "block1"}  # noqa: RUF012 - a constant of the paper

    def __init__(self, width: float = 1.0):
        super().__init__()
        c64, c128, c256, c512 = (scaled(channels, width) for channels in (64, 128, 256, 512))
        self.down = nn.MaxPool2d(2)
        self.block1 = conv_block(1, c64, c64)
        self.block2 = conv_block(c64, c128, c128)
        self.block3 = conv_block(c128, c256, c256, c256)
        self.block4 = conv_block(c256, c512, c512, c512)
        self.block5 = conv_block(c512, c512, c512, c512)
        self.block6 = UpBlock(c512, c256, c256)
        self.block7 = UpBlock(c256, c128, c128)
        self.block8 = UpBlock(c128, c64, c64)
        self.head = head(c64)

    def features(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, C, H, W), what the head reads."""
        done = {"block1": self.block1(L_norm)}  # (B, 64, H, W)
        done["block2"] = self.block2(self.down(done["block1"]))  # (B, 128, H/2, W/2)
        done["block3"] = self.block3(self.down(done["block2"]))  # (B, 256, H/4, W/4)
        x = self.block4(self.down(done["block3"]))  # (B, 512, H/8, W/8)
        x = self.block5(x)
        for name, skip in self.skips.items():  # (B, 256, H/4, W/4), (B, 128, H/2, W/2), (B, 64, H, W)
            x = getattr(self, name)(x, done[skip])
        return x

    def forward(self, L_norm: Tensor) -> Tensor:
        """See the class."""
        return self.head(self.features(L_norm))
