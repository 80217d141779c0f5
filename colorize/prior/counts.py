"""Exact color counts of a training set, by color and by ab bin.

Images hold far fewer distinct colors than pixels: the packed 24-bit values are counted, and every distinct color is
converted and encoded once. Nothing is sampled or rounded.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from colorize import runtime
from colorize.color import cielab, gamut
from colorize.color.targets import Options
from colorize.data.split import Split

_PIXELS = 1 << 17  # packed and counted at a time, within the processor's cache
_FULL = (1 << 31) - 1  # pixels that an int32 may have to count; a table of int64 would be twice as large for the cache
_COLORS = 1 << 18  # encoded at a time


def count_colors(split: Split, name: str) -> np.ndarray:
    """Pixels of every 8-bit color.

    Args:
        split: images to count.
        name: of the data set, for the progress display.

    Returns:
        (2^24,) int64, at 65536 R + 256 G + B.
    """
    counts = np.zeros(1 << 24, dtype=np.int64)
    most = _FULL // split.size**2  # images
    with runtime.progress(f"count colors of {name}", len(split), "images") as advance:
        for start in range(0, len(split), most):
            counts += _count(split, range(start, min(start + most, len(split))), advance)
    return counts


def _count(split: Split, rows: range, advance: Callable[[int], None]) -> np.ndarray:
    """(2^24,) int32 of these rows."""
    pixels = split.size**2
    step = max(_PIXELS // pixels, 1)  # images
    content = torch.zeros(3 * pixels * step + 1, dtype=torch.uint8)
    images = content[:-1].view(step, split.size, split.size, 3)
    # a big-endian word at every third byte is R, G, B and the R after it, so that the last one needs one byte more
    words = np.ndarray(pixels * step, ">u4", content.numpy(), strides=(3,))
    packed, ones = torch.empty(len(words), dtype=torch.int64), torch.ones(len(words), dtype=torch.int32)
    counts = torch.zeros(1 << 24, dtype=torch.int32)
    for start in rows[::step]:
        part = np.arange(start, min(start + step, rows.stop))
        split.read(part, images[: len(part)])
        found = slice(len(part) * pixels)
        np.right_shift(words[found], 8, out=packed.numpy()[found], casting="unsafe")
        counts.scatter_add_(0, packed[found], ones[found])
        advance(len(part))
    return counts.numpy()


def bin_counts(colors: np.ndarray, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Pixels by their nearest bin, and these spread over their soft encoding.

    The joint counts summed over the first axis and normalized are the smoothed prior: the mean soft encoding over all
    pixels (Zhang et al. 2016).

    Args:
        colors: (2^24,) int64 pixels of every color.
        options: of the soft encoding.

    Returns:
        (Q,) int64 pixels by nearest bin; (Q, Q) float64, nearest bin by bin of the encoding.
    """
    counts = np.zeros(gamut.NUM_BINS, dtype=np.int64)
    joint = np.zeros(gamut.NUM_BINS**2)
    packed = np.flatnonzero(colors)
    for part in np.split(packed, range(_COLORS, len(packed), _COLORS)):
        rgb = np.stack([part >> 16, (part >> 8) & 255, part & 255]).astype(np.uint8)
        ab = cielab.rgb_to_lab(torch.from_numpy(rgb)[None, :, :, None])[:, 1:]  # (1, 2, n, 1)
        bins, values = gamut.soft_encode(ab, *options)  # (1, n, 1, K)
        nearest = gamut.nearest_bin(ab)  # (1, n, 1)
        np.add.at(counts, nearest.flatten().numpy(), colors[part])
        places = nearest[..., None] * gamut.NUM_BINS + bins
        pixels = values[0, :, 0].double().numpy() * colors[part][:, None]  # (n, K)
        joint += np.bincount(places.flatten().numpy(), pixels.ravel(), minlength=len(joint))
    return counts, joint.reshape(gamut.NUM_BINS, gamut.NUM_BINS)
