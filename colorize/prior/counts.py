"""Exact colour counts of a training set, by colour and by ab bin.

Images hold far fewer distinct colours than pixels: the packed 24-bit values are counted, and every distinct colour is
converted and encoded once. Nothing is sampled or rounded.
"""

from __future__ import annotations

import numpy as np
import torch

from colorize import color, gamut, runtime
from colorize.data.loader import Split
from colorize.targets import Options

_IMAGES = 1024  # counted at a time
_COLORS = 1 << 18  # encoded at a time


def count_colors(split: Split, name: str) -> np.ndarray:
    """Pixels of every 8-bit colour.

    Args:
        split: images to count.
        name: of the data set, for the progress display.

    Returns:
        (2^24,) int64, at 65536 R + 256 G + B.
    """
    counts = np.zeros(1 << 24, dtype=np.int64)
    with runtime.progress(f"count colours of {name}", len(split), "images") as advance:
        for start in range(0, len(split), _IMAGES):
            rgb = split.images(np.arange(start, min(start + _IMAGES, len(split)))).reshape(-1, 3).astype(np.int32)
            packed = (rgb[:, 0] << 16) | (rgb[:, 1] << 8) | rgb[:, 2]
            colors, pixels = np.unique(packed, return_counts=True)
            counts[colors] += pixels
            advance(len(rgb) // split.size**2)
    return counts


def bin_counts(colors: np.ndarray, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Pixels by their nearest bin, and these spread over their soft encoding.

    The joint counts summed over the first axis and normalised are the smoothed prior: the mean soft encoding over all
    pixels (Zhang et al. 2016).

    Args:
        colors: (2^24,) int64 pixels of every colour.
        options: of the soft encoding.

    Returns:
        (Q,) int64 pixels by nearest bin; (Q, Q) float64, nearest bin by bin of the encoding.
    """
    counts = np.zeros(gamut.NUM_BINS, dtype=np.int64)
    joint = np.zeros(gamut.NUM_BINS**2)
    packed = np.flatnonzero(colors)
    for part in np.split(packed, range(_COLORS, len(packed), _COLORS)):
        rgb = np.stack([part >> 16, (part >> 8) & 255, part & 255]).astype(np.uint8)
        ab = color.rgb_to_lab(torch.from_numpy(rgb)[None, :, :, None])[:, 1:]  # (1, 2, n, 1)
        bins, values = gamut.soft_encode(ab, *options)  # (1, n, 1, K)
        nearest = gamut.nearest_bin(ab)  # (1, n, 1)
        np.add.at(counts, nearest.flatten().numpy(), colors[part])
        places = nearest[..., None] * gamut.NUM_BINS + bins
        pixels = values[0, :, 0].double().numpy() * colors[part][:, None]  # (n, K)
        joint += np.bincount(places.flatten().numpy(), pixels.ravel(), minlength=len(joint))
    return counts, joint.reshape(gamut.NUM_BINS, gamut.NUM_BINS)
