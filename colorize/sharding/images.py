"""The image policy: how image files are decoded, and which files are rejected.

`decode` returns a square of a fixed size for the shards; `open_rgb` returns the whole photo for prediction. For any
input bytes, both return 8-bit sRGB or raise `Reject` with one of a few fixed reasons, and use less than 1 GB of memory:

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

import io
import warnings
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import simplejpeg
from PIL import Image as Pillow
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from colorize.color.colorfulness import colorfulness
from colorize.sharding import avif, conversion, depth, jpeg, jpeg2000, mending, orientation, pages, png, profiles, webp
from colorize.sharding.floods import is_flooded, without_fill_bytes
from colorize.sharding.formats import FORMATS, HEIC_REMEDY

MAX_BYTES = 1 << 28  # length of a file
MAX_PIXELS = 50_000_000  # decoding keeps up to four copies of 4 bytes per pixel
EXPENSIVE_COST = 2  # decoding a JPEG 2000 or an AVIF takes up to twice the memory per pixel of other formats
MAX_SCANS = 256  # of a progressive JPEG; encoders write about 10, and each scan takes a pass over the whole image
MIN_SIDE = 16  # pixels; there is nothing to learn from smaller images
GRAY_TOLERANCE = 1  # 8-bit levels; color conversion may change a channel of a neutral pixel by one level

EMPTY = "empty file"
NOT_AN_IMAGE = "not an image"
TRUNCATED = "truncated"
DAMAGED = "damaged"
TOO_LARGE = "too large"
TOO_SMALL = "too small"
ANIMATED = "animated"
DEEP = "unsupported bit depth"
HEIC = f"HEIC: {HEIC_REMEDY}"
UNREADABLE = "unreadable"
GRAYSCALE = "grayscale"
PALE = "low colorfulness"
REASONS = (
    *(EMPTY, NOT_AN_IMAGE, HEIC, UNREADABLE, TRUNCATED, DAMAGED, TOO_LARGE, TOO_SMALL, ANIMATED, DEEP),
    *(GRAYSCALE, PALE),
)
UNWANTED = (GRAYSCALE, PALE)  # intact files that a parameter excludes
MENDED = "harmless JPEG errors ignored"

_Picture = TypeVar("_Picture")


class Reject(Exception):
    """An image that is not used; the reason is one of `REASONS`, so that rejections can be counted."""

    def __init__(self, reason: str):
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason

    def __reduce__(self) -> tuple:
        """Pickle only the reason, so that a worker process can send the exception."""
        return Reject, (self.reason,)


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
    rgb, note = _mending(_decode_square, data, size, out)
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
    photo, note = _mending(_open, data)
    photo.info.clear()  # orientation and profile are already applied and must not be applied again
    return photo, note


def _mending(
    read: Callable[..., tuple[_Picture, str | None]], data: bytes | memoryview, *arguments: object
) -> tuple[_Picture, str | None]:
    """Read a file, and if it is a JPEG with harmless errors, read the mended file; returns the picture and the note."""
    try:
        return read(data, *arguments)
    except Reject as reject:
        mended = _mend(data) if reject.reason in (DAMAGED, TRUNCATED) else None
        if mended is None:
            raise
        try:
            picture, note = read(mended, *arguments)
        except Reject as still:
            raise reject if still.reason in (DAMAGED, TRUNCATED) else still from None
        return picture, f"{note}, {MENDED}" if note else MENDED


def _mend(data: bytes | memoryview) -> bytes | None:
    """The mended JPEG, whose header passes all checks; None if there is nothing to mend or if it cannot be mended."""
    if bytes(data[:2]) != b"\xff\xd8" or len(data) > MAX_BYTES or is_flooded(data):
        return None
    mended = mending.mend(without_fill_bytes(data))
    header = jpeg.read_header(mended) if mended else None
    if mended is None or header is None:
        return None
    _check_header(header.width, header.height, header.bits)
    _check_scans(header, mended)
    return mending.without_filler(mended, header.components)


def _decode_square(data: bytes | memoryview, size: int, out: np.ndarray | None) -> tuple[np.ndarray, str | None]:
    """Decode any file to (size, size, 3) uint8, in `out` if possible; also returns the note of the conversions."""
    decoded = _decode_plain_jpeg(data, size, out)
    if decoded is not None:
        return decoded
    photo, note = _open(data)
    return fit_square(photo, size), note


def _decode_plain_jpeg(
    data: bytes | memoryview, size: int, out: np.ndarray | None
) -> tuple[np.ndarray, str | None] | None:
    """Decode a plain JPEG like `_decode_square`; None if `_open` must decode the file."""
    header = jpeg.read_header(data)
    if header is None or header.components not in (1, 3) or not _is_upright_srgb(header) or len(data) > MAX_BYTES:
        return None
    _check_header(header.width, header.height, header.bits)
    _check_scans(header, data)
    buffer = out if out is not None and _scales_to(header, size) else None
    try:  # strict: a truncated file raises instead of ending in gray
        rgb = simplejpeg.decode_jpeg(data, "RGB", min_height=size, min_width=size, buffer=buffer, strict=True)
    except ValueError as error:
        if not jpeg.is_confirmed(data, header):
            return None  # the header was remembered from an earlier file, and the reason must not depend on that file
        raise Reject(_reason_for(error)) from error
    mpf = header.metadata.mpf
    note = None if mpf is None else ", ".join(pages.notes_of_jpeg(mpf, data)) or None
    if rgb.shape == (size, size, 3):
        return rgb if buffer is None else buffer, note
    # a buffer of another shape was not filled: it still holds pixels of an earlier image
    return (fit_square(Pillow.fromarray(rgb), size), note) if buffer is None else None


def _scales_to(header: jpeg.Header, size: int) -> bool:
    """Whether libjpeg can scale the image to exactly `size`. A larger image would be written past the end of `out`."""
    return header.width == header.height and header.width in (size, 2 * size, 4 * size, 8 * size)


def _is_upright_srgb(header: jpeg.Header) -> bool:
    exif, xmp, profile, _ = header.metadata
    if (exif or xmp) and orientation.read(exif, xmp) != 1:
        return False
    return profile is None or (header.components == 3 and profiles.is_srgb(profile))


def _check_header(width: int, height: int, bits: int = 8, max_bits: int = 8) -> None:
    if width * height > MAX_PIXELS:
        raise Reject(TOO_LARGE)
    if min(width, height) < MIN_SIDE:
        raise Reject(TOO_SMALL)
    if bits > max_bits:
        raise Reject(DEEP)


def _check_scans(header: jpeg.Header | None, data: bytes | memoryview) -> None:
    if (header is None or header.is_progressive) and jpeg.count_scans(data) > MAX_SCANS:
        raise Reject(TOO_LARGE)


def _reason_for(error: Exception) -> str:
    text = str(error).lower()
    is_cut = any(words in text for words in ("truncated", "premature end of jpeg file", "unexpected end"))
    return TRUNCATED if is_cut or isinstance(error, EOFError) else DAMAGED


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


def _open(data: bytes | memoryview) -> tuple[Pillow.Image, str | None]:
    """Decode any file: returns the whole photo in sRGB and the note of its conversions."""
    if len(data) == 0:
        raise Reject(EMPTY)
    if len(data) > MAX_BYTES:
        raise Reject(TOO_LARGE)
    if is_flooded(data):
        raise Reject(DAMAGED)
    _check_webp(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about large images (MAX_PIXELS limits them) and odd metadata
            repaired = _checked_jpeg(data) if bytes(data[:2]) == b"\xff\xd8" else None
            notes: list[str] = []
            # without a second reference to the loaded photo, which would keep its memory
            photo = conversion.to_srgb(_load(without_fill_bytes(repaired or data), notes), notes)
            notes += [profiles.UNUSABLE] if repaired else []
            return photo, ", ".join(notes) or None
    except (Reject, MemoryError):
        raise
    except Pillow.DecompressionBombError as error:
        raise Reject(TOO_LARGE) from error
    except Pillow.UnidentifiedImageError as error:
        raise Reject(_reason_unidentified(data)) from error
    except Exception as error:  # damaged bytes raise almost any exception in Pillow
        raise Reject(_reason_for(error)) from error


def _checked_jpeg(data: bytes | memoryview) -> bytes | None:
    """As `jpeg.check_header`. Pillow must not open what libjpeg refuses: it takes seconds to read megabytes of junk."""
    try:
        return jpeg.check_header(data)
    except ValueError as error:
        header, *_ = jpeg.parse(data)
        if header is not None:
            _check_header(header.width, header.height, header.bits)
        raise Reject(_reason_for(error)) from error


def _check_webp(data: bytes | memoryview) -> None:
    """Reject a huge or truncated WebP before Pillow opens it, because opening already allocates the canvas."""
    try:
        size = webp.read_size(data)
    except ValueError as error:
        raise Reject(_reason_for(error)) from error
    if size is not None:
        _check_header(*size)


def _reason_unidentified(data: bytes | memoryview) -> str:
    header, *_ = jpeg.parse(data)
    if header is not None:
        _check_header(header.width, header.height, header.bits)  # Pillow cannot read 12-bit JPEGs
    head = bytes(data[:4])
    if brands := avif.read_brands(data):
        return DAMAGED if brands & avif.AVIF_BRANDS else HEIC if brands & avif.HEIC_BRANDS else NOT_AN_IMAGE
    return DAMAGED if head[:3] == b"\xff\xd8\xff" or head == b"\x89PNG" else NOT_AN_IMAGE


def _load(data: bytes | memoryview, notes: list[str]) -> ImageFile:
    """Open a file, check its header, then decode it. Conversions are added to the notes."""
    photo = Pillow.open(io.BytesIO(data), formats=FORMATS)
    if isinstance(photo, TiffImageFile):
        notes += pages.choose_in_tiff(photo)
    bits = _bits(photo, data)
    _check_header(*_size_for_decoder(photo, data), bits, depth.MAX_BITS)
    if isinstance(photo, TiffImageFile):  # a tile may be larger than its image
        _check_header(max(photo.tag_v2.get(322, MIN_SIDE), MIN_SIDE), max(photo.tag_v2.get(323, MIN_SIDE), MIN_SIDE))
    if photo.format not in ("MPO", "TIFF") and getattr(photo, "is_animated", False):
        raise Reject(ANIMATED)
    if isinstance(photo, JpegImageFile):
        _check_jpeg(photo, data)
        notes += pages.notes_of_jpeg(conversion.metadata_of_jpeg(photo).mpf, data)
    elif photo.format == "PNG":
        png.check_pixels(data)
    elif photo.format == "JPEG2000":
        jpeg2000.check_is_whole(data, jpeg2000.read_header(data))
    elif isinstance(photo, TiffImageFile) and not _has_all_strips(photo):
        raise Reject(TRUNCATED)
    photo.load()
    notes += [depth.REDUCED] if bits > 8 else []
    return photo


def _size_for_decoder(photo: Pillow.Image, data: bytes | memoryview) -> tuple[int, int]:
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
        _check_cost([size])
    elif photo.format == "AVIF":
        if avif.is_sequence(data):
            raise Reject(ANIMATED)
        _check_cost(avif.read_sizes(data))
    _check_header(*size)
    if size != photo.size:
        raise Reject(DAMAGED)
    return size


def _check_cost(sizes: list[tuple[int, int]]) -> None:
    """Reject if decoding pictures of these sizes takes too much memory; one may be alpha, and others previews."""
    areas = [width * height for width, height in sizes]
    if max(areas) * EXPENSIVE_COST > MAX_PIXELS or sum(areas) > MAX_PIXELS:
        raise Reject(TOO_LARGE)


def _check_jpeg(photo: Pillow.Image, data: bytes | memoryview) -> None:
    """Raise for a truncated JPEG, which Pillow would fill with gray; decoding at an eighth of the size detects it."""
    _check_scans(jpeg.read_header(data), data)
    simplejpeg.decode_jpeg(data, "CMYK" if photo.mode == "CMYK" else "RGB", min_height=1, min_width=1, strict=True)


def _has_all_strips(photo: TiffImageFile) -> bool:
    """Whether the strips or tiles of a TIFF cover the whole image. Pillow would leave uncovered pixels black."""
    # libtiff reads compressed strips and tiles, and checks this itself
    if any(tile.codec_name != "raw" for tile in photo.tile):
        return True
    planes = photo.tag_v2.get(277, 1) if photo.tag_v2.get(284) == 2 else 1
    boxes = [tile.extents for tile in photo.tile if tile.extents]
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in boxes)
    return covered >= photo.width * photo.height * planes


def _bits(photo: ImageFile, data: bytes | memoryview) -> int:
    """Bits per channel in the file. Pillow reduces some files to 8 bits without a warning."""
    if photo.format == "PNG":
        return png.read_header(data).bits
    if photo.format == "JPEG2000":
        return jpeg2000.read_header(data).bits
    return depth.bits_of(photo)
