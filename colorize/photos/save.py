"""Write results as JPEG, PNG, WebP or TIFF, with what they take over from the photo, and with the mark.

All results are sRGB, and contain its profile. No choice loses anything silently: a format that cannot hold the alpha or
the 16 bits of a photo is refused.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg
from PIL import Image as Pillow
from PIL import ImageCms

from colorize.photos import exif, lossless, mark, xmp
from colorize.photos.mark import Mark
from colorize.photos.photo import Photo
from colorize.runtime import ParameterError

if TYPE_CHECKING:
    from colorize.photos.predict import Colorized

QUALITY = 95  # of a JPEG whose photo was no JPEG
WEBP_QUALITY = 90
MIN_QUALITY = 75  # below, the predicted colors would become blocks
SUBSAMPLINGS = ("4:4:4", "4:2:0")
ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif"}
FORMATS = tuple(ENDINGS)
_MAX_SIDES = {"JPEG": 65_500, "WEBP": 16_383}  # pixels
_WEBP_EFFORT, _LOSSLESS_EFFORT = 2, 50  # 0 to 6, and 0 to 100: more takes longer for smaller files

_START, _JFIF, _APP0, _APP1, _APP2, _COMMENT = b"\xff\xd8", b"JFIF\0\1\1", 0xE0, 0xE1, 0xE2, 0xFE
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0\1\1"
_PER_INCH = 1  # unit of the density of a JPEG
_METERS = 0.0254  # of an inch
_TIFF_XMP, _TIFF_ICC = 700, 34675


@dataclass(frozen=True)
class Encoding:
    """How a result is written."""

    format: str  # one of FORMATS
    quality: int | None  # 1 to 100; None for PNG and TIFF, and for WebP without loss
    subsampling: str | None  # of a JPEG: one of SUBSAMPLINGS

    @property
    def ending(self) -> str:
        """Ending of the file's name, such as ".jpg"."""
        return ENDINGS[self.format]

    @property
    def layout(self) -> str:
        """The pixels that `encode` needs: "yuv420" for `Colorized.planes`, "rgb" for `Colorized.rgb`."""
        return "yuv420" if self.subsampling == "4:2:0" else "rgb"


def choose(
    photo: Photo, format: str | None = None, quality: int | None = None, subsampling: str | None = None
) -> Encoding:
    """Choose how the result of a photo is written.

    Args:
        photo: the photo.
        format: one of FORMATS, in any case. Default: that of the photo, or PNG if it is not one of them.
        quality: of JPEG and WebP, 1 to 100; others ignore it. Default: that of the photo if it is a JPEG, but at least
            MIN_QUALITY; no loss if it is a WebP without loss; QUALITY or WEBP_QUALITY for all others.
        subsampling: of JPEG, one of SUBSAMPLINGS; others ignore it. Default: that of the photo if it is a JPEG in
            color; 4:2:0 for all others, because the predicted colors are small.

    Returns:
        the encoding.

    Raises:
        ParameterError: an argument has another value, or the format cannot hold the photo.
    """
    if format is not None and format.upper() not in FORMATS:
        raise ParameterError(f"format {format}: expected one of {', '.join(FORMATS).lower()}")
    if quality is not None and not 1 <= quality <= 100:
        raise ParameterError(f"quality {quality}: expected 1 to 100")
    if subsampling is not None and subsampling not in SUBSAMPLINGS:
        raise ParameterError(f"subsampling {subsampling}: expected one of {', '.join(SUBSAMPLINGS)}")
    name = format.upper() if format is not None else photo.format if photo.format in FORMATS else "PNG"
    _check(photo, name)
    kept = photo.kept
    if name == "JPEG":
        found = None if kept.quality is None else max(kept.quality, MIN_QUALITY)
        return Encoding(name, quality or found or QUALITY, subsampling or kept.subsampling or "4:2:0")
    if name == "WEBP":
        return Encoding(name, quality or (None if kept.is_lossless else WEBP_QUALITY), None)
    return Encoding(name, None, None)


def _check(photo: Photo, name: str) -> None:
    """Raise a ParameterError if a format cannot hold a photo."""
    if photo.pixels.dtype == np.uint16 and name in ("JPEG", "WEBP"):
        raise ParameterError(f"{name} has 8 bits per channel, and this photo has 16: choose png or tiff as the format")
    if photo.alpha is not None and name == "JPEG":
        raise ParameterError("JPEG has no transparency, and this photo has: choose png, webp or tiff as the format")
    if max(photo.pixels.shape[:2]) > _MAX_SIDES.get(name, 1 << 31):
        raise ParameterError(
            f"{name} has at most {_MAX_SIDES[name]:,} pixels per side, and this photo has more: choose png or tiff as "
            "the format"
        )


def encode(photo: Photo, result: Colorized, encoding: Encoding, mark: Mark | None, threads: int | None = None) -> bytes:
    """Encode a result.

    Args:
        photo: the photo, whose alpha and metadata the result takes over.
        result: its colors, in the layout of the encoding.
        encoding: a result of `choose`.
        mark: says that a model made the colors; None to leave it out.
        threads: that compress a PNG or TIFF. Default: one per core. 1 starts none.

    Returns:
        the file. Its bytes do not depend on the number of threads.

    Raises:
        ParameterError: the file would be longer than 4 GiB, the limit of TIFF.
    """
    if encoding.format == "JPEG":
        return _jpeg(photo, result, encoding, mark)
    assert result.rgb is not None  # the layout is "rgb"
    if encoding.format == "PNG":
        return lossless.encode_png(result.rgb, photo.alpha, _png_chunks(photo, mark), threads)
    if encoding.format == "TIFF":
        return lossless.encode_tiff(result.rgb, photo.alpha, _tiff_block(photo, mark), threads)
    return _webp(photo, result.rgb, encoding, mark)


def _packet(photo: Photo, made: Mark | None, has_comment: bool) -> bytes:
    """The XMP packet, with the comment of the photo if the format itself `has_comment` not; may be empty."""
    comment = {} if has_comment or not photo.kept.comment else {xmp.COMMENT: (photo.kept.comment,)}
    return mark.to_xmp(made, {**photo.kept.xmp, **comment})


@functools.lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """The ICC profile of sRGB, without the date of its creation."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]


# --- JPEG ------------------------------------------------------------------------------------------------------------


def _jpeg(photo: Photo, result: Colorized, encoding: Encoding, made: Mark | None) -> bytes:
    if result.planes is not None:
        data = simplejpeg.encode_jpeg_yuv_planes(*result.planes, encoding.quality)
    else:
        assert result.rgb is not None  # one of both is there
        subsampling = "420" if encoding.subsampling == "4:2:0" else "444"
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(result.rgb), encoding.quality, "RGB", subsampling)
    rest = memoryview(data)[2:]
    if rest[:2] == bytes((0xFF, _APP0)):
        rest = rest[2 + int.from_bytes(rest[2:4]) :]
    kept = photo.kept
    density = (0, 1, 1) if kept.dpi is None else (_PER_INCH, *(round(value) for value in kept.dpi))
    packet = _packet(photo, made, has_comment=True)
    segments = [_segment(_APP0, _JFIF + struct.pack(">BHHBB", *density, 0, 0))]
    segments += [_segment(_APP1, _EXIF + kept.exif)] if kept.exif else []
    segments += [_segment(_APP1, _XMP + packet)] if packet else []
    segments += [_segment(_APP2, _ICC + srgb_profile())]
    segments += [_segment(_COMMENT, kept.comment.encode())] if kept.comment else []
    return b"".join([_START, *segments, rest])


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


# --- PNG, TIFF and WebP ----------------------------------------------------------------------------------------------


def _png_chunks(photo: Photo, made: Mark | None) -> list[tuple[bytes, bytes]]:
    kept = photo.kept
    chunks = [(b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile()))]
    if kept.dpi is not None:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / _METERS) for value in kept.dpi), 1)))
    if kept.exif:
        chunks.append((b"eXIf", kept.exif))
    if packet := _packet(photo, made, has_comment=True):
        chunks.append(_text("XML:com.adobe.xmp", packet.decode()))
    if made is not None:
        chunks.append(_text(mark.SOFTWARE, mark.SIGNATURE))
        chunks += [_text(mark.SOURCE, made.source_sha256)] if made.source_sha256 else []
    if comment := kept.comment or (mark.COMMENT if made is not None else ""):
        chunks.append(_text("Comment", comment))
    return chunks


def _text(keyword: str, text: str) -> tuple[bytes, bytes]:
    """A chunk with a text: tEXt, which every program reads, for ASCII, and otherwise iTXt."""
    if text.isascii():
        return b"tEXt", f"{keyword}\0{text}".encode()
    return b"iTXt", f"{keyword}\0\0\0\0\0{text}".encode()


def _tiff_block(photo: Photo, made: Mark | None) -> exif.Block:
    block = exif.Block(photo.kept.exif or exif.EMPTY)
    if photo.kept.dpi is not None:
        exif.put_resolution(block, photo.kept.dpi)
    if packet := _packet(photo, made, has_comment=False):
        block.put(_TIFF_XMP, exif.BYTE, packet)
    block.put(_TIFF_ICC, exif.UNDEFINED, srgb_profile())
    return block


def _webp(photo: Photo, rgb: np.ndarray, encoding: Encoding, made: Mark | None) -> bytes:
    pixels = rgb if photo.alpha is None else np.dstack([rgb, photo.alpha])
    block = photo.kept.exif
    if photo.kept.dpi is not None:
        block = exif.with_resolution(block, photo.kept.dpi)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(
        file,
        "WEBP",
        lossless=encoding.quality is None,
        exact=True,  # keeps the colors of transparent pixels
        quality=_LOSSLESS_EFFORT if encoding.quality is None else encoding.quality,
        method=_WEBP_EFFORT,
        icc_profile=srgb_profile(),
        exif=block,
        xmp=_packet(photo, made, has_comment=False),
    )
    return file.getvalue()
