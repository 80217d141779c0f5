"""Base classes of the networks, and the function that builds a network from the name of a model."""

from __future__ import annotations

import importlib
import importlib.util

from torch import Tensor, nn


class Network(nn.Module):
    """Base class of all networks: (B, 1, H, W) L_norm -> (B, 2, H, W) ab_norm, or logits if it is a `Classifier`.

    The child modules that have parameters are the blocks in Figure 1.

    Args:
        width: factor for the number of channels; 1 is the paper's size.
        pretrained: start with ImageNet weights; ignored by networks without pretrained weights.
    """

    multiple_of: int  # H and W must be multiples of this number


class Classifier(Network):
    """(B, 1, H, W) L_norm -> (B, Q, h, w) logits of the ab bins, with h = H / head_stride and w = W / head_stride."""

    head: nn.Conv2d  # 1x1 convolution, the last layer; training computes it together with the loss
    head_stride: int

    def features(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, C, h, w), the input of the head."""
        raise NotImplementedError

    def forward(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, Q, h, w) logits of the ab bins."""
        return self.head(self.features(L_norm))


def exists(name: object) -> bool:
    """Whether the folder `colorize/models` has a file of this name that defines `NETWORK`."""
    if not isinstance(name, str) or not name.isidentifier():
        return False
    module = f"{__package__}.{name}"
    return importlib.util.find_spec(module) is not None and hasattr(importlib.import_module(module), "NETWORK")


def build_model(name: str, width: float, pretrained: bool = False) -> Network:
    """Build a network whose initial weights come from torch's global random generator.

    Args:
        name: name of the model; the file `colorize/models/<name>.py` must define `NETWORK` (`exists` checks this).
        width: factor for the number of channels; 1 is the paper's size.
        pretrained: start the regression's encoder with ImageNet weights (downloaded by torchvision).

    Returns:
        the network on the CPU, in training mode.

    Raises:
        DataError: the ImageNet weights cannot be downloaded.
    """
    return importlib.import_module(f"{__package__}.{name}").NETWORK(width, pretrained)
