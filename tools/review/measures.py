"""The measures of colors in docs/measures.md for B images, each (B,) float64.

Shapes: B images of H x W pixels, K entries of a soft target.

Some measures contain decisions: which of two bins is more probable, how a level is rounded, on which side of a
threshold a distance is. In close cases, float32 can decide in another way than float64. Therefore these measures are
computed twice. The second time, all close cases are decided in the other way. The absolute difference is the *doubt* of
the measure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.color import deltaE_ciede2000

from tools.review import color

WEIGHTS = {  # measure: the measure by whose sum its sum is divided
    "normalized_weighted_cross_entropy": "class_weight",
    "rebalanced_accuracy": "inverse_prior",
    "rebalanced_auc": "inverse_prior",
}
PAPER = ("l2", "l1", "accuracy", "cross_entropy", "weighted_cross_entropy")
AUC_TOLERANCE = 1e-4  # docs/measures.md: subtracted from the distances
CLOSE_LEVELS = 3e-4  # distance from a half below which float32 may round in another way
CLOSE_UNITS = 2e-5  # the same for distances in CIELAB units
Values = dict[str, np.ndarray]


class Truth(NamedTuple):
    """B images."""

    rgb: np.ndarray  # (B, H, W, 3) float64, levels
    lab: np.ndarray  # (B, H, W, 3)
    nearest: np.ndarray  # (B, H, W) int64
    bins: np.ndarray  # (B, H, W, K) int64
    targets: np.ndarray  # (B, H, W, K)


class Source(NamedTuple):
    """What the measures need of the data set on which a model was trained, (Q,) each."""

    class_weights: np.ndarray
    inverse_prior: np.ndarray


def truth_of(rgb: np.ndarray, num_neighbors: int, sigma: float, from_pixel: bool) -> Truth:
    """Convert (B, H, W, 3) uint8 images."""
    lab = color.to_lab(rgb)
    found = color.encode(lab[..., 1:].reshape(-1, 2), num_neighbors, sigma, from_pixel)
    shape = rgb.shape[:3]
    bins, values = (array.reshape(*shape, -1) for array in (found.bins, found.values))
    return Truth(rgb.astype(np.float64), lab, found.nearest.reshape(shape), bins, values)


class Measured(NamedTuple):
    """Measures by name, and the doubt of those that contain decisions, (B,) each."""

    values: Values
    doubt: Values


def of_colors(truth: Truth, ab: np.ndarray, source: Source, other: np.ndarray | None = None) -> Measured:
    """The measures of predicted colors.

    Args:
        truth: the images.
        ab: (B, H, W, 2), CIELAB units.
        source: class weights and inverse prior.
        other: the colors, if close cases were decided in the other way before; None: they are the same.
    """
    predicted, error = np.concatenate([truth.lab[..., :1], ab], axis=-1), ab - truth.lab[..., 1:]
    smooth = {
        "l2": np.square(error / 128),
        "l1": np.abs(error / 128),
        "class_weight": source.class_weights[truth.nearest],
        "inverse_prior": source.inverse_prior[truth.nearest],
    }
    sides = [color.fit(predicted, side) for side in (0, 1)]
    pixels = [_of_pixels(truth, ab, source, *fitted, side) for side, fitted in enumerate(sides)]
    pictures = [of_pictures(truth, rounded(color.to_levels(lab), side)) for side, (lab, _) in enumerate(sides)]
    doubt = dict.fromkeys(smooth, np.zeros(len(ab))) | means(differences(*pixels)) | differences(*pictures)
    measured = Measured(means(smooth | pixels[0]) | pictures[0], doubt)
    if other is None or (other == ab).all():
        return measured
    of_other = of_colors(truth, other, source)
    doubt = differences(measured.values, of_other.values)
    return Measured(measured.values, {name: doubt[name] + of_other.doubt[name] for name in doubt})


def _of_pixels(
    truth: Truth, ab: np.ndarray, source: Source, fitted: np.ndarray, is_outside: np.ndarray, side: int
) -> Values:
    """The measures with decisions for each pixel, (B, H, W) float64 each."""
    error = ab - truth.lab[..., 1:]
    steps = np.ceil(_other_way(np.hypot(error[..., 0], error[..., 1]) - AUC_TOLERANCE, side))
    score = np.clip(151 - steps, 0, None) / 151
    chroma, true_chroma = (_other_way(np.hypot(of[..., 0], of[..., 1]), side) for of in (ab, truth.lab[..., 1:]))
    found = {
        "auc": score,
        "rebalanced_auc": score * source.inverse_prior[truth.nearest],
        "near_gray": chroma <= 5,
        "true_near_gray": true_chroma <= 5,
        "ciede2000": deltaE_ciede2000(truth.lab, fitted),
        "out_of_gamut": is_outside,
    }
    return {name: values.astype(np.float64) for name, values in found.items()}


def _other_way(units: np.ndarray, side: int) -> np.ndarray:
    """Distances in CIELAB units; `side` 1 moves those near a whole number to its other side."""
    whole = np.round(units)
    is_close = np.abs(units - whole) < CLOSE_UNITS
    return np.where(is_close & (side == 1), whole + np.where(units > whole, -CLOSE_UNITS, CLOSE_UNITS), units)


def rounded(levels: np.ndarray, side: int) -> np.ndarray:
    """Whole levels; `side` 1 rounds levels near a half in the other way."""
    middle = np.floor(levels) + 0.5
    is_close = np.abs(levels - middle) < CLOSE_LEVELS
    return np.round(np.where(is_close & (side == 1), 2 * middle - levels, levels))


def of_pictures(truth: Truth, predicted: np.ndarray) -> Values:
    """The measures of predicted pictures in whole levels, (B, H, W, 3) float64."""
    found = {"psnr": psnr(truth, predicted), "ssim": _structural_similarity(truth.rgb, predicted)}
    for prefix, change in (("", np.asarray), ("absolute_", np.abs)):
        name = f"{prefix}colorfulness"
        found[name], found[f"true_{name}"] = (colorfulness(rgb, change) for rgb in (predicted, truth.rgb))
        found[f"{name}_error"] = np.abs(found[name] - found[f"true_{name}"])
    return found


def psnr(truth: Truth, predicted: np.ndarray) -> np.ndarray:
    """(B,): PSNR in dB; an MSE below 1/12 counts as 1/12."""
    error = np.square(truth.rgb - predicted).mean(axis=(1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(error, 1 / 12))


def _structural_similarity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(B, H, W, 3) -> (B,): SSIM with a Gaussian window of 11 x 11, over the windows inside the image."""
    maps = gaussian_filter(np.stack([x, y, x * x, y * y, x * y]), 1.5, truncate=3.5, axes=(2, 3))
    mean_x, mean_y, squares_x, squares_y, products = maps[:, :, 5:-5, 5:-5]
    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + low) / (mean_x**2 + mean_y**2 + low)
    contrast = 2 * (products - mean_x * mean_y) + high
    return (luminance * contrast / (squares_x - mean_x**2 + squares_y - mean_y**2 + high)).mean(axis=(1, 2, 3))


def colorfulness(rgb: np.ndarray, change: Callable[[np.ndarray], np.ndarray] = np.asarray) -> np.ndarray:
    """M3 of Hasler and Suesstrunk; `change` is applied to the opponent channels."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    channels = [change(red - green), change((red + green) / 2 - blue)]
    deviation = np.sqrt(sum(channel.var(axis=(1, 2)) for channel in channels))
    return deviation + 0.3 * np.sqrt(sum(np.square(channel.mean(axis=(1, 2))) for channel in channels))


def means(found: Values) -> Values:
    """(B, H, W, ...) -> (B,), the mean over each image."""
    return {name: values.reshape(len(values), -1).mean(axis=1) for name, values in found.items()}


def differences(found: Values, changed: Values) -> Values:
    """Absolute differences of the measures that both have."""
    return {name: np.abs(found[name] - changed[name]) for name in changed}
