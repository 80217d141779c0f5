"""Reduce pictures of up to 16 bits per channel to 8 bits.

Pillow itself reduces pictures with several channels. It does not reduce gray pictures: it would show all levels above
255 as white.
"""

import numpy as np
from PIL import Image as Pillow
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from colorize.sharding import jpeg2000, png

REDUCED = "reduced to 8 bits"
MAX_BITS = 16

_UNSUPPORTED = 32  # bits
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO, _PLANES, _SEPARATE = 258, 262, 0, 284, 2  # TIFF 6.0


def bits_of(photo: ImageFile, data: bytes | memoryview) -> int:
    """Bits per channel of an opened file; more than `MAX_BITS` if `reduce` or Pillow would get other pixels.

    Pillow reduces some files to 8 bits without a warning.
    """
    if photo.format == "PNG":
        return png.read_header(data).bits
    if photo.format == "JPEG2000":
        return jpeg2000.read_header(data).bits
    if photo.mode == "F" or (photo.mode == "I" and photo.format != "PPM"):  # floating point, signed, or 32 bits
        return _UNSUPPORTED
    if isinstance(photo, TiffImageFile):
        bits = max(photo.tag_v2.get(_BITS, (8,)))
        # Pillow reads the bytes of such a file as if it had 8 bits
        is_misread = bits > 8 and photo.tag_v2.get(_PLANES) == _SEPARATE and len(photo.getbands()) > 1
        return _UNSUPPORTED if is_misread and photo.tile[0].codec_name == "raw" else bits
    if photo.format == "PPM":
        maximum = photo.tile[0][3]
        return MAX_BITS if photo.mode == "I" or (isinstance(maximum, tuple) and maximum[-1] > 255) else 8
    return 8


def is_deep_gray(photo: Pillow.Image) -> bool:
    """Whether a picture is gray with more than 8 bits."""
    return photo.mode.startswith("I")


def reduce(photo: Pillow.Image) -> Pillow.Image:
    """Convert a loaded gray picture of 9 to 16 bits to mode L, or to LA if one of its levels is transparent."""
    levels, alpha = scale(photo, np.uint8)
    reduced = Pillow.fromarray(levels)
    if alpha is not None:
        reduced.putalpha(Pillow.fromarray(alpha))
    reduced.info = {name: value for name, value in photo.info.items() if name != "transparency"}
    return reduced


def scale(photo: Pillow.Image, dtype: type[np.uint8] | type[np.uint16]) -> tuple[np.ndarray, np.ndarray | None]:
    """Scale a loaded gray picture of 9 to 16 bits to all levels of a type.

    Returns:
        (H, W) levels; and, if one of the levels in the file is transparent, (H, W) alpha.
    """
    top, white, is_negative = 65535, np.iinfo(dtype).max, False
    if isinstance(photo, TiffImageFile):  # Pillow does not scale these, and does not invert negatives
        top = (1 << max(photo.tag_v2.get(_BITS, (MAX_BITS,)))) - 1
        is_negative = photo.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    levels = np.asarray(photo)
    table = np.minimum((np.arange(1 << MAX_BITS) * white + top // 2) // top, white).astype(dtype)
    transparent = photo.info.get("transparency")
    alpha = np.where(levels == transparent, 0, white).astype(dtype) if isinstance(transparent, int) else None
    return (white - table if is_negative else table)[levels], alpha
