"""What a result takes over from the file of its photo: EXIF, resolution, texts, and how a JPEG or WebP was encoded.

Kept are EXIF without orientation and thumbnail, the notes of cameras included (`exif.py`), the resolution, the comment,
and the XMP properties that describe the photo (`xmp.py`): title, description, keywords, author, rights, dates, place.
Texts in IPTC's older form and in PNGs become XMP properties. All other XMP, such as the history of edits, is dropped,
and so are preview pictures. Damaged metadata is dropped too, and a note says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from PIL import IptcImagePlugin, JpegImagePlugin
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from colorize.photos import exif, mark, xmp
from colorize.sharding import conversion

EXIF_DROPPED = "unusable EXIF dropped"
XMP_DROPPED = "unusable XMP dropped"
SHORTENED = "long texts shortened"

_MAX_CHUNKS = 20  # of a WebP before its pixels; most have two
_MAX_DPI = 65_535  # pixels per inch that a JPEG can hold
_XMP_TAG = 700  # of a TIFF
_IPTC = {  # IPTC's Information Interchange Model, record 2: number of the field -> XMP property
    5: "dc:title",
    25: "dc:subject",
    55: "photoshop:DateCreated",
    80: "dc:creator",
    90: "photoshop:City",
    92: "Iptc4xmpCore:Location",
    95: "photoshop:State",
    101: "photoshop:Country",
    105: "photoshop:Headline",
    110: "photoshop:Credit",
    115: "photoshop:Source",
    116: "dc:rights",
    120: "dc:description",
}
_PNG_TEXTS = {"Title": "dc:title", "Author": "dc:creator", "Description": "dc:description", "Copyright": "dc:rights"}

# The standard table for luma (ITU-T T.81, annex K), which libjpeg uses at quality 50
_LUMA = (16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
         51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
         120, 101, 72, 92, 95, 98, 112, 100, 103, 99)  # fmt: skip

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Kept:
    """What a result takes over."""

    exif: bytes = b""  # without the name "Exif" at its start; empty if there is none
    dpi: tuple[float, float] | None = None  # pixels per inch, horizontally and vertically
    comment: str = ""
    xmp: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # properties, see xmp.py
    quality: int | None = None  # of a JPEG, estimated from its tables
    subsampling: str | None = None  # of a JPEG in color: "4:4:4" or "4:2:0", which also stands for all others
    is_lossless: bool = False  # a WebP that is compressed without loss


def keep(photo: ImageFile, data: bytes | memoryview) -> tuple[Kept, list[str]]:
    """Collect what the result takes over.

    Args:
        photo: an opened file, whose pixels need not be loaded.
        data: the whole file.

    Returns:
        What is kept, and notes about what is damaged and dropped.
    """
    notes: list[str] = []
    turn = _tolerant(lambda: conversion.metadata_of(photo)[0], None)
    is_sideways = turn in _SIDEWAYS
    width, height = photo.size[::-1] if is_sideways else photo.size
    block = _or_note(lambda: exif.clean(_exif_of(photo, data), width, height, is_sideways), b"", EXIF_DROPPED, notes)
    dpi = _plausible(lambda: _dpi_of(photo))
    dpi = dpi[::-1] if dpi and is_sideways else dpi
    properties, is_whole = xmp.fitting(_properties_of(photo, notes))
    comment = _tolerant(lambda: _comment_of(photo), "")
    longest = max(map(len, (comment, *(value for values in properties.values() for value in values))))
    notes += [] if is_whole and longest < xmp.MAX_LENGTH else [SHORTENED]
    kept = Kept(
        exif=block,
        dpi=dpi or _plausible(lambda: exif.resolution(block)),
        comment=comment,
        xmp=properties,
        quality=_tolerant(lambda: _quality_of(photo), None),
        subsampling=_tolerant(lambda: _subsampling_of(photo), None),
        is_lossless=photo.format == "WEBP" and _is_lossless(data),
    )
    return kept, notes


_SIDEWAYS = {conversion.UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}


def _tolerant(read: Callable[[], _Value], default: _Value) -> _Value:
    try:
        return read()
    except Exception:  # damaged metadata raises almost any exception in Pillow; the pixels may be intact
        return default


def _or_note(read: Callable[[], _Value], default: _Value, note: str, notes: list[str]) -> _Value:
    """The value; or the default and a note if the metadata is damaged."""
    try:
        return read()
    except Exception:  # see `_tolerant`
        notes.append(note)
        return default


def _exif_of(photo: ImageFile, data: bytes | memoryview) -> bytes:
    if isinstance(photo, JpegImageFile):
        found = conversion.metadata_of_jpeg(photo).exif
    elif isinstance(photo, TiffImageFile):
        has_any = not exif.DESCRIPTIVE.isdisjoint(photo.tag_v2)
        found = exif.of_tiff(data, photo.tell()) if has_any else None
    else:
        found = photo.info.get("exif")
    return found or exif.EMPTY


def _dpi_of(photo: ImageFile) -> tuple[float, float] | None:
    """The resolution outside EXIF. Pillow guesses if a JPEG has no density there, and if a TIFF has no resolution."""
    if isinstance(photo, JpegImageFile) and photo.info.get("jfif_unit") not in (1, 2):
        return None
    return photo.info.get("dpi")


def _plausible(read: Callable[[], tuple[float, float] | None]) -> tuple[float, float] | None:
    """A resolution that all formats can hold; None for any other value."""

    def rounded() -> tuple[float, float]:
        across, down = read() or (0, 0)
        return round(float(across), 2), round(float(down), 2)

    found = _tolerant(rounded, (0.0, 0.0))
    return found if all(1 < value <= _MAX_DPI for value in found) else None


def _comment_of(photo: ImageFile) -> str:
    """The comment of a JPEG, GIF or PNG, but not that of an earlier result."""
    if photo.format == "JPEG2000":  # there, encoders write their names
        return ""
    found = photo.info.get("comment") or photo.info.get("Comment") or ""
    text = _decoded(found) if isinstance(found, bytes) else str(found)
    cleaned = "".join(xmp.clean([text]))
    return "" if cleaned == mark.COMMENT else cleaned


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


# --- texts as XMP properties -----------------------------------------------------------------------------------------


def _properties_of(photo: ImageFile, notes: list[str]) -> dict[str, tuple[str, ...]]:
    """Properties from the XMP, then those missing there from IPTC's older form and the texts of a PNG."""
    packet = _tolerant(lambda: _packet_of(photo), b"")
    nothing: dict[str, tuple[str, ...]] = {}
    parsed = _or_note(lambda: xmp.parse(packet) if packet else nothing, nothing, XMP_DROPPED, notes)
    found = {key: values for key, values in parsed.items() if key in xmp.DESCRIPTIVE}
    for key, values in _tolerant(lambda: _iptc_of(photo), nothing).items():
        found.setdefault(key, values)
    for name, key in _PNG_TEXTS.items() if photo.format == "PNG" else ():
        if values := xmp.clean([str(photo.info.get(name, ""))]):
            found.setdefault(key, values)
    return found


def _packet_of(photo: ImageFile) -> bytes:
    if isinstance(photo, JpegImageFile):
        return conversion.metadata_of_jpeg(photo).xmp or b""
    if isinstance(photo, TiffImageFile):
        found = photo.tag_v2.get(_XMP_TAG, b"")
        return found if isinstance(found, bytes) else bytes(found)
    found = photo.info.get("xmp", b"")
    return found if isinstance(found, bytes) else str(found).encode()


def _iptc_of(photo: ImageFile) -> dict[str, tuple[str, ...]]:
    found = {}
    for (record, number), values in (IptcImagePlugin.getiptcinfo(photo) or {}).items():
        cleaned = xmp.clean([_decoded(value) for value in (values if isinstance(values, list) else [values])])
        if record == 2 and number in _IPTC and cleaned:
            found[_IPTC[number]] = cleaned
    return found


# --- encoding of a WebP and of a JPEG --------------------------------------------------------------------------------


def _is_lossless(data: bytes | memoryview) -> bool:
    """Whether the pixels of a WebP are in a chunk without loss (RFC 9649)."""
    position = 12
    for _ in range(_MAX_CHUNKS):
        kind, length = bytes(data[position : position + 4]), int.from_bytes(data[position + 4 : position + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8L"
        position += 8 + length + length % 2
    return False


def _quality_of(photo: ImageFile) -> int | None:
    """The quality, 1 to 100, at which the tables of libjpeg are most similar to the first table of a JPEG."""
    if not isinstance(photo, JpegImageFile):
        return None
    total = sum(photo.quantization[photo.layer[0][3]])
    return min(range(1, 101), key=lambda quality: (abs(_sum_of_table(quality) - total), -quality))


@functools.cache
def _sum_of_table(quality: int) -> int:
    """Sum of the luma table that libjpeg uses at a quality."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(max((value * scale + 50) // 100, 1), 255) for value in _LUMA)


def _subsampling_of(photo: ImageFile) -> str | None:
    if not isinstance(photo, JpegImageFile) or photo.layers != 3:
        return None
    return "4:4:4" if JpegImagePlugin.get_sampling(photo) == 0 else "4:2:0"
