"""What every model must have, and the way from a model's name to a fresh network."""

from __future__ import annotations

import importlib
import importlib.util

from torch import Tensor, nn


class Network(nn.Module):
    """(B, 1, H, W) L_norm -> (B, 2, H, W) ab_norm.

    Its children are its blocks: Figure 1 shows those that have parameters.

    Args:
        width: factor for the number of channels; 1 is the paper's size.
        pretrained: start with ImageNet weights; a network that has none ignores it.
    """

    multiple_of: int  # H and W must be multiples of it


class Classifier(Network):
    """(B, 1, H, W) L_norm -> (B, Q, h, w) logits of the ab bins, with h = H / head_stride and w = W / head_stride."""

    head: nn.Conv2d  # a convolution of 1x1, the last layer: training computes it together with the loss
    head_stride: int

    def features(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, C, h, w), the input of the head."""
        raise NotImplementedError

    def forward(self, L_norm: Tensor) -> Tensor:
        """See the class."""
        return self.head(self.features(L_norm))


def exists(name: object) -> bool:
    """Whether a file of this folder defines a model of this name."""
    if not isinstance(name, str) or not name.isidentifier():
        return False
    module = f"{__package__}.{name}"
    return importlib.util.find_spec(module) is not None and hasattr(importlib.import_module(module), "NETWORK")


def build_model(name: str, width: float, pretrained: bool = False) -> Network:
    """A fresh network, initialized from torch's global generator.

    Args:
        name: of a file of this folder that defines `NETWORK`.
        width: factor for the number of channels; 1 is the paper's size.
        pretrained: start the regression's encoder with ImageNet weights (downloaded by torchvision).
    """
    return importlib.import_module(f"{__package__}.{name}").NETWORK(width, pretrained)
