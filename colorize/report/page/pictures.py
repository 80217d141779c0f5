"""Pictures inside the page: many small pictures in one sprite, encoded as an address with the data itself."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from PIL import Image

COLUMNS = 8  # pictures per row of a sprite
LARGEST = 128  # pixels; larger pictures are reduced
QUALITY = 90  # of pictures that are not lossless
LEVELS = 64  # of the entropy; so few colors make lossless pictures small
HIGHEST = math.log(313)  # nats: all bins are equally probable
TICKS = (1, 3, 10, 30, 100, 313)  # numbers of colors
VIRIDIS = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
    (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip


def side_of(size: int) -> int:
    """Side in pixels that pictures of this size have in the page."""
    return min(size, LARGEST)


def sprite(images: np.ndarray, is_lossless: bool = False) -> str:
    """A `data:` address of one file with all pictures, `COLUMNS` per row.

    A lossy WebP halves the resolution of the colors, which is what the pictures are about. So lossy pictures are JPEG
    files with all colors: for predictions of the default run, the error is half as large, and the file is 2.5 times
    smaller than a lossless one.

    Args:
        images: (N, S, S) or (N, S, S, 3) uint8, at least one.
        is_lossless: otherwise, the pictures have small errors and fewer bytes.
    """
    side = side_of(images.shape[1])
    sheet = Image.new("RGB", (COLUMNS * side, math.ceil(len(images) / COLUMNS) * side))
    for n, image in enumerate(images):
        picture = Image.fromarray(image).convert("RGB")
        if picture.width > side:
            picture = picture.resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(picture, (n % COLUMNS * side, n // COLUMNS * side))
    stream = io.BytesIO()
    if is_lossless:
        sheet.save(stream, "WEBP", lossless=True, method=4)
    else:
        sheet.save(stream, "JPEG", quality=QUALITY, subsampling="4:4:4", optimize=True)
    kind = "webp" if is_lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def entropy_colors(entropy: np.ndarray) -> np.ndarray:
    """(N, h, w) nats -> (N, h, w, 3) uint8 in the colors of viridis: dark is 0, bright is the entropy of all bins."""
    levels = np.clip(entropy.astype(np.float64) / HIGHEST, 0, 1) * (LEVELS - 1)
    at = levels.round() / (LEVELS - 1) * (len(VIRIDIS) - 1)
    scale, places = np.array(VIRIDIS, dtype=np.float64), np.arange(len(VIRIDIS))
    return np.stack([np.interp(at, places, scale[:, c]) for c in range(3)], axis=-1).round().astype(np.uint8)


def entropy_scale() -> dict[str, object]:
    """The colors of an entropy map, from dark to bright, and where numbers of colors are on the scale (0 to 1)."""
    colors = entropy_colors(np.linspace(0, HIGHEST, LEVELS)[None, None])[0, 0]
    ticks = [[number, round(math.log(number) / HIGHEST, 4)] for number in TICKS]
    return {"colors": ["#" + bytes(color).hex() for color in colors.tolist()], "ticks": ticks}
