"""The classifier: four convolutional blocks down, two up, logits at half size (paper, section 3.3 and Figure 1)."""

from __future__ import annotations

from torch import Tensor

from colorize.models.blocks import Encoder, UpBlock, head


class CNN(Encoder):
    """(B, 1, H, W) L_norm -> (B, Q, H/2, W/2) logits; nearest upsampling to H x W changes neither loss nor color."""

    head_stride = 2

    def __init__(self, width: float = 1.0):
        super().__init__(width)
        _, c128, c256, c512 = self.channels
        self.block5 = UpBlock(c512, c256, c256)
        self.block6 = UpBlock(c256, c128, c128)
        self.head = head(c128)

    def features(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, C, H/2, W/2), what the head reads."""
        x = self.encode(L_norm)[-1]  # (B, 512, H/8, W/8)
        x = self.block5(x)  # (B, 256, H/4, W/4)
        return self.block6(x)  # (B, 128, H/2, W/2)

    def forward(self, L_norm: Tensor) -> Tensor:
        """See the class."""
        return self.head(self.features(L_norm))
