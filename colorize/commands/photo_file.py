"""The file of a photo before it is decoded: its bytes, the format of its result, its number of pixels, why it fails."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path

from PIL import Image

from colorize.sharding import images, jpeg, png, webp
from colorize.sharding.images import Reject
from colorize.sharding.silence import silence

_PNG = b"\x89PNG"
_KINDS = {  # first bytes of a file -> format of its result
    b"\xff\xd8": "JPEG", _PNG: "PNG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF",
}  # fmt: skip


def reason_of(reject: Reject, max_pixels: int) -> str:
    """Why a photo cannot be used, and what to do."""
    megapixels = max_pixels / 1e6
    megabytes = images.limits(max_pixels).bytes >> 20
    limits = f"{megapixels:g} megapixels (JPEG 2000 and AVIF: {megapixels / 2:g}) and {megabytes} MiB"
    remedies = {
        images.DEEP: "more than 16 bits per channel, or a JPEG of 12 bits; convert it to 8 bits",
        images.TOO_LARGE: f"too large; the limits are {limits}; --max-megapixels raises them",
        images.TOO_SMALL: f"too small; each side needs at least {images.MIN_SIDE} pixels",
        images.TRUNCATED: "incomplete: its end is missing; copy or download it again",
        images.ANIMATED: "animated; save one frame of it as an image",
    }
    return remedies.get(reject.reason, reject.reason)


def read(path: Path, max_pixels: int) -> bytes:
    """Read a file; raise an error if it is not a regular file, or too large."""
    if not path.is_file():  # reading a named pipe or a device may never end
        raise OSError(None, "not a regular file")
    if path.stat().st_size > images.limits(max_pixels).bytes:
        raise Reject(images.TOO_LARGE)
    return path.read_bytes()


def kind_of(content: bytes) -> str:
    """The format of the result by the first bytes of the photo; the result is decided before the photo is decoded."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for start, kind in _KINDS.items() if content.startswith(start)), "PNG")


def num_pixels(content: bytes, max_pixels: int) -> int:
    """Number of pixels by the header, to plan the memory; `max_pixels` if the header does not tell it cheaply."""
    size: tuple[int, int] | None = None
    kind = kind_of(content)
    with contextlib.suppress(Exception):  # damaged headers raise almost any exception; `photo.read` finds the reason
        if kind == "JPEG":
            header = jpeg.read_header(content)
            size = (header.width, header.height) if header else None
        elif kind == "WEBP":
            size = webp.read_size(content)
        elif content.startswith(_PNG):
            size = png.read_header(content)[:2]
        else:
            with silence(), Image.open(io.BytesIO(content), formats=["TIFF", "BMP", "GIF", "PPM"]) as picture:
                size = picture.size
    return math.prod(size) if size else max_pixels
