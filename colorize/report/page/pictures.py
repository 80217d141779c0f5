"""Pictures inside the page: many small pictures in one sprite, encoded as an address with the data itself."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from PIL import Image

COLUMNS = 8  # pictures per row of a sprite
LARGEST = 128  # pixels; larger pictures are reduced
QUALITY = 90  # of lossy pictures
CIVIDIS = ((0, 32, 81), (40, 61, 107), (86, 92, 108), (124, 123, 120), (165, 156, 115), (212, 192, 92), (254, 232, 56))


def side_of(size: int) -> int:
    """Side in pixels that pictures of this size have in the page."""
    return min(size, LARGEST)


def sprite(images: np.ndarray, is_lossless: bool = False) -> str:
    """A `data:` address of a WebP with all pictures, `COLUMNS` per row.

    Args:
        images: (N, S, S) or (N, S, S, 3) uint8.
        is_lossless: otherwise, the picture has small errors and a fraction of the bytes.
    """
    side = side_of(images.shape[1])
    rows = math.ceil(len(images) / COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * side, rows * side))
    for n, image in enumerate(images):
        picture = Image.fromarray(image).convert("RGB")
        if picture.width > side:
            picture = picture.resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(picture, (n % COLUMNS * side, n // COLUMNS * side))
    stream = io.BytesIO()
    sheet.save(stream, "WEBP", lossless=is_lossless, quality=QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def heat(values: np.ndarray, highest: float) -> np.ndarray:
    """(N, h, w) numbers from 0 to `highest` -> (N, h, w, 3) uint8 in the colors of cividis."""
    at = np.clip(values.astype(np.float64) / highest, 0, 1) * (len(CIVIDIS) - 1)
    scale, places = np.array(CIVIDIS, dtype=np.float64), np.arange(len(CIVIDIS))
    return np.stack([np.interp(at, places, scale[:, c]) for c in range(3)], axis=-1).round().astype(np.uint8)
