"""Our readers beside the libraries': every answer that differs, unless `reasons.py` explains it."""

import contextlib
import functools
import io
import warnings
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from colorize.sharding import conversion, images, jpeg, png

TOLERANCE = 1.0  # mean, levels; two builds of libjpeg differ by one here and there
LARGE = 2_000_000  # pixels; from here only the answers are compared, for the pixels would fill the memory


class Difference(NamedTuple):
    """Two readers, two answers."""

    kind: str
    text: str


class Case:
    """One file, and what each reader makes of it."""

    def __init__(self, data: bytes):
        """Ask all of them."""
        self.data = data
        self.photo, self.error = _pillows(data)  # Pillow's, not yet upright
        self.is_loaded = self.photo is not None and self.photo.width * self.photo.height < LARGE
        self.opened, self.open_reason = _asked(images.open_rgb, data)
        side = 32 if self.opened is None else max(min(self.opened.size), images.MIN_SIDE)
        place = np.full((side, side, 3), (255, 0, 255), np.uint8)  # pixels of an earlier photo
        self.decoded, self.decode_reason = _asked(images.decode, data, side, out=place)
        self.side = side

    @property
    def format(self) -> str | None:
        """Pillow's name of the format; an MPO is a JPEG."""
        return self.photo and {"MPO": "JPEG"}.get(self.photo.format, self.photo.format)

    @functools.cached_property
    def is_strictly_read(self) -> bool:
        """Whether libjpeg decodes the file without a complaint."""
        for space in ("RGB", "CMYK"):
            with contextlib.suppress(ValueError):
                simplejpeg.decode_jpeg(self.data, space, min_height=1, min_width=1, strict=True)
                return True
        return False

    @functools.cached_property
    def profile(self) -> bytes | None:
        """The profile that Pillow found."""
        return self.photo.info.get("icc_profile")


def _pillows(data: bytes) -> tuple[Image.Image | None, str | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            photo = Image.open(io.BytesIO(data), formats=images.FORMATS)
            if photo.width * photo.height < LARGE:
                photo.load()
                photo.convert("RGB")  # what cannot be shown is not taken
            return photo, None
    except Exception as error:  # Pillow raises almost anything
        return None, repr(error)


def _asked(reader, *arguments, **options):
    try:
        return reader(*arguments, **options), None
    except images.Reject as reject:
        return None, reject.reason


def differences(case: Case) -> list[Difference]:
    """Everything that two readers of a file say differently."""
    found = _headers(case)
    if case.decode_reason != case.open_reason:
        found.append(Difference("paths", f"decode says {case.decode_reason}, open_rgb {case.open_reason}"))
    if case.photo is None and case.opened is not None:
        found.append(Difference("taken", f"taken, Pillow refuses: {case.error}"))
    if case.is_loaded and case.opened is None:
        found.append(Difference("refused", f"refused as {case.open_reason}, Pillow takes it"))
    if case.is_loaded and case.opened is not None:
        found += _pictures(case)
    if case.opened is not None and case.decoded is not None and case.side**2 < LARGE:
        square = images.fit_square(case.opened, case.side)
        if (distance := _distance(square, case.decoded.rgb)) > TOLERANCE:
            found.append(Difference("paths", f"decode and open_rgb are {distance:.1f} levels apart"))
    return found


def _headers(case: Case) -> list[Difference]:
    found = []
    header = jpeg.read_header(case.data)
    if header is not None and header != jpeg.parse(case.data)[0]:
        found.append(Difference("header", "the remembered JPEG header is not that of the file"))
    if header is not None and case.format == "JPEG":
        if (header.width, header.height) != case.photo.size:
            found.append(Difference("header", f"JPEG of {header[:2]}, Pillow's of {case.photo.size}"))
        if header.metadata.profile != case.profile:
            found.append(Difference("profile", "another profile than Pillow's"))
    if case.format == "PNG":
        with contextlib.suppress(ValueError):
            if (size := png.read_header(case.data)[:2]) != case.photo.size:
                found.append(Difference("header", f"PNG of {size}, Pillow's of {case.photo.size}"))
    return found


def _pictures(case: Case) -> list[Difference]:
    """Our whole photo beside Pillow's, upright and on white."""
    found, photo, theirs = [], case.photo, None
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = conversion.UPRIGHT.get(photo.getexif().get(0x0112))
    turn = conversion.metadata_of(photo)[0]
    if turn != theirs:
        found.append(Difference("orientation", f"{turn}, Pillow's {theirs}"))
    photo = photo if turn is None else photo.transpose(turn)
    if photo.size != case.opened.size:
        return [*found, Difference("size", f"{case.opened.size}, Pillow's {photo.size}")]
    if photo.mode.startswith("I"):
        expected = np.asarray(photo, float)[..., None] / 257
    elif photo.has_transparency_data:
        rgba = np.asarray(photo.convert("RGBA"), float)
        alpha = rgba[..., 3:] / 255
        expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    else:
        expected = np.asarray(photo.convert("RGB"), float)
    distance = _distance(np.asarray(case.opened), expected)
    return [*found, Difference("pixels", f"{distance:.1f} levels apart")] if distance > TOLERANCE else found


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())
