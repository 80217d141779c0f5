"""Mirroring and conversion of a batch to L and ab on CUDA in one Triton kernel.

Separate operators would need thirty kernels. On a CPU, `data.transform.to_networks` mirrors the images and computes
`cielab.split_lab(cielab.rgb_to_lab(rgb))`. The two results are equal except for rounding; the test
tests/ops/test_transform_cuda.py compares them.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from colorize.color import cielab

_BLOCK = 256  # pixels per program


def to_networks(rgb: Tensor, is_flipped: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror the selected images of a batch, and convert it to L_norm and ab_norm.

    Args:
        rgb: (B, H, W, 3) uint8, on a GPU.
        is_flipped: (B,) bool, true for the images to mirror.

    Returns:
        L_norm (B, 1, H, W) and ab_norm (B, 2, H, W), float32, channels_last in memory.
    """
    L_norm, ab_norm = (rgb.new_empty((*rgb.shape[:3], channels), dtype=torch.float32) for channels in (1, 2))
    num_pixels, (height, width) = L_norm.numel(), rgb.shape[1:3]
    _to_networks[(triton.cdiv(num_pixels, _BLOCK),)](
        rgb.contiguous(), is_flipped.view(torch.uint8), cielab.linear_of_srgb(rgb.device), L_norm, ab_norm,
        num_pixels, width, height * width,
        *(factor for row in cielab.matrix("xyz_from_rgb") for factor in row),
        cielab.KNEE, cielab.SLOPE, 1 / cielab.L_SCALE, 1 / cielab.AB_SCALE, _BLOCK, enable_fp_fusion=True,
    )  # fmt: skip
    return L_norm.movedim(-1, 1), ab_norm.movedim(-1, 1)


@triton.jit
def _to_networks(
    rgb, is_flipped, linear, L_norm, ab_norm,
    num_pixels, width, image_pixels,
    x_r, x_g, x_b, y_r, y_g, y_b, z_r, z_g, z_b,
    knee, slope, L_factor, ab_factor, block: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    is_pixel = pixel < num_pixels
    column = pixel % width
    mirrored = tl.load(is_flipped + pixel // image_pixels, mask=is_pixel, other=0) != 0
    source = 3 * tl.where(mirrored, pixel - column + (width - 1 - column), pixel)
    red = tl.load(linear + tl.load(rgb + source, mask=is_pixel, other=0).to(tl.int32))
    green = tl.load(linear + tl.load(rgb + source + 1, mask=is_pixel, other=0).to(tl.int32))
    blue = tl.load(linear + tl.load(rgb + source + 2, mask=is_pixel, other=0).to(tl.int32))
    f_x = _compress(x_r * red + x_g * green + x_b * blue, knee, slope)
    f_y = _compress(y_r * red + y_g * green + y_b * blue, knee, slope)
    f_z = _compress(z_r * red + z_g * green + z_b * blue, knee, slope)
    tl.store(L_norm + pixel, (116.0 * f_y - 16.0) * L_factor, mask=is_pixel)
    tl.store(ab_norm + 2 * pixel, 500.0 * (f_x - f_y) * ab_factor, mask=is_pixel)
    tl.store(ab_norm + 2 * pixel + 1, 200.0 * (f_y - f_z) * ab_factor, mask=is_pixel)


@triton.jit
def _compress(t, knee, slope):
    """The function f of CIELAB: the cube root of t above the knee, a line below it."""
    return tl.where(t > knee, tl.exp2(tl.log2(tl.maximum(t, knee)) / 3.0), slope * t + 16.0 / 116.0)
