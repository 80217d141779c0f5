"""Training targets of the classifiers: sparse soft targets, weighted by class, pooled to the size of the logits.

Shapes: K entries of a soft target, Q bins. A target is a list of K bins and their values. The values of a pixel sum to
its class weight (1 without weights), so a loss needs no other information about the weight.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from colorize.color import gamut
from colorize.color.cielab import AB_SCALE


class _Section(Protocol):
    """The section `soft_targets` of the parameters."""

    @property
    def num_neighbors(self) -> int: ...

    @property
    def sigma(self) -> float: ...

    @property
    def encode(self) -> str: ...


class Options(NamedTuple):
    """How colors are encoded; see `gamut.soft_encode`."""

    num_neighbors: int
    sigma: float
    encode: str

    @classmethod
    def of(cls, section: _Section) -> Options:
        """The options in the section `soft_targets` of the parameters."""
        return cls(section.num_neighbors, section.sigma, section.encode)


class SoftTargets(NamedTuple):
    """Sparse targets; the values of a pixel sum to its class weight. In training on CUDA, the bins are int16."""

    bins: Tensor  # (B, H, W, K) int64
    values: Tensor  # (B, H, W, K) float32


def soft_targets(ab_norm: Tensor, options: Options) -> SoftTargets:
    """The soft targets of each pixel, without class weights.

    Args:
        ab_norm: (B, 2, H, W).
        options: options of the encoding.

    Returns:
        (B, H, W, K); the values of a pixel sum to 1.
    """
    return SoftTargets(*gamut.soft_encode(ab_norm * AB_SCALE, *options))


def weigh(targets: SoftTargets, ab_norm: Tensor, weights: Tensor) -> SoftTargets:
    """Multiply the target of each pixel by the class weight of the pixel's own bin (paper, section 3.4).

    Args:
        targets: (B, H, W, K), unweighted.
        ab_norm: (B, 2, H, W).
        weights: (Q,) class weights.

    Returns:
        (B, H, W, K).
    """
    of_pixel = weights[gamut.nearest_bin(ab_norm * AB_SCALE)]  # (B, H, W)
    return SoftTargets(targets.bins, targets.values * of_pixel[..., None])


def pool(targets: SoftTargets, stride: int) -> SoftTargets:
    """Pool targets to the size of the logits: average the targets of each square of stride x stride pixels.

    With these targets, the loss is equal to that of logits upsampled to the image size by nearest neighbor. The result
    lists the entries of all pixels of a square. Averaging targets and weights separately would give a different loss.

    Args:
        targets: (B, H, W, K).
        stride: image size divided by the size of the logits; 1 returns `targets` itself.

    Returns:
        (B, H / stride, W / stride, K * stride^2).
    """
    if stride == 1:
        return targets
    return SoftTargets(_side_by_side(targets.bins, stride), _side_by_side(targets.values, stride) / stride**2)


def _side_by_side(entries: Tensor, stride: int) -> Tensor:
    batch, height, width, count = entries.shape
    blocks = entries.view(batch, height // stride, stride, width // stride, stride, count)
    return blocks.transpose(2, 3).reshape(batch, height // stride, width // stride, count * stride**2)
