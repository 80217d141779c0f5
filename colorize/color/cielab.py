"""Convert sRGB to CIELAB and back, on tensors; define the scales of the networks' input and target.

Shapes: (..., 3, H, W); the color channels are the third dimension from the end. Ranges: rgb uint8; L in [0, 100]; a
and b in CIELAB units, within [-108, 99] for sRGB; L_norm = L / 100 and ab_norm = ab / 128, as in the paper
(section 4.3). The white point is D65 for the 2-degree observer. The matrix from RGB to XYZ is that of IEC 61966-2-1,
with the digits that scikit-image uses. For all RGB colors, the conversion to lab agrees with scikit-image within 1e-3.
The conversion to rgb agrees within one 8-bit level for all lab colors that sRGB can show. Of the other colors, the most
yellow ones have a negative Z, which scikit-image replaces by 0. There, the difference is up to 41 levels for the
centers of the 313 bins, and up to 47 levels for a and b from -110 to 110.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

L_SCALE = 100.0
AB_SCALE = 128.0

_XYZ_FROM_RGB = torch.tensor(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]],
    dtype=torch.float64,
)
_WHITE = torch.tensor([0.95047, 1.0, 1.08883], dtype=torch.float64)  # D65, 2 degrees
_LAB_FROM_F = torch.tensor([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]], dtype=torch.float64)
_L_OFFSET = -16.0
KNEE = 0.008856  # CIE 1976: below this value, a straight line replaces the cube root
SLOPE = 7.787  # slope of this line
TOLERANCE = 0.5 / 255 / 12.92  # linear light: half of the darkest 8-bit level above 0
_ROUNDING = 1e-6  # linear light; far more than the rounding of float32
_BISECTIONS = 12  # 12 steps find the factor of the chroma to within 1/4096, far less than one 8-bit level


@functools.lru_cache
@torch.inference_mode(False)  # cached tensors must be normal tensors even if first requested in inference mode
def linear_of_srgb(device: torch.device) -> Tensor:
    """(256,) float32: linear light in [0, 1] of every 8-bit sRGB level."""
    level = torch.arange(256, dtype=torch.float64) / 255
    linear = torch.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)
    return linear.float().to(device)


@functools.lru_cache
def matrix(which: str) -> list[list[float]]:
    """Rows of the 3x3 matrix `xyz_from_rgb`, `rgb_from_xyz` or `lab_from_f`; XYZ is relative to the white point.

    The inverse is computed in float64. In float32, some colors would be wrong by one 8-bit level.
    """
    to_white = _XYZ_FROM_RGB / _WHITE[:, None]
    matrices = {"xyz_from_rgb": to_white, "rgb_from_xyz": to_white.inverse(), "lab_from_f": _LAB_FROM_F}
    return matrices[which].tolist()


def _apply(which: str, color: Tensor) -> Tensor:
    """Apply a 3x3 matrix to the color dimension. A matrix product would round differently on a GPU."""
    x, y, z = color.unbind(-3)
    result = torch.empty_like(color)
    for (from_x, from_y, from_z), out in zip(matrix(which), result.unbind(-3), strict=True):
        torch.mul(x, from_x, out=out).add_(y, alpha=from_y).add_(z, alpha=from_z)
    return result


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert 8-bit sRGB to CIELAB.

    Args:
        rgb: (..., 3, H, W) uint8.

    Returns:
        (..., 3, H, W) float32: L in [0, 100], a, b.
    """
    linear = linear_of_srgb(rgb.device).index_select(0, rgb.flatten().int()).view(rgb.shape)
    xyz = _apply("xyz_from_rgb", linear)
    f = torch.where(xyz > KNEE, xyz.clamp_min(KNEE) ** (1 / 3), SLOPE * xyz + 16 / 116)
    lab = _apply("lab_from_f", f)
    lab.select(-3, 0).add_(_L_OFFSET)
    return lab


def lab_to_linear_rgb(lab: Tensor) -> Tensor:
    """Convert CIELAB to linear RGB; a channel is outside [0, 1] if sRGB cannot show the color.

    Args:
        lab: (..., 3, H, W) float32.

    Returns:
        (..., 3, H, W) float32.
    """
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=-3)
    xyz = torch.where(f > KNEE ** (1 / 3), f**3, (f - 16 / 116) / SLOPE)
    return _apply("rgb_from_xyz", xyz)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert CIELAB to 8-bit sRGB.

    Channels outside [0, 1] are clipped, which changes L and hue. `fit_to_gamut` keeps both.

    Args:
        lab: (..., 3, H, W) float32.

    Returns:
        (..., 3, H, W) uint8.
    """
    linear = lab_to_linear_rgb(lab).clamp(0, 1)
    srgb = torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return (srgb * 255).round().to(torch.uint8)


def is_in_gamut(lab: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Whether sRGB can show a color, within a tolerance.

    Args:
        lab: (..., 3, H, W) float32.
        tolerance: how far a channel may be outside [0, 1], in linear light.

    Returns:
        (..., H, W) bool.
    """
    linear = lab_to_linear_rgb(lab)
    return ((linear >= -tolerance) & (linear <= 1 + tolerance)).all(dim=-3)


def fit_to_gamut(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Reduce chroma at constant L and hue until sRGB can show the color.

    Clipping the RGB channels would change L, but a colorized image must keep the L of the input image.

    Args:
        lab: (..., 3, H, W) float32, L in [0, 100].

    Returns:
        lab of the same shape, and (..., H, W) bool: the pixels that were changed.
    """
    is_outside = ~is_in_gamut(lab)
    colors = lab.movedim(-3, 0)[:, is_outside]  # (3, N)
    colors[1:] *= _largest_chroma(*colors)
    fitted = lab.clone()
    fitted.movedim(-3, 0)[:, is_outside] = colors
    return fitted, is_outside


def _largest_chroma(lightness: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The largest factor in [0, 1] for a and b with which sRGB can show the colors, (N,) each, by bisection.

    This is `is_in_gamut` with fewer and faster operators. L does not change, so neither does Y, and only X and Z are
    computed again. The tolerance is slightly smaller, so that rounding makes no difference.
    """
    y = (lightness + 16) / 116
    slopes = torch.stack([a / 500, b / -200])  # (2, N): f of X and of Z, less y, at factor 1
    rgb_from_xyz = torch.tensor(matrix("rgb_from_xyz"), device=a.device)
    from_y = rgb_from_xyz[:, 1:2] * _linear_of_f(y) - 0.5  # (3, N)
    factor, step = torch.zeros_like(a), 1.0
    for _ in range(_BISECTIONS):
        step /= 2
        xz = _linear_of_f(torch.addcmul(y, slopes, factor + step))  # (2, N)
        from_center = torch.addmm(from_y, rgb_from_xyz[:, ::2], xz).abs_().amax(dim=0)  # of the three channels
        factor += step * (from_center <= 0.5 + TOLERANCE - _ROUNDING)
    return factor


def _linear_of_f(f: Tensor) -> Tensor:
    """X, Y or Z of a value of f, the function of CIELAB. `where` would take ten times as long on a CPU."""
    knee = KNEE ** (1 / 3)
    return f.clamp_min(knee).pow_(3).add_(f.clamp_max(knee).sub_(knee), alpha=1 / SLOPE)


def split_lab(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Scale lab to the input and the target of the networks.

    Args:
        lab: (B, 3, H, W).

    Returns:
        L_norm (B, 1, H, W) in [0, 1] and ab_norm (B, 2, H, W) in [-1, 1].
    """
    return lab[:, :1] / L_SCALE, lab[:, 1:] / AB_SCALE


def join_lab(L_norm: Tensor, ab_norm: Tensor) -> Tensor:
    """The inverse of `split_lab`.

    Args:
        L_norm: (B, 1, H, W).
        ab_norm: (B, 2, H, W).

    Returns:
        (B, 3, H, W) lab.
    """
    return torch.cat([L_norm * L_SCALE, ab_norm * AB_SCALE], dim=1)
