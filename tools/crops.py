"""Any number of different images, cut from the photographs of the embedded sample.

Image `number` depends only on its number, the size and the seed, so processes can make images in any order. No two
images have the same photograph, zoom, position, flip and quality: the numbers of a photograph at one zoom go through
all combinations of the others before one repeats.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image as Pillow

from colorize.runtime import ParameterError
from colorize.sharding import builtin, images, sources

QUALITIES = range(75, 95)  # JPEG qualities; with halved chroma, an image of 256 px has 14 kB, as in Places365
GRAY_EVERY = 50  # one of so many images is stored without color; 2 % in Tiny ImageNet
_ZOOMS = 6  # per photograph
_LARGEST_ZOOM = 2.5  # divided by the smallest zoom
_MARGIN = 96  # pixels; the smallest zoom leaves at least so many positions per axis
_GOLDEN = (math.sqrt(5) - 1) / 2  # consecutive multiples of it, modulo 1, are far apart
_SOURCES = Path(__file__).resolve().parents[1] / "sources"


@functools.cache
def canvases(size: int) -> list[np.ndarray]:
    """Every photograph at every zoom: (H, W, 3) uint8 each. They take about 0.1 GB at 256 pixels.

    Args:
        size: side of the images, pixels.
    """
    recipes = [sources.load(name, _SOURCES).sample for name in ("objects", "scenes")]
    photos = [builtin.read_photo(photo) for recipe in recipes if recipe for photo in recipe.photos.values()]
    found = []
    for photo in map(images.open_rgb, photos):
        smallest = (size + _MARGIN) / min(photo.size)
        for step in range(_ZOOMS):
            zoom = smallest * _LARGEST_ZOOM ** (step / (_ZOOMS - 1))
            width, height = (math.ceil(length * zoom) for length in photo.size)
            found.append(np.asarray(photo.resize((width, height), Pillow.Resampling.BICUBIC)))
    return found


def check_count(count: int, size: int) -> None:
    """Check that there are `count` different images.

    Raises:
        ParameterError: there are fewer; names the largest number.
    """
    most = min(map(functools.partial(_combinations, size=size), canvases(size))) * len(canvases(size))
    if count > most:
        raise ParameterError(f"--images {count}: expected at most {most}, else images would repeat")


def _combinations(canvas: np.ndarray, size: int) -> int:
    """Number of different images of one canvas: positions, flips and qualities."""
    height, width = canvas.shape[:2]
    return (height - size + 1) * (width - size + 1) * 2 * len(QUALITIES)


def jpeg(number: int, size: int, seed: int) -> bytes:
    """Image `number` as a JPEG file.

    Args:
        number: of the image; see `check_count` for the range.
        size: side, pixels.
        seed: another seed gives other images for the first numbers.
    """
    canvas = canvases(size)[number % len(canvases(size))]
    count = _combinations(canvas, size)
    # a step without a common divisor reaches every combination once
    step = next(step for step in range(int(count * _GOLDEN), count) if math.gcd(step, count) == 1)
    start = np.random.default_rng(seed).integers(count)
    rest, quality = divmod(int(start + number // len(canvases(size)) * step) % count, len(QUALITIES))
    rest, is_flipped = divmod(rest, 2)
    top, left = divmod(rest, canvas.shape[1] - size + 1)
    image = canvas[top : top + size, left : left + size]  # (size, size, 3)
    if is_flipped:
        image = image[:, ::-1]
    if number % GRAY_EVERY == GRAY_EVERY - 1:
        green = np.ascontiguousarray(image[:, :, 1:2])
        return simplejpeg.encode_jpeg(green, QUALITIES[quality], colorspace="GRAY", colorsubsampling="Gray")
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), QUALITIES[quality], colorsubsampling="420")
