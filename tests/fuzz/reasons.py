"""Why an answer of ours may differ from Pillow's: the whole list, each with a file that shows it.

Whatever none of them explains is a fault of ours, and fails the tests. That our two ways through the policy differ is
never explained.
"""

import contextlib
import io
import re
import struct
import warnings
import zlib

from PIL import Image

from colorize.sharding import avif, conversion, depth, images, jpeg, jpeg2000, png, profiles, tiff
from tests.fuzz import explained, samples
from tests.fuzz.compare import Case, Difference, differences
from tests.fuzz.explained import Reason


def unexplained(case: Case) -> list[Difference]:
    """The differences between the readers of an image that no reason explains."""
    return explained.unexplained(differences(case), case, REASONS)


# --- refused by us, taken by Pillow ----------------------------------------------------------------------------------


def _libjpeg_complains(case: Case) -> bool:
    is_reason = case.open_reason in (images.DAMAGED, images.TRUNCATED)
    return is_reason and case.format == "JPEG" and not case.is_strictly_read


def _png_is_damaged(case: Case) -> bool:
    if case.format != "PNG" or case.open_reason not in (images.DAMAGED, images.TRUNCATED):
        return False
    try:
        png.check_pixels(case.data)
    except (ValueError, zlib.error):
        return True
    return False


def _lacks_palette(case: Case) -> bool:
    return case.open_reason == images.DAMAGED and case.photo.mode == "P" and case.photo.palette is None


def _without_palette() -> bytes:
    data = samples.files()["PNG"]["palette"]
    at = data.index(b"PLTE") - 4
    return data[:at] + data[at + 12 + int.from_bytes(data[at : at + 4]) :]


def _is_animated(case: Case) -> bool:
    return case.open_reason == images.ANIMATED and getattr(case.photo, "is_animated", False)


def _is_damaged_behind(case: Case) -> bool:
    if case.open_reason not in (images.DAMAGED, images.TRUNCATED):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(io.BytesIO(case.data), formats=images.FORMATS).seek(1)
    except EOFError:  # no second frame
        return False
    except Exception:  # Pillow raises almost anything
        return True
    return False


def _is_deep(case: Case) -> bool:
    if case.open_reason != images.DEEP:
        return False
    if case.format == "JPEG2000":
        return jpeg2000.read_header(case.data).bits > depth.MAX_BITS
    tags = case.photo.tag_v2 if case.format == "TIFF" else {}
    is_misread = tags.get(284) == 2  # in planes, with bytes of 16 bits as if they were pixels
    return case.photo.mode in ("I", "F") or is_misread or max(tags.get(258, (1,))) > 16


def _has_bad_size(case: Case) -> bool:
    width, height = case.photo.size
    return (case.open_reason == images.TOO_SMALL and min(width, height) < images.MIN_SIDE) or (
        case.open_reason == images.TOO_LARGE and width * height > images.MAX_PIXELS
    )


def _lacks_strips(case: Case) -> bool:
    return case.open_reason == images.TRUNCATED and case.format == "TIFF" and not tiff.has_all_strips(case.photo)


def _too_few_strips() -> bytes:
    data = samples.files()["other"]["TIFF"]
    at = data.index(struct.pack("<HHI", 257, 4, 1))  # the height
    return data[: at + 8] + struct.pack("<I", 42) + data[at + 12 :]


def _bad_checksum() -> bytes:
    data = bytearray(samples.files()["PNG"]["RGB"])
    data[data.rindex(b"IEND") - 5] ^= 1
    return bytes(data)


def _damaged_scan() -> bytes:
    data = samples.files()["JPEG"]["restart markers"]
    at = data.index(b"\xff\xd1")  # the restart marker behind the second row of blocks
    return data[:at] + b"\xff\xd5" + data[at + 2 :]


def _damaged_second_frame() -> bytes:
    data = samples.files()["other"]["GIF, animated"]
    frame = data.rindex(b"\x21\xf9\x04") + 8
    return data[: frame + 10 + (6 << (data[frame + 9] & 7))]  # as far as its palette


def _lacks_tile_parts(case: Case) -> bool:
    if case.format != "JPEG2000" or case.open_reason not in (images.DAMAGED, images.TRUNCATED):
        return False
    try:
        jpeg2000.check_is_whole(case.data, jpeg2000.read_header(case.data))
    except ValueError:
        return True
    return False


def _without_a_tile() -> bytes:
    data = samples.files()["other"]["JPEG 2000, tiles"]
    second, third = (match.start() for match in list(re.finditer(b"\xff\x90\0\x0a", data))[1:3])
    return data[:second] + data[third:]


def _lacks_picture(case: Case) -> bool:
    if case.format != "AVIF" or case.open_reason != images.DAMAGED:
        return False
    try:
        avif.read_sizes(case.data)
    except ValueError as error:
        return "without a size" in str(error)
    return False


def _without_alpha() -> bytes:
    data = samples.files()["other"]["AVIF, alpha"]
    at = data.index(b"\0\1\0\0\0\1", data.index(b"iloc")) + 14  # behind the place of the first picture
    return data[:at] + b"\0\x82" + data[at + 2 :]


# --- taken by us, refused by Pillow ----------------------------------------------------------------------------------


def _is_mended(case: Case) -> bool:
    """Whether Pillow takes the mended file, and libjpeg has nothing to complain about."""
    mended = images._mend(case.data, images.limits())
    return mended is not None and _is_sound(mended)


def _has_short_segments(case: Case) -> bool:
    """The same for segments that libjpeg skips; the file may also need mending."""
    named = jpeg.without_short_segments(images._mend(case.data, images.limits()) or case.data)
    return named != case.data and not _is_mended(case) and _is_sound(named)


def _is_sound(data: bytes) -> bool:
    """Whether Pillow takes the file, and libjpeg complains about nothing but an incomplete profile."""
    with contextlib.suppress(ValueError):
        case = Case(jpeg.check_header(data) or data)
        return case.photo is not None and case.is_strictly_read
    return False


def _short_segment() -> bytes:
    data = samples.files()["JPEG"]["baseline"]
    return data[:2] + samples.segment(*samples.SHORT_SEGMENTS[0]) + data[2:]


def _other_marker_behind() -> bytes:
    return samples.files()["JPEG"]["baseline"][:-2] + b"\xff\xf0"


# --- other pixels ----------------------------------------------------------------------------------------------------


def _has_profile(case: Case) -> bool:
    profile = conversion.metadata_of(case.photo)[1]
    if profile is None:
        return False
    return not (case.photo.mode == "RGB" and profiles.is_srgb(profile))


def _is_deep_negative(case: Case) -> bool:
    return (
        case.format == "TIFF"
        and depth.is_deep_gray(case.photo)
        and case.photo.tag_v2.get(depth._PHOTOMETRIC) == depth._WHITE_IS_ZERO
    )


def _deep_negative() -> bytes:
    data = samples.files()["other"]["TIFF, 16 bit"]
    at = data.index(struct.pack("<HHI", depth._PHOTOMETRIC, 3, 1)) + 8
    return data[:at] + b"\0" + data[at + 1 :]


def _has_empty_alpha(case: Case) -> bool:
    photo = case.photo
    return photo.has_transparency_data and photo.convert("RGBA").getchannel("A").getextrema() == (0, 0)


def _has_broken_exif(case: Case) -> bool:
    """Pillow stops at the first damaged entry, and leaves the orientation behind it, or in XMP, unread."""
    exif, parsed = case.photo.info.get("exif"), Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parsed.load(exif)
    except Exception:  # Pillow raises almost anything on damaged EXIF
        return exif is not None
    return False


def _transparent() -> bytes:
    picture = samples.photo("china").convert("RGBA")
    picture.putalpha(0)
    return samples.encoded(picture, "PNG")


def _broken_exif() -> bytes:
    data, xmp = samples.files()["JPEG"]["baseline"], samples.segment(0xE1, samples.XMP % 3)
    return data[:2] + samples.segment(0xE1, b"Exif\0\0MM") + xmp + data[2:]


# --- another profile -------------------------------------------------------------------------------------------------


def _parts_of_profile(case: Case) -> list[bytes]:
    return [content[12:] for name, content in case.photo.applist if name == "APP2" and content[:12] == b"ICC_PROFILE\0"]


def _is_behind_frame(case: Case) -> bool:
    """Pillow joins the parts at the frame header and forgets the others; libjpeg takes them all, and so do we."""
    return case.profile != jpeg.gather((2, b"ICC_PROFILE\0" + part) for part in _parts_of_profile(case)).profile


def _profile_behind_frame() -> bytes:
    data = samples.files()["JPEG"]["baseline"]
    scan = data.index(b"\xff\xda")
    return data[:scan] + samples.segment(0xE2, b"ICC_PROFILE\0\1\1" + samples.SRGB) + data[scan:]


REASONS: dict[str, Reason] = {
    "libjpeg complains": Reason(
        "refused", "Pillow shows gray or stripes where data is missing", _libjpeg_complains, _damaged_scan
    ),
    "damaged PNG": Reason(
        "refused",
        "Pillow does not wait for the last checksums, and takes the last of two headers",
        _png_is_damaged,
        _bad_checksum,
    ),
    "JPEG 2000 without all tiles": Reason(
        "refused", "Pillow leaves the rest black", _lacks_tile_parts, _without_a_tile
    ),
    "AVIF without a picture": Reason("refused", "Pillow leaves the alpha out", _lacks_picture, _without_alpha),
    "mended JPEG": Reason("taken", "Pillow reads on behind the pixels", _is_mended, _other_marker_behind),
    "short segments": Reason("taken", "Pillow needs fields that nobody uses", _has_short_segments, _short_segment),
    "no palette": Reason("refused", "Pillow makes up a gray one", _lacks_palette, _without_palette),
    "TIFF without all strips": Reason("refused", "Pillow leaves the rest black", _lacks_strips, _too_few_strips),
    "animated": Reason("refused", "no photo", _is_animated, lambda: samples.files()["PNG"]["animated"]),
    "damage behind the first frame": Reason(
        "refused", "Pillow has not looked there", _is_damaged_behind, _damaged_second_frame
    ),
    "unsupported depth": Reason(
        "refused",
        "Pillow saturates or misreads it",
        _is_deep,
        lambda: samples.encoded(samples.photo("china").convert("F"), "TIFF"),
    ),
    "size": Reason(
        "refused", "limits of the policy", _has_bad_size, lambda: samples.encoded(Image.new("RGB", (15, 90)), "PNG")
    ),
    "profile": Reason("pixels", "Pillow converts none", _has_profile, lambda: samples.files()["PNG"]["gAMA"]),
    "deep negative": Reason("pixels", "Pillow inverts none of more than 8 bits", _is_deep_negative, _deep_negative),
    "empty alpha": Reason("pixels", "zero everywhere is no alpha", _has_empty_alpha, _transparent),
    "broken EXIF": Reason("orientation", "Pillow reads it no further, and no XMP", _has_broken_exif, _broken_exif),
    "profile in odd parts": Reason(
        "profile", "behind the frame, or not numbered as the ICC says", _is_behind_frame, _profile_behind_frame
    ),
}
