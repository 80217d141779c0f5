"""The image policy: how image files are decoded, and which files are rejected.

`decode` returns a square of a fixed size for the shards; `open_rgb` returns the whole photo. `photos/photo.py` follows
the same policy, but keeps the alpha, and the 16 bits of gray photos. For any input bytes, `decode` and `open_rgb`
return 8-bit sRGB or raise `Reject` with one of a few fixed reasons, and use less than 1 GB of memory:

- Plain JPEGs (8 bits, RGB or gray, upright, sRGB) are decoded by libjpeg at the smallest DCT scale (n/8) at which both
  sides are at least `size`. Then they are cropped to the central square and resized with antialiasing if necessary.
- Pillow decodes all other files. The orientation from EXIF or XMP is applied. Alpha is blended onto white unless it is
  zero everywhere. Palettes, CMYK, other color profiles, and up to 16 bits per channel are converted to sRGB of 8 bits.
  Of several pages, the first is used; thumbnails do not count. `Image.note` lists these conversions.
- A JPEG is not plain if decoders may read its header in different ways. If Pillow and libjpeg read different image
  sizes, the file is rejected as damaged.
- A JPEG that libjpeg refuses is mended if none of its pixels is lost (`mending.py`), and then decoded like any other.
- Images of more than 50 million pixels (JPEG 2000 and AVIF: 25 million; checked in the header, before decoding), JPEGs
  of more than 256 scans, animations, JPEGs of 12 bits, and images of more than 16 bits per channel are rejected.
- Truncated files are rejected, because decoders fill the missing pixels with gray.

The images of both data sets of the paper are square, so the central crop changes only images of other data sets.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import simplejpeg
from PIL import Image as Pillow

from colorize.color.colorfulness import colorfulness
from colorize.sharding import conversion, jpeg, mending, orientation, pages, profiles
from colorize.sharding.floods import is_flooded, without_fill_bytes
from colorize.sharding.formats import FORMATS
from colorize.sharding.opening import open_as
from colorize.sharding.rejections import (
    ANIMATED,
    DAMAGED,
    DEEP,
    EMPTY,
    GRAYSCALE,
    HEIC,
    MIN_SIDE,
    NOT_AN_IMAGE,
    PALE,
    REASONS,
    TOO_LARGE,
    TOO_SMALL,
    TRUNCATED,
    UNREADABLE,
    UNWANTED,
    Limits,
    Reject,
    check_header,
    check_scans,
    reason_for,
)

__all__ = [  # the reasons are defined in `rejections`
    "ANIMATED",
    "DAMAGED",
    "DEEP",
    "EMPTY",
    "FORMATS",
    "GRAYSCALE",
    "HEIC",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MENDED",
    "MIN_SIDE",
    "NOT_AN_IMAGE",
    "PALE",
    "REASONS",
    "TOO_LARGE",
    "TOO_SMALL",
    "TRUNCATED",
    "UNREADABLE",
    "UNWANTED",
    "Image",
    "Limits",
    "Reject",
    "decode",
    "decode_jpeg",
    "fit_square",
    "limits",
    "note_of_jpeg",
    "open_rgb",
    "open_with_note",
    "read_mended",
]

MAX_BYTES = 1 << 28  # length of a file
MAX_PIXELS = 50_000_000  # decoding keeps up to four copies of 4 bytes per pixel
GRAY_TOLERANCE = 1  # 8-bit levels; color conversion may change a channel of a neutral pixel by one level
MENDED = "harmless JPEG errors ignored"

_Picture = TypeVar("_Picture")


def limits(max_pixels: int | None = None) -> Limits:
    """The limits of the policy; or those for `max_pixels`, where a larger image may have a larger file too."""
    pixels = MAX_PIXELS if max_pixels is None else max_pixels
    return Limits(pixels, max(MAX_BYTES, MAX_BYTES * pixels // MAX_PIXELS))


class Image(NamedTuple):
    """A decoded image."""

    rgb: np.ndarray  # (size, size, 3) uint8 sRGB, contiguous
    is_gray: bool  # in every pixel, the channels differ by at most GRAY_TOLERANCE
    note: str | None  # conversions that were needed, such as "cmyk converted, orientation applied"


def decode(
    data: bytes | memoryview,
    size: int,
    gray: str = "keep",
    min_colorfulness: float = 0.0,
    out: np.ndarray | None = None,
) -> Image:
    """Decode a file to a square RGB image.

    Images with a side below `size` (but not below `MIN_SIDE`) are enlarged.

    Args:
        data: the whole file.
        size: side of the result, pixels.
        gray: `keep`, or `drop` to reject images without color.
        min_colorfulness: images with a lower colorfulness are rejected. 0 rejects none; gray images have 0.
        out: (size, size, 3) uint8, contiguous: buffer for the pixels. Its contents are undefined after a rejection.

    Returns:
        The central square, resized to (size, size, 3).

    Raises:
        Reject: the file is not used; `reason` says why.
    """
    rgb, note = read_mended(_decode_square, data, limits(), size, out)
    if out is not None and rgb is not out:
        out[:] = rgb
        rgb = out
    is_gray = _is_gray(rgb)
    if is_gray and gray == "drop":
        raise Reject(GRAYSCALE)
    if min_colorfulness and colorfulness(rgb) < min_colorfulness:
        raise Reject(PALE)
    return Image(rgb, is_gray, note)


def open_rgb(data: bytes | memoryview) -> Pillow.Image:
    """Decode a whole photo by the same policy.

    Args:
        data: the whole file.

    Returns:
        Pillow image of mode RGB in sRGB, upright, at full size.

    Raises:
        Reject: the file is not used; `reason` says why.
    """
    return open_with_note(data)[0]


def open_with_note(data: bytes | memoryview) -> tuple[Pillow.Image, str | None]:
    """Like `open_rgb`, but also returns the conversions that were needed, as in `Image.note`."""
    photo, note = read_mended(open_as, data, limits(), conversion.to_srgb)
    photo.info.clear()  # orientation and profile are already applied and must not be applied again
    return photo, note


def read_mended(
    read: Callable[..., tuple[_Picture, str | None]], data: bytes | memoryview, limits: Limits, *arguments: object
) -> tuple[_Picture, str | None]:
    """Read a file, and if it is a JPEG with harmless errors, read the mended file.

    Args:
        read: called with the file, the limits and the arguments.
        data: the whole file.
        limits: see `limits`.
        arguments: further arguments of `read`.

    Returns:
        the picture and the note that `read` returns.

    Raises:
        Reject: the file is not used; `reason` says why.
    """
    try:
        return read(data, limits, *arguments)
    except Reject as reject:
        mended = _mend(data, limits) if reject.reason in (DAMAGED, TRUNCATED) else None
        if mended is None:
            raise
        try:
            picture, note = read(mended, limits, *arguments)
        except Reject as still:
            raise reject if still.reason in (DAMAGED, TRUNCATED) else still from None
        return picture, f"{note}, {MENDED}" if note else MENDED


def _mend(data: bytes | memoryview, limits: Limits) -> bytes | None:
    """The mended JPEG, whose header passes all checks; None if there is nothing to mend or if it cannot be mended."""
    if bytes(data[:2]) != b"\xff\xd8" or len(data) > limits.bytes or is_flooded(data):
        return None
    mended = mending.mend(without_fill_bytes(data))
    header = jpeg.read_header(mended) if mended else None
    if mended is None or header is None:
        return None
    check_header(limits, header.width, header.height, header.bits)
    check_scans(header, mended)
    return mending.without_filler(mended, header.components)


def _decode_square(
    data: bytes | memoryview, limits: Limits, size: int, out: np.ndarray | None
) -> tuple[np.ndarray, str | None]:
    """Decode any file to (size, size, 3) uint8, in `out` if possible; also returns the note of the conversions."""
    decoded = _decode_plain_jpeg(data, limits, size, out)
    if decoded is not None:
        return decoded
    photo, note = open_as(data, limits, conversion.to_srgb)
    return fit_square(photo, size), note


def _decode_plain_jpeg(
    data: bytes | memoryview, limits: Limits, size: int, out: np.ndarray | None
) -> tuple[np.ndarray, str | None] | None:
    """Decode a plain JPEG like `_decode_square`; None if `open_as` must decode the file."""
    header = jpeg.read_header(data)
    if header is None or not _is_upright_srgb(header):
        return None
    buffer = out if out is not None and _scales_to(header, size) else None
    rgb = decode_jpeg(data, limits, header, colorspace="RGB", min_height=size, min_width=size, buffer=buffer)
    if rgb is None:
        return None
    note = note_of_jpeg(data, header)
    if rgb.shape == (size, size, 3):
        return rgb if buffer is None else buffer, note
    # a buffer of another shape was not filled: it still holds pixels of an earlier image
    return (fit_square(Pillow.fromarray(rgb), size), note) if buffer is None else None


def decode_jpeg(data: bytes | memoryview, limits: Limits, header: jpeg.Header, **options: object) -> np.ndarray | None:
    """Decode a gray or RGB JPEG with libjpeg.

    Args:
        data: the whole file.
        limits: see `limits`.
        header: what `jpeg.read_header` returned for the file.
        options: arguments of `simplejpeg.decode_jpeg`.

    Returns:
        (H, W, channels) uint8; None if `open_as` must decode the file.

    Raises:
        Reject: the file is not used; `reason` says why.
    """
    if header.components not in (1, 3) or len(data) > limits.bytes:
        return None
    check_header(limits, header.width, header.height, header.bits)
    check_scans(header, data)
    try:  # strict: a truncated file raises instead of ending in gray
        return simplejpeg.decode_jpeg(data, strict=True, **options)
    except ValueError as error:
        if not jpeg.is_confirmed(data, header):
            return None  # the header was remembered from an earlier file, and the reason must not depend on that file
        raise Reject(reason_for(error)) from error


def note_of_jpeg(data: bytes | memoryview, header: jpeg.Header) -> str | None:
    """The note about further pictures in the file of a JPEG, if it has any."""
    mpf = header.metadata.mpf
    return None if mpf is None else ", ".join(pages.notes_of_jpeg(mpf, data)) or None


def _scales_to(header: jpeg.Header, size: int) -> bool:
    """Whether libjpeg can scale the image to exactly `size`. A larger image would be written past the end of `out`."""
    return header.width == header.height and header.width in (size, 2 * size, 4 * size, 8 * size)


def _is_upright_srgb(header: jpeg.Header) -> bool:
    exif, xmp, profile, _ = header.metadata
    if (exif or xmp) and orientation.read(exif, xmp) != 1:
        return False
    return profile is None or (header.components == 3 and profiles.is_srgb(profile))


def fit_square(photo: Pillow.Image, size: int) -> np.ndarray:
    """Central square of an RGB photo, resized to (size, size, 3) uint8."""
    width, height = photo.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    if side == size:
        photo = photo.crop(box)
    else:
        # like the box filter, the Hamming filter averages over an area; the box filter is uneven at ratios such as 1.3
        method = Pillow.Resampling.HAMMING if side > size else Pillow.Resampling.BICUBIC
        photo = photo.resize((size, size), method, box)
    return np.array(photo)


def _is_gray(rgb: np.ndarray) -> bool:
    corner = rgb[0, 0].tolist()
    if max(corner) - min(corner) > GRAY_TOLERANCE:
        return False  # true for nearly every color image
    return bool((rgb.max(2) - rgb.min(2)).max() <= GRAY_TOLERANCE)
