"""Stand-in of branch files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from colorize.sharding import images


@dataclass(frozen=True)
class Photo:
    """A decoded photo."""

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    format: str = ""
    sha256: str = ""
    kept: object = None
    note: str | None = None


def read(content: bytes, max_pixels: int = images.MAX_PIXELS) -> Photo:
    """Stand-in."""
    picture, note = images.open_with_note(content)
    rgb = np.array(picture)
    gray = np.ascontiguousarray(rgb[..., 0]) if (rgb[..., :1] == rgb).all() else rgb
    return Photo(gray, None, "JPEG", hashlib.sha256(content).hexdigest(), None, note)


def from_pixels(image: Pillow.Image | np.ndarray) -> Photo:
    """Stand-in."""
    if isinstance(image, Pillow.Image):
        if image.mode not in ("RGB", "L"):
            raise ValueError(
                f"image of mode {image.mode}: expected RGB or L; colorize.sharding.images.open_rgb(bytes) converts "
                "any file"
            )
        image = np.asarray(ImageOps.exif_transpose(image))
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{type(image).__name__}: expected a Pillow image or an array; open a file with Pillow first")
    is_shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype not in (np.uint8, np.uint16) or not is_shaped or image.size == 0:
        raise ValueError(f"array {image.shape} of {image.dtype}: expected (H, W, 3) or (H, W) of uint8")
    return Photo(np.ascontiguousarray(image))
