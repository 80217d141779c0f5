"""Why image files are rejected: the fixed reasons, the limits, and the checks that several readers share."""

from typing import NamedTuple

from colorize.sharding import jpeg
from colorize.sharding.formats import HEIC_REMEDY

MIN_SIDE = 16  # pixels; there is nothing to learn from smaller images
MAX_SCANS = 256  # of a progressive JPEG; encoders write about 10, and each scan takes a pass over the whole image

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


class Reject(Exception):
    """An image that is not used; the reason is one of `REASONS`, so that rejections can be counted."""

    def __init__(self, reason: str):
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason

    def __reduce__(self) -> tuple:
        """Pickle only the reason, so that a worker process can send the exception."""
        return Reject, (self.reason,)


class Limits(NamedTuple):
    """The largest image that is decoded."""

    pixels: int  # width times height; half of it for JPEG 2000 and AVIF
    bytes: int  # length of its file


def check_header(limits: Limits, width: int, height: int, bits: int = 8, max_bits: int = 8) -> None:
    """Reject an image whose size or number of bits per channel is outside the limits."""
    if width * height > limits.pixels:
        raise Reject(TOO_LARGE)
    if min(width, height) < MIN_SIDE:
        raise Reject(TOO_SMALL)
    if bits > max_bits:
        raise Reject(DEEP)


def check_scans(header: jpeg.Header | None, data: bytes | memoryview) -> None:
    """Reject a JPEG with too many scans; `header` is the result of `jpeg.read_header`."""
    if (header is None or header.is_progressive) and jpeg.count_scans(data) > MAX_SCANS:
        raise Reject(TOO_LARGE)


def reason_for(error: Exception) -> str:
    """The reason for a file that a decoder refuses with this error."""
    text = str(error).lower()
    is_cut = any(words in text for words in ("truncated", "premature end of jpeg file", "unexpected end"))
    return TRUNCATED if is_cut or isinstance(error, EOFError) else DAMAGED
