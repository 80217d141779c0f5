"""From a network's input to ab and entropies, without the logits of all pixels at once.

The last layer of a classifier is a 1x1 convolution, so each pixel has logits of its own. They are computed and decoded
for one block of pixels after another. On a CPU, the 313 logits of a block of pixels stay in its cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from colorize.color import cielab, gamut
from colorize.models import output
from colorize.models.contract import Classifier
from colorize.runtime import DataError

if TYPE_CHECKING:
    from colorize.photos.predict import Predictor

_BLOCK = {"cpu": 1024, "cuda": 1 << 16}  # pixels


class Decoded(NamedTuple):
    """Colors and entropies at the size of the network's output."""

    ab: Tensor  # (B, 2, h, w) float32, CIELAB units, on the device of the network
    entropy: Tensor | None  # (B, h, w) float32, nats; None for a regression, and if it was not asked for


@torch.inference_mode()
def decode(model: Predictor, L_norm: Tensor, temperature: float | None, has_entropy: bool = False) -> Decoded:
    """Compute the output of a network, and decode it.

    Args:
        model: the network, in evaluation mode.
        L_norm: (B, 1, H, W), on the network's device.
        temperature: temperature of the annealed mean, in [0, 1]; 0 is the mode. Ignored for a regression.
        has_entropy: whether to compute the entropies of the distributions.

    Returns:
        the colors and the entropies.

    Raises:
        DataError: the output is not finite.
    """
    if isinstance(model, Classifier):
        found, head = model.features(L_norm), model.head  # (B, C, h, w)
    else:
        found, head = model(L_norm), None
        if not output.is_distribution(found):
            _check(found.sum())
            return Decoded(found.float() * cielab.AB_SCALE, None)
    batch, _, height, width = found.shape
    check: Tensor | float = 0.0
    colors, entropies = [], []
    for logits in _logits(found, head):  # (n, Q)
        ab, number = _ab(logits, temperature)
        colors.append(ab)
        check += number
        if has_entropy:
            log_p = logits.log_softmax(dim=1)
            entropies.append((log_p.exp() * log_p).sum(dim=1).neg())
    _check(check)
    ab = torch.cat(colors).view(batch, height, width, 2).movedim(-1, 1)
    return Decoded(ab, torch.cat(entropies).view(batch, height, width) if has_entropy else None)


def _logits(found: Tensor, head: nn.Conv2d | None) -> Iterator[Tensor]:
    """(B, C, h, w), the input of the head or logits -> (n, Q) float32 logits of each block of pixels, in turn."""
    pixels = found.movedim(1, -1).flatten(0, 2)  # (B h w, C)
    size = _BLOCK.get(found.device.type, len(pixels))
    if head is None:
        yield from (block.float() for block in pixels.split(size))
        return
    assert head.bias is not None  # nn.Conv2d allows None
    # the bias is the weight of one more channel: to add it to all logits would take as long as the rest of the layer
    pixels = torch.cat([pixels, torch.ones_like(pixels[:, :1])], dim=1)
    weight = torch.cat([head.weight.flatten(1), head.bias[:, None]], dim=1).T
    memory = pixels.new_empty(min(size, len(pixels)), weight.shape[1])  # all blocks use it, so it stays in the cache
    for block in pixels.split(size):
        out = memory if len(block) == len(memory) else memory[: len(block)]
        yield torch.mm(block, weight, out=out).float()


def _ab(logits: Tensor, temperature: float | None) -> tuple[Tensor, Tensor | float]:
    """(n, Q) logits -> (n, 2) ab, the mode or the annealed mean, and a number that is not finite if a logit is not."""
    if not temperature or logits.device.type != "cpu":
        as_image = logits.T[None, :, :, None]  # (1, Q, n, 1)
        ab = gamut.annealed_mean(as_image, temperature) if temperature else gamut.mode(as_image)
        return ab[0, :, :, 0].T, logits.sum()  # the sum, because the mode would hide a NaN
    from colorize.photos import kernels  # it imports Numba, which takes half a second

    mean = np.empty((len(logits), 2), np.float32)
    scale = np.float32(math.log2(math.e) / temperature)
    return torch.from_numpy(mean), kernels.annealed_mean(logits.numpy(), scale, gamut.GAMUT_AB, mean)


def _check(total: Tensor | float) -> None:
    if not math.isfinite(total):
        raise DataError("the model's colors are not finite: its weights are too large; train it again")
