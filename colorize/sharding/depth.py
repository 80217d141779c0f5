"""Reduce pictures of up to 16 bits per channel to 8 bits.

Pillow itself reduces pictures with several channels. It does not reduce gray pictures: it would show all levels above
255 as white.
"""

import numpy as np
from PIL import Image as Pillow
from PIL.TiffImagePlugin import TiffImageFile

REDUCED = "reduced to 8 bits"
MAX_BITS = 16

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0


def is_deep_gray(photo: Pillow.Image) -> bool:
    """Whether a picture is gray with more than 8 bits."""
    return photo.mode.startswith("I")


def reduce(photo: Pillow.Image) -> Pillow.Image:
    """Convert a loaded gray picture of 9 to 16 bits to mode L, or to LA if one of its levels is transparent."""
    top, is_negative = 65535, False
    if isinstance(photo, TiffImageFile):  # Pillow does not scale these, and does not invert negatives
        top = (1 << max(photo.tag_v2.get(_BITS, (MAX_BITS,)))) - 1
        is_negative = photo.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    levels = np.asarray(photo)
    table = np.minimum((np.arange(1 << MAX_BITS) * 255 + top // 2) // top, 255).astype(np.uint8)
    reduced = Pillow.fromarray((255 - table if is_negative else table)[levels])
    transparent = photo.info.get("transparency")
    if isinstance(transparent, int):
        reduced.putalpha(Pillow.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    reduced.info = {name: value for name, value in photo.info.items() if name != "transparency"}
    return reduced
