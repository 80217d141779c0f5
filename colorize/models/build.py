"""From a name to a fresh model."""

from __future__ import annotations

from colorize.models import MODELS


def build(name: str, width: float, pretrained: bool = False):
    """A fresh model, initialized from torch's global generator.

    Args:
        name: a key of `MODELS`.
        width: multiplies the channels; 1 is the paper's size.
        pretrained: ImageNet weights in the regression's encoder (downloaded by torchvision); the others have none.

    Returns:
        An `nn.Module` from (B, 1, H, W) L_norm to (B, 2, H, W) ab_norm (regression), or to (B, 313, h, w) logits.
    """
    architecture = MODELS[name].architecture
    if architecture == "regression":
        from colorize.models.regression import Regression

        return Regression(width, pretrained)
    if architecture == "cnn":
        from colorize.models.cnn import CNN

        return CNN(width)
    from colorize.models.unet import UNet

    return UNet(width)
