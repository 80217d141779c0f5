"""Color counts of a training set: by color, by ab bin, and by lightness; mean and median color.

Images have far fewer distinct colors than pixels. So this module first counts the packed 24-bit colors, and then
converts and encodes each distinct color once. Every pixel is counted, and the color counts of a plain data set are
exact. Those of a union are mixed in the proportions of training, so they are not whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize import runtime
from colorize.color import cielab, gamut
from colorize.color.targets import Options
from colorize.data.split import Split
from colorize.prior import smoothing

_PIXELS = 1 << 17  # pixels packed and counted at a time; they fit in the processor's cache
_FULL = (1 << 31) - 1  # largest count of an int32; a table of int64 would take twice as much of the cache
_TASK = 100_000  # images whose colors one worker of a cluster counts
_COLORS = 1 << 18  # colors encoded at a time


def count_colors(split: Split, name: str) -> np.ndarray:
    """Count the pixels of every 8-bit RGB color.

    The parts of a union are mixed as in training: the counts of each part are multiplied by a factor, so that its share
    of the pixels is its share of the training images. The sum of all counts stays the number of pixels.

    Args:
        split: images to count.
        name: name of the data set, for the progress display.

    Returns:
        (2^24,) int64, or float64 for a union; the count of a color is at index 65536 R + 256 G + B.
    """
    count, weights = _count_on_cluster if runtime.dask_address() else _count, sum(part.weight for part in split.parts)
    with runtime.progress(f"count colors of {name}", len(split), "images") as advance:
        if len(split.parts) == 1:
            return count(split, range(len(split)), advance)
        counts = np.zeros(1 << 24)
        for part, rows in zip(split.parts, split.rows_of_parts, strict=True):
            counts += count(split, rows, advance) * (part.weight / weights * len(split) / part.images)
        return counts


def _count_on_cluster(split: Split, rows: range, advance: Callable[[int], None]) -> np.ndarray:
    """Count the colors of the images with these row numbers on the workers of a cluster: (2^24,) int64."""
    counts = np.zeros(1 << 24, dtype=np.int64)
    folder = str(split.folder.absolute())
    with runtime.workers() as pool:
        parts = [range(start, min(start + _TASK, rows.stop)) for start in rows[::_TASK]]
        tasks = [pool.submit(count_rows, folder, part.start, part.stop) for part in parts]
        for part in parts:
            counts += tasks.pop(0).result()  # (2^24,) of one task takes 128 MB
            advance(len(part))
    return counts


def count_rows(folder: str, start: int, stop: int) -> np.ndarray:
    """Count the colors of the images with the row numbers `start` to `stop` - 1; a task of a worker."""
    return _count(Split(folder), range(start, stop), lambda _: None)


def _count(split: Split, rows: range, advance: Callable[[int], None]) -> np.ndarray:
    """Count the colors of the images with these row numbers: (2^24,) int64."""
    counts = np.zeros(1 << 24, dtype=np.int64)
    most = _FULL // split.size**2  # images whose pixels an int32 can count, even if all have the same color
    for start in rows[::most]:
        counts += _count_some(split, range(start, min(start + most, rows.stop)), advance)
    return counts


def _count_some(split: Split, rows: range, advance: Callable[[int], None]) -> np.ndarray:
    """Count the colors of the images with these row numbers: (2^24,) int32."""
    pixels = split.size**2
    step = max(_PIXELS // pixels, 1)  # images
    content = torch.zeros(3 * pixels * step + 1, dtype=torch.uint8)
    images = content[:-1].view(step, split.size, split.size, 3)
    # A big-endian word at every third byte holds R, G, B and the next pixel's R. The last word needs one extra byte.
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


class _Colors(NamedTuple):
    """N distinct colors of a training set."""

    pixels: np.ndarray  # (N,) int64 or float64, pixels that have the color
    lab: Tensor  # (1, 3, N, 1)


def _distinct_colors(colors: np.ndarray) -> Iterator[_Colors]:
    """Convert the colors that occur, a few at a time; `colors` is what `count_colors` returns."""
    packed = np.flatnonzero(colors)
    for part in np.split(packed, range(_COLORS, len(packed), _COLORS)):
        rgb = np.stack([part >> 16, (part >> 8) & 255, part & 255]).astype(np.uint8)
        yield _Colors(colors[part], cielab.rgb_to_lab(torch.from_numpy(rgb)[None, :, :, None]))


def _encode(colors: _Colors, options: Options) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Soft encoding of each color.

    Returns:
        nearest: (N,) int64, the nearest bin.
        bins: (N, K) int64, the bins of the encoding.
        pixels: (N, K) float64, the values of the encoding, multiplied by the pixels of the color.
    """
    ab = colors.lab[:, 1:]  # (1, 2, N, 1)
    bins, values = (entries[0, :, 0].numpy() for entries in gamut.soft_encode(ab, *options))  # (N, K) each
    nearest = gamut.nearest_bin(ab).flatten().numpy()
    return nearest, bins, values.astype(np.float64) * colors.pixels[:, None]


def bin_counts(colors: np.ndarray, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Count pixels by nearest bin, and jointly by nearest bin and by the bins of their soft encoding.

    The sum of the joint counts over the first axis, normalized, is the smoothed prior: the mean soft encoding of all
    pixels (Zhang et al. 2016).

    Args:
        colors: (2^24,), the pixels of every color, as `count_colors` returns them.
        options: options of the soft encoding.

    Returns:
        counts: (Q,) int64, the pixels of each nearest bin; rounded for a union.
        joint: (Q, Q) float64, the sums of the encoding's values, by nearest bin and bin of the encoding.
    """
    counts = np.zeros(gamut.NUM_BINS, dtype=colors.dtype)
    joint = np.zeros(gamut.NUM_BINS**2)
    for part in _distinct_colors(colors):
        nearest, bins, pixels = _encode(part, options)
        np.add.at(counts, nearest, part.pixels)
        places = nearest[:, None] * gamut.NUM_BINS + bins
        joint += np.bincount(places.ravel(), pixels.ravel(), minlength=len(joint))
    return np.rint(counts).astype(np.int64), joint.reshape(gamut.NUM_BINS, gamut.NUM_BINS)


def lightness_counts(colors: np.ndarray, options: Options, weights: np.ndarray) -> np.ndarray:
    """Sum up the soft encodings of the pixels by level of lightness.

    Args:
        colors: (2^24,), the pixels of every color, as `count_colors` returns them.
        options: options of the soft encoding.
        weights: (W, Q), W times a weight for each bin; each pixel is multiplied by the weight of its own bin.

    Returns:
        (W, LEVELS, Q) float64, for each of the W weights.
    """
    shape = (smoothing.LEVELS, gamut.NUM_BINS)
    sums = np.zeros((len(weights), shape[0] * shape[1]))
    for part in _distinct_colors(colors):
        nearest, bins, pixels = _encode(part, options)
        levels = smoothing.level_of(part.lab[0, 0, :, 0]).numpy()
        places = (levels[:, None] * gamut.NUM_BINS + bins).ravel()
        for of_bin, total in zip(weights, sums, strict=True):
            total += np.bincount(places, (pixels * of_bin[nearest][:, None]).ravel(), minlength=len(total))
    return sums.reshape(-1, *shape)


def mean_and_median(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and median of a and of b over all pixels. Of two middle values, the median is the lower one.

    Of all constant colors, the mean has the lowest L2 on the counted images, and the median has the lowest L1.

    Args:
        colors: (2^24,), the pixels of every color, as `count_colors` returns them.

    Returns:
        mean and median, (2,) float64 each, CIELAB units.
    """
    parts = list(_distinct_colors(colors))
    pixels = np.concatenate([part.pixels for part in parts])
    ab = np.concatenate([part.lab[0, 1:, :, 0].numpy() for part in parts], axis=1)  # (2, N)
    return (ab @ pixels.astype(np.float64)) / pixels.sum(), np.array([_median(values, pixels) for values in ab])


def _median(values: np.ndarray, pixels: np.ndarray) -> float:
    """The lower median of values that occur `pixels` times."""
    order = np.argsort(values)
    below = np.cumsum(pixels[order])  # pixels up to and including each value
    return float(values[order[np.searchsorted(below, below[-1] / 2)]])
