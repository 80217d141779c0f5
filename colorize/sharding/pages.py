"""Choose the page of a file that holds several pictures: a TIFF of many pages, or an MPO, a JPEG with further JPEGs.

Thumbnails, previews and masks do not count as pages. Of several pages, the first is used.
"""

import struct

from PIL.TiffImagePlugin import TiffImageFile

from colorize.sharding import jpeg

SEVERAL = "first of several pages used"

_MAX_PAGES = 64  # that are examined; a TIFF may claim millions
_KIND, _OLD_KIND, _REDUCED_OR_MASK = 254, 255, 0b101  # tags of TIFF 6.0: NewSubfileType, SubfileType, and its bits
_OLD_REDUCED = 2

_MP_ENTRIES, _MP_ENTRY = 0xB002, struct.Struct("IIIHH")  # CIPA DC-007: attributes, length, offset, two dependent images
_MP_PICTURES = (0x020001, 0x020002, 0x020003)  # panorama, disparity (3D), several angles
_MP_UNDEFINED = 0


def choose_in_tiff(photo: TiffImageFile) -> list[str]:
    """Go to the first full page of a TIFF; returns [SEVERAL] if there is another one, otherwise [].

    Raises:
        Exception: almost any, if the file is damaged before the first full page.
    """
    first = None
    for number in range(_MAX_PAGES):
        try:
            photo.seek(number)
            is_full = _is_full(photo)
        except EOFError:  # the last page was the one before
            break
        except Exception:
            if first is None:
                raise
            break  # the page that is used is intact
        if is_full and first is not None:
            photo.seek(first)
            return [SEVERAL]
        if is_full:
            first = number
    photo.seek(first or 0)
    return []


def _is_full(photo: TiffImageFile) -> bool:
    kind, old = photo.tag_v2.get(_KIND, 0), photo.tag_v2.get(_OLD_KIND, 0)
    return not kind & _REDUCED_OR_MASK and old != _OLD_REDUCED


def notes_of_jpeg(mpf: bytes | None, data: bytes | memoryview) -> list[str]:
    """[SEVERAL] for a JPEG that is followed by other full pictures, otherwise [].

    Args:
        mpf: `Metadata.mpf` of the JPEG.
        data: the whole file.
    """
    try:
        return [SEVERAL] if mpf is not None and _has_another_picture(mpf, data) else []
    except struct.error:  # a damaged index; the first picture is intact
        return []


def _has_another_picture(mpf: bytes, data: bytes | memoryview) -> bool:
    order = "<" if mpf[:2] == b"II" else ">"
    (position,) = struct.unpack_from(order + "I", mpf, 4)
    (count,) = struct.unpack_from(order + "H", mpf, position)
    start = bytes(data[: 1 << 20]).find(mpf)  # offsets count from here
    for tag, _, length, at in struct.iter_unpack(order + "HHII", mpf[position + 2 : position + 2 + 12 * count]):
        if tag == _MP_ENTRIES:
            entries = struct.iter_unpack(order + _MP_ENTRY.format, mpf[at : at + length])
            return any(_is_picture(attributes, data, start + offset) for attributes, _, offset, *_ in entries if offset)
    return False


def _is_picture(attributes: int, data: bytes | memoryview, position: int) -> bool:
    """Whether an entry of the index is a picture as large as the first one. Previews and gain maps are smaller."""
    kind = attributes & 0xFFFFFF
    if kind != _MP_UNDEFINED:
        return kind in _MP_PICTURES
    first, other = jpeg.parse(data)[0], jpeg.parse(data[position:])[0]
    return first is not None and other is not None and first[:2] == other[:2]
