"""How a photo must be turned, from its EXIF (CIPA DC-008) or, where that says nothing, its XMP."""

import re
import struct
import warnings

from PIL import Image as Pillow

_TAG, _SHORT = 0x0112, 3
_ORDERS = {b"Exif\0\0II*\0\x08\0\0\0": "<", b"Exif\0\0MM\0*\0\0\0\x08": ">"}  # how EXIF begins, nearly always
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def read(exif: bytes | None, xmp: bytes | None) -> int:
    """Orientation as in EXIF, 1 to 8; other values mean nothing, and 1 stands for a photo that has none."""
    found = None
    if exif:
        found = _read_plain(exif)
        if found is None:
            found = _ask_pillow(exif)
    if not found and xmp:
        in_xmp = _IN_XMP.search(xmp)
        return int(in_xmp[1]) if in_xmp else 1
    return found or 1


def _read_plain(exif: bytes) -> int | None:
    """The tag in a directory of the usual form, 0 where it is not there; None where the form is another."""
    order = _ORDERS.get(exif[:14])
    if order is None or len(exif) < 16:
        return None
    (count,) = struct.unpack_from(order + "H", exif, 14)
    entries = exif[16 : 16 + 12 * count]
    if len(entries) != 12 * count:
        return None
    found = [entry for entry in struct.iter_unpack(order + "HHIHxx", entries) if entry[0] == _TAG]
    if not found:
        return 0
    return found[0][3] or 1 if len(found) == 1 and found[0][1:3] == (_SHORT, 1) else None


def _ask_pillow(exif: bytes) -> int:
    parsed = Pillow.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            parsed.load(exif)
        return (parsed[_TAG] or 1) if _TAG in parsed else 0
    except Exception:  # Pillow raises almost anything on damaged EXIF, which says nothing about the pixels
        return 0
