"""What classifiers are trained towards: sparse soft targets, weighted by class, pooled to the size of the logits.

Shapes: K entries of a soft target, Q bins. A target is a list of K bins and their values; the values of a pixel sum to
its class weight, 1 where unweighted, which is all that a loss needs to know of the weight.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from colorize.color import gamut
from colorize.color.cielab import AB_SCALE


class Options(NamedTuple):
    """How colors are encoded; see `gamut.soft_encode`."""

    num_neighbors: int
    sigma: float
    encode: str

    @classmethod
    def of(cls, section) -> Options:
        """The options that the section `soft_targets` of the parameters gives."""
        return cls(section.num_neighbors, section.sigma, section.encode)


class SoftTargets(NamedTuple):
    """Sparse targets, the pixel's class weight in all; on CUDA, the bins of a training are int16."""

    bins: Tensor  # (B, H, W, K) int64
    values: Tensor  # (B, H, W, K) float32


def soft_targets(ab_norm: Tensor, options: Options) -> SoftTargets:
    """Soft encoding of colors, unweighted.

    Args:
        ab_norm: (B, 2, H, W).
        options: of the encoding.
    """
    return SoftTargets(*gamut.soft_encode(ab_norm * AB_SCALE, *options))


def weigh(targets: SoftTargets, ab_norm: Tensor, weights: Tensor) -> SoftTargets:
    """Multiply every pixel's target by the class weight of its own bin (paper, section 3.4).

    Args:
        targets: (B, H, W, K), unweighted.
        ab_norm: (B, 2, H, W).
        weights: (Q,) class weights.
    """
    of_pixel = weights[gamut.nearest_bin(ab_norm * AB_SCALE)]  # (B, H, W)
    return SoftTargets(targets.bins, targets.values * of_pixel[..., None])


def pool(targets: SoftTargets, stride: int) -> SoftTargets:
    """Targets of logits that are upsampled by nearest afterwards: the mean over each stride x stride, exactly.

    All entries of the pixels stand side by side. Averaging targets and weights on their own would be another loss.

    Args:
        targets: (B, H, W, K).
        stride: 1 leaves them as they are.

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
