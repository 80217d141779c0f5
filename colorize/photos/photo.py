"""Read the file of a photo: pixels with their alpha and up to 16 bits, and what the result takes over from the file.

The policy is that of the shards (`sharding/images.py`): the same files are rejected, and the network sees the same
pixels. But photos without color have one channel, alpha is kept beside the pixels, and gray photos keep 16 bits per
pixel. Photos in color with more than 8 bits per channel, and gray ones with an alpha channel, are reduced to 8 bits.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps
from PIL.ImageFile import ImageFile

from colorize import runtime
from colorize.photos import deep, metadata
from colorize.photos.metadata import Kept
from colorize.sharding import conversion, depth, images, jpeg, orientation, profiles
from colorize.sharding.opening import identify, open_as
from colorize.sharding.silence import silence


@dataclass(frozen=True)
class Photo:
    """A photo to color."""

    pixels: np.ndarray  # upright, contiguous sRGB: (H, W, 3) uint8, or gray (H, W) uint8 or uint16
    alpha: np.ndarray | None  # (H, W) of the same type; None if every pixel is opaque
    format: str  # Pillow's name of the file's format; "" for arrays
    sha256: str  # of the file, in hex; "" for arrays
    kept: Kept  # what the result takes over
    note: str | None  # conversions that were needed, such as "orientation applied"

    def seen(self) -> np.ndarray:
        """What the network sees: 8 bits, blended onto white; (H, W) or (H, W, 3) uint8."""
        pixels = _reduced(self.pixels)
        if self.alpha is None:
            return pixels
        alpha = Pillow.fromarray(_reduced(self.alpha))
        return np.asarray(conversion.on_white(Pillow.fromarray(pixels), alpha))


def _reduced(levels: np.ndarray) -> np.ndarray:
    """8-bit levels of 16-bit levels; a multiple of 257 is exact."""
    return levels if levels.dtype == np.uint8 else ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def read(content: bytes, max_pixels: int | None = None, sha256: str | None = None) -> Photo:
    """Read the file of a photo.

    Args:
        content: the whole file.
        max_pixels: largest number of pixels; a larger file than 256 MiB is allowed in proportion.
            Default: 50 million. JPEG 2000 and AVIF may have half as many.
        sha256: of the file, if the caller knows it already.

    Returns:
        The photo.

    Raises:
        images.Reject: the file is not used; `reason` says why.
    """
    (pixels, alpha, kept, format), note = images.read_mended(_read, content, images.limits(max_pixels))
    pixels = np.ascontiguousarray(without_color(pixels))
    return Photo(pixels, _used(alpha), format, sha256 or hashlib.sha256(content).hexdigest(), kept, note)


def without_color(pixels: np.ndarray) -> np.ndarray:
    """(H, W) if the three channels are equal, as in scans that are saved in color; otherwise the pixels as they are."""
    is_neutral = (
        pixels.ndim == 3
        and all(  # few rows are enough to recognize nearly every photo in color
            (rows[..., :1] == rows[..., 1:]).all() for rows in (pixels[::64], pixels)
        )
    )
    return pixels[..., 0] if is_neutral else pixels


def _used(alpha: np.ndarray | None) -> np.ndarray | None:
    """Contiguous alpha; None if all pixels are opaque, or all transparent, as programs without alpha leave them."""
    if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max or not alpha.any():
        return None
    return np.ascontiguousarray(alpha)


_Found = tuple[np.ndarray, np.ndarray | None, Kept, str]  # pixels, alpha, what is kept, format


def _read(data: bytes | memoryview, limits: images.Limits) -> tuple[_Found, str | None]:
    header = jpeg.read_header(data)
    found = None if header is None else _read_jpeg(data, limits, header)
    if found is not None:
        return found

    def convert(photo: ImageFile, notes: list[str]) -> _Found:
        kept, dropped = metadata.keep(photo, data)
        name = {"MPO": "JPEG"}.get(photo.format or "", photo.format or "")
        held = [photo]
        del photo  # so that `_separate` can free it
        pixels, alpha = _separate(held, notes)
        notes += dropped
        return pixels, alpha, kept, name

    return open_as(data, limits, convert)


def _read_jpeg(
    data: bytes | memoryview, limits: images.Limits, header: jpeg.Header
) -> tuple[_Found, str | None] | None:
    """Read a gray or RGB JPEG with an unambiguous header; None if `open_as` must decode it.

    libjpeg decodes such a file in a third of the time: gray stays gray, and Pillow's copies are not needed.
    """
    space = {1: "GRAY", 3: "RGB"}.get(header.components)
    if space is None:
        return None
    pixels = images.decode_jpeg(data, limits, header, colorspace=space)
    if pixels is None:
        return None
    note = images.note_of_jpeg(data, header)
    notes = [note] if note else []
    try:
        pixels = _finish_jpeg(pixels if space == "RGB" else pixels[..., 0], header.metadata, notes)
    except Exception:  # a damaged profile raises almost any exception in Pillow; `open_as` has an answer
        return None
    kept, dropped = _kept_of_jpeg(data, limits)
    return (pixels, None, kept, "JPEG"), ", ".join(notes + dropped) or None


def _finish_jpeg(pixels: np.ndarray, found: jpeg.Metadata, notes: list[str]) -> np.ndarray:
    """Turn the pixels of a JPEG upright and convert them to sRGB, as `conversion.separate` does."""
    turn = conversion.UPRIGHT.get(orientation.read(found.exif, found.xmp))
    if turn is None and not found.profile:
        return pixels
    photo = Pillow.fromarray(pixels)
    if turn is not None:
        photo = photo.transpose(turn)
        notes.append(conversion.TURNED)
    if found.profile:
        photo, done = profiles.apply(photo, found.profile)
        notes += [done] if done else []
    return np.asarray(photo)


def _kept_of_jpeg(data: bytes | memoryview, limits: images.Limits) -> tuple[Kept, list[str]]:
    try:
        with silence():
            return metadata.keep(identify(data, limits), data)
    except Exception:  # Pillow refuses odd segments that libjpeg skips
        return Kept(), [metadata.EXIF_DROPPED]


def _separate(held: list[ImageFile], notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a loaded photo, the only element of the list, which is emptied."""
    if depth.is_deep_gray(held[0]):
        levels = deep.separate(held[0], notes)
        if levels is not None:
            return levels
    color, alpha = conversion.separate(held.pop(), notes)
    if conversion.BLENDED in notes:
        notes.remove(conversion.BLENDED)
    return np.asarray(color), None if alpha is None else np.asarray(alpha)


# --- arrays and images of Pillow -------------------------------------------------------------------------------------


def from_pixels(image: np.ndarray | Pillow.Image) -> Photo:
    """Check an image of the caller.

    Args:
        image: sRGB; an array (H, W, 3) of uint8, or (H, W) of uint8 or uint16; or a Pillow image of mode RGB, RGBA, L,
            LA or I;16, whose EXIF orientation is applied.

    Returns:
        The photo, without anything that the result takes over.

    Raises:
        ValueError: the image has another type or shape, or cannot be decoded.
    """
    alpha = None
    if isinstance(image, Pillow.Image):
        if image.mode not in ("RGB", "RGBA", "L", "LA", "I;16"):
            raise ValueError(
                f"image of mode {image.mode}: expected RGB, RGBA, L, LA or I;16; colorize.sharding.images."
                "open_rgb(bytes) converts any file"
            )
        image, alpha = _decoded(image)
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{type(image).__name__}: expected a path, the bytes of a file, a Pillow image or an array")
    dtype = image.dtype.newbyteorder("=")
    is_color = image.ndim == 3 and image.shape[2] == 3 and dtype == np.uint8
    is_gray = image.ndim == 2 and dtype in (np.uint8, np.uint16)
    if not (is_color or is_gray) or image.size == 0:
        raise ValueError(
            f"array {image.shape} of {image.dtype}: expected (H, W, 3) of uint8, or (H, W) of uint8 or uint16"
        )
    pixels = np.ascontiguousarray(image, dtype)
    return Photo(pixels, alpha, "", "", Kept(), None)


def _decoded(image: Pillow.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """The upright pixels and the alpha. Pillow decodes a file only now, so its errors appear here."""
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode not in ("RGBA", "LA"):
            return np.asarray(upright), None
        return np.asarray(upright.convert(upright.mode[:-1])), _used(np.asarray(upright.getchannel("A")))
    except (OSError, SyntaxError, struct.error) as error:  # what Pillow raises for damaged and closed files
        raise ValueError(f"the image cannot be decoded ({runtime.first_line(error)})") from error
