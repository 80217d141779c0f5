"""Base classes of the networks, and the function that builds a network from the name of a model."""

from __future__ import annotations

import importlib
import importlib.util

import torch
from torch import Tensor, nn

from colorize.color.gamut import NUM_BINS
from colorize.runtime import DataError


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


def network_of(name: str) -> type[Network]:
    """The class of a model's network.

    Raises:
        DataError: `colorize/models/<name>.py` does not exist, or does not define `NETWORK` as described above.
    """
    file = f"colorize/models/{name}.py"
    if not name.isidentifier() or importlib.util.find_spec(f"{__package__}.{name}") is None:
        raise DataError(f"no model {name!r}: there is no {file}")
    network = getattr(importlib.import_module(f"{__package__}.{name}"), "NETWORK", None)
    if not (isinstance(network, type) and issubclass(network, Network)):
        raise DataError(f"{file}: not a model; set NETWORK to a class derived from Network or Classifier")
    attributes = ("multiple_of", "head_stride") if issubclass(network, Classifier) else ("multiple_of",)
    if lacking := [attribute for attribute in attributes if not hasattr(network, attribute)]:
        raise DataError(
            f"{file}: {network.__name__} has no attribute {lacking[0]}; colorize/models/contract.py explains it"
        )
    return network


def build_model(name: str, width: float, pretrained: bool = False) -> Network:
    """Build a network whose initial weights come from torch's global random generator.

    Args:
        name: name of the model; the file `colorize/models/<name>.py` must define `NETWORK`.
        width: factor for the number of channels; 1 is the paper's size.
        pretrained: start the regression's encoder with ImageNet weights (downloaded by torchvision).

    Returns:
        the network on the CPU, in training mode.

    Raises:
        DataError: there is no such model, or the ImageNet weights cannot be downloaded.
    """
    return network_of(name)(width, pretrained)


@torch.inference_mode()
def check_output(name: str, model: Network) -> None:
    """Check that a network returns what its class promises: training on a GPU would not notice a wrong stride.

    Raises:
        DataError: the output has another shape, or the head is not a 1x1 convolution.
    """
    size = 2 * model.multiple_of
    was_training = model.training
    found = tuple(model.eval()(torch.zeros(1, 1, size, size)).shape)
    model.train(was_training)
    expected: tuple[int, ...] = (1, 2, size, size)
    if isinstance(model, Classifier):
        expected = (1, NUM_BINS, size // model.head_stride, size // model.head_stride)
        if model.head.kernel_size != (1, 1):
            raise DataError(f"colorize/models/{name}.py: the head must be a 1x1 convolution")
    if found != expected:
        raise DataError(f"colorize/models/{name}.py: the output has shape {found}, expected {expected}")
