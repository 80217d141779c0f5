"""Measures of the distance between a predicted picture and the true one: PSNR, SSIM, CIEDE2000, and AuC.

The L of every prediction is that of the truth. PSNR, SSIM and CIEDE2000 therefore show only the error of the color, and
PSNR and SSIM are higher than for methods that predict all three channels.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from colorize.color.cielab import AB_SCALE
from colorize.color.difference import ciede2000 as difference_of_colors
from colorize.evaluation.measuring import Compared, Truth, length, mean_per_image

_RANGE = 255.0  # of 8-bit levels
_ROUNDING = 1 / 12  # mean squared error of rounding to whole levels
_SIGMA, _RADIUS = 1.5, 5  # of SSIM's Gaussian window, pixels: 11 x 11, as in the paper and in scikit-image
_C1, _C2 = (0.01 * _RANGE) ** 2, (0.03 * _RANGE) ** 2
_CENTER = 127.5  # subtracted before squaring, which loses less in float32
_MAX_DISTANCE = 150  # the largest threshold of AuC, CIELAB units
_TOLERANCE = 1e-4  # CIELAB units: the rounding of float32 must not decide on which side of a threshold a pixel is


def psnr(batch: Compared) -> Tensor:
    """Peak signal-to-noise ratio of 8-bit RGB, 10 log10(255^2 / MSE), in dB.

    An MSE below 1/12, that of rounding to whole levels, counts as 1/12. Equal pictures therefore have 58.92 dB instead
    of infinity, which would hide all other images of the split.
    """
    error = mean_per_image((batch.predicted_rgb - batch.true_rgb).square())
    return 10 * torch.log10(_RANGE**2 / error.clamp_min(_ROUNDING))


def ssim(batch: Compared) -> Tensor:
    """Structural similarity of 8-bit RGB (Wang et al. 2004): mean over the channels and over all whole windows.

    It equals `structural_similarity` of scikit-image with gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255 and channel_axis=-1.
    """
    x, y = batch.predicted_rgb - _CENTER, batch.true_rgb - _CENTER
    mean_x, squares_x, products = _smooth(torch.stack([x, x * x, x * y]))  # (B, 3, H - 10, W - 10) each
    mean_y, squares_y = batch.truth.once(_smooth_truth)
    variances = squares_x - mean_x.square() + squares_y - mean_y.square()
    covariance = products - mean_x * mean_y
    mean_x, mean_y = mean_x + _CENTER, mean_y + _CENTER
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
    return mean_per_image(luminance * (2 * covariance + _C2) / (variances + _C2))


def ciede2000(batch: Compared) -> Tensor:
    """Color difference CIEDE2000, mean over pixels, of the prediction fitted to the gamut of sRGB."""
    return mean_per_image(difference_of_colors(batch.fitted[0], batch.true_lab))


def auc(batch: Compared) -> Tensor:
    """Area under the curve of errors (Zhang et al. 2016): pixels within t CIELAB units of the true ab, mean over t.

    The thresholds t are 0, 1 ... 150, so a pixel at distance d counts max(151 - ceil(d), 0) / 151.
    """
    return mean_per_image(batch.once(_scores))


def rebalanced_auc(batch: Compared) -> Tensor:
    """The same with each pixel weighted by the inverse prior of its true bin; its weight is `inverse_prior`."""
    return mean_per_image(batch.once(_scores) * batch.inverse_prior[batch.true_bins])


def _scores(batch: Compared) -> Tensor:
    """(B, H, W): the share of the thresholds that are not smaller than the distance of the predicted to the true ab."""
    distance = length(batch.predicted - batch.ab_norm) * AB_SCALE
    count = _MAX_DISTANCE + 1
    return (count - (distance - _TOLERANCE).ceil()).clamp_min(0) / count


def _smooth_truth(truth: Truth) -> Tensor:
    """(2, B, 3, H - 10, W - 10): weighted means of the levels and of their squares."""
    y = truth.levels - _CENTER
    return _smooth(torch.stack([y, y * y]))


def _smooth(maps: Tensor) -> Tensor:
    """Weighted means of all windows that lie inside the image, (..., H, W) -> (..., H - 10, W - 10)."""
    height, width = maps.shape[-2:]
    return _windows(height, maps.device) @ maps @ _windows(width, maps.device).t()


@functools.lru_cache
@torch.inference_mode(False)  # cached tensors must be normal tensors even if first requested in inference mode
def _windows(size: int, device: torch.device) -> Tensor:
    """(size - 10, size) float32: each row holds the Gaussian of one window."""
    gaussian = np.exp(-np.square(np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) / 2)
    rows = np.zeros((size - 2 * _RADIUS, size), dtype=np.float32)
    for row in range(len(rows)):
        rows[row, row : row + len(gaussian)] = gaussian / gaussian.sum()
    return torch.from_numpy(rows).to(device)
