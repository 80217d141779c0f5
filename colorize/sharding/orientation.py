"""Read the orientation of a photo from its EXIF (CIPA DC-008), or from its XMP if the EXIF has none."""

import re
import struct

from PIL import Image as Pillow

from colorize.sharding.silence import silence

_TAG, _SHORT = 0x0112, 3
_ORDERS = {b"Exif\0\0II*\0\x08\0\0\0": "<", b"Exif\0\0MM\0*\0\0\0\x08": ">"}  # start of nearly all EXIF -> byte order
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def read(exif: bytes | None, xmp: bytes | None) -> int:
    """Orientation as in EXIF: 1 to 8, or 1 if there is none. Other values of EXIF are returned, but have no meaning."""
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
    """The orientation in EXIF of the usual form, 0 if it is missing; None if the EXIF has another form."""
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
        with silence():  # Pillow warns about odd metadata
            parsed.load(exif)
            return (parsed[_TAG] or 1) if _TAG in parsed else 0
    except Exception:  # damaged EXIF raises almost any exception in Pillow; the pixels may be intact
        return 0
