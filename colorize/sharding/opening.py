"""Open any image file with Pillow, after the checks that keep memory and time small and find truncated files."""

import contextlib
import io
import struct
from collections.abc import Callable
from typing import TypeVar

import simplejpeg
from PIL import Image as Pillow
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from colorize.sharding import avif, conversion, depth, jpeg, jpeg2000, pages, png, profiles, webp
from colorize.sharding.floods import is_flooded, without_fill_bytes
from colorize.sharding.formats import FORMATS
from colorize.sharding.rejections import (
    ANIMATED,
    DAMAGED,
    EMPTY,
    HEIC,
    MIN_SIDE,
    NOT_AN_IMAGE,
    TOO_LARGE,
    TRUNCATED,
    Limits,
    Reject,
    check_header,
    check_scans,
    reason_for,
)
from colorize.sharding.silence import silence
from colorize.sharding.tiff import has_all_strips

EXPENSIVE_COST = 2  # decoding a JPEG 2000 or an AVIF takes up to twice the memory per pixel of other formats

_Picture = TypeVar("_Picture")


def open_as(
    data: bytes | memoryview, limits: Limits, convert: Callable[[ImageFile, list[str]], _Picture]
) -> tuple[_Picture, str | None]:
    """Decode any file.

    Args:
        data: the whole file.
        limits: see `images.limits`.
        convert: turns the loaded file of Pillow into the result, and adds its conversions to the list of notes.

    Returns:
        The result of `convert`, and the note of all conversions.

    Raises:
        Reject: the file is not used; `reason` says why.
    """
    if len(data) == 0:
        raise Reject(EMPTY)
    if len(data) > limits.bytes:
        raise Reject(TOO_LARGE)
    if is_flooded(data):
        raise Reject(DAMAGED)
    _check_webp(data, limits)
    try:
        with silence():  # Pillow warns about large images (`limits` bounds them) and odd metadata
            repaired = _checked_jpeg(data, limits) if bytes(data[:2]) == b"\xff\xd8" else None
            notes: list[str] = []
            # without a second reference to the loaded photo, which would keep its memory
            photo = convert(_load(without_fill_bytes(repaired or data), limits, notes), notes)
            notes += [profiles.UNUSABLE] if repaired else []
            return photo, ", ".join(notes) or None
    except (Reject, MemoryError):
        raise
    except Pillow.DecompressionBombError as error:
        raise Reject(TOO_LARGE) from error
    except Pillow.UnidentifiedImageError as error:
        raise Reject(_reason_unidentified(data, limits)) from error
    except Exception as error:  # damaged bytes raise almost any exception in Pillow
        raise Reject(reason_for(error)) from error


def _checked_jpeg(data: bytes | memoryview, limits: Limits) -> bytes | None:
    """As `jpeg.check_header`. Pillow must not open what libjpeg refuses: it takes seconds to read megabytes of junk."""
    try:
        return jpeg.check_header(data)
    except ValueError as error:
        header, *_ = jpeg.parse(data)
        if header is not None:
            check_header(limits, header.width, header.height, header.bits)
        raise Reject(reason_for(error)) from error


def _check_webp(data: bytes | memoryview, limits: Limits) -> None:
    """Reject a huge or truncated WebP before Pillow opens it, because opening already allocates the canvas."""
    try:
        size = webp.read_size(data)
    except ValueError as error:
        raise Reject(reason_for(error)) from error
    if size is not None:
        check_header(limits, *size)


def _reason_unidentified(data: bytes | memoryview, limits: Limits) -> str:
    header, *_ = jpeg.parse(data)
    if header is not None:
        check_header(limits, header.width, header.height, header.bits)  # Pillow cannot read 12-bit JPEGs
    head = bytes(data[:4])
    if brands := avif.read_brands(data):
        return DAMAGED if brands & avif.AVIF_BRANDS else HEIC if brands & avif.HEIC_BRANDS else NOT_AN_IMAGE
    return DAMAGED if head[:3] == b"\xff\xd8\xff" or head == b"\x89PNG" else NOT_AN_IMAGE


def _load(data: bytes | memoryview, limits: Limits, notes: list[str]) -> ImageFile:
    """Open a file, check its header, then decode it. Conversions are added to the notes."""
    photo = identify(data, limits)
    if isinstance(photo, TiffImageFile):
        notes += pages.choose_in_tiff(photo)
    bits = depth.bits_of(photo, data)
    check_header(limits, *_size_for_decoder(photo, data, limits), bits, depth.MAX_BITS)
    if isinstance(photo, TiffImageFile):  # a tile may be larger than its image
        check_header(limits, *(max(photo.tag_v2.get(tag, MIN_SIDE), MIN_SIDE) for tag in (322, 323)))
    if photo.format not in ("MPO", "TIFF") and getattr(photo, "is_animated", False):
        raise Reject(ANIMATED)
    if isinstance(photo, JpegImageFile):
        _check_jpeg(photo, data)
        notes += pages.notes_of_jpeg(conversion.metadata_of_jpeg(photo).mpf, data)
    elif photo.format == "PNG":
        png.check_pixels(data)
    elif photo.format == "JPEG2000":
        jpeg2000.check_is_whole(data, jpeg2000.read_header(data))
    elif isinstance(photo, TiffImageFile) and not has_all_strips(photo):
        raise Reject(TRUNCATED)
    if isinstance(photo, TiffImageFile) and _is_beyond_pillow(limits):
        photo.im = Pillow.core.new(photo.mode, photo._tile_size)  # `load` would check its own limit before it does this
    photo.load()
    notes += [depth.REDUCED] if bits > 8 else []
    return photo


def identify(data: bytes | memoryview, limits: Limits) -> ImageFile:
    """Open a file with Pillow, also a JPEG with segments that are too short for Pillow.

    Raises:
        almost any exception, because the file may be damaged.
    """
    try:
        return _open(data, limits)
    except Pillow.UnidentifiedImageError:
        if bytes(data[:2]) != b"\xff\xd8":
            raise
        return _open(jpeg.without_short_segments(data), limits)


def _open(data: bytes | memoryview, limits: Limits) -> ImageFile:
    """`Pillow.open`, whose limit of pixels is one of the process, and stays."""
    if not _is_beyond_pillow(limits):
        return Pillow.open(io.BytesIO(data), formats=FORMATS)
    Pillow.init()
    for factory, accept in (Pillow.OPEN[name] for name in FORMATS):
        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):  # as in `open`: another format
            if accept is None or accept(bytes(data[:16])):
                return factory(io.BytesIO(data), "")
    raise Pillow.UnidentifiedImageError


def _is_beyond_pillow(limits: Limits) -> bool:
    return Pillow.MAX_IMAGE_PIXELS is not None and limits.pixels > 2 * Pillow.MAX_IMAGE_PIXELS


def _size_for_decoder(photo: Pillow.Image, data: bytes | memoryview, limits: Limits) -> tuple[int, int]:
    """(width, height) as the decoder reads them. Reject if Pillow, which allocates the image, has read another size."""
    size = photo.size
    if photo.format in ("JPEG", "MPO"):
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        size = width, height
    elif photo.format == "PNG":
        header = png.read_header(data)
        size = header.width, header.height
    elif photo.format == "JPEG2000":
        codestream = jpeg2000.read_header(data)
        size = codestream.width, codestream.height
        _check_cost([size], limits)
    elif photo.format == "AVIF":
        if avif.is_sequence(data):
            raise Reject(ANIMATED)
        _check_cost(avif.read_sizes(data), limits)
    check_header(limits, *size)
    if size != photo.size:
        raise Reject(DAMAGED)
    return size


def _check_cost(sizes: list[tuple[int, int]], limits: Limits) -> None:
    """Reject if decoding pictures of these sizes takes too much memory; one may be alpha, and others previews."""
    areas = [width * height for width, height in sizes]
    if max(areas) * EXPENSIVE_COST > limits.pixels or sum(areas) > limits.pixels:
        raise Reject(TOO_LARGE)


def _check_jpeg(photo: Pillow.Image, data: bytes | memoryview) -> None:
    """Raise for a truncated JPEG, which Pillow would fill with gray; decoding at an eighth of the size detects it."""
    check_scans(jpeg.read_header(data), data)
    simplejpeg.decode_jpeg(data, "CMYK" if photo.mode == "CMYK" else "RGB", min_height=1, min_width=1, strict=True)
