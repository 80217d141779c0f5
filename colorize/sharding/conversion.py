"""Turn decoded photos upright, and convert them to sRGB: orientation, palettes, alpha, CMYK and color profiles."""

from typing import NamedTuple

from PIL import Image as Pillow
from PIL.JpegImagePlugin import JpegImageFile

from colorize.sharding import depth, jpeg, orientation, profiles

UPRIGHT = {  # EXIF orientation -> operation that turns the photo upright
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112
TURNED, EMPTY_ALPHA, BLENDED = "orientation applied", "empty alpha ignored", "alpha blended onto white"


class Layers(NamedTuple):
    """An upright photo in sRGB of 8 bits."""

    color: Pillow.Image  # mode RGB, or L if the photo has no color
    alpha: Pillow.Image | None  # mode L


def to_srgb(photo: Pillow.Image, notes: list[str]) -> Pillow.Image:
    """Turn a photo upright, blend its alpha and convert it to sRGB of 8 bits. Conversions are added to the notes."""
    held = [photo]
    del photo  # so that `separate` can free it
    color, alpha = separate(held.pop(), notes)
    color = color if color.mode == "RGB" else color.convert("RGB")
    return color if alpha is None else on_white(color, alpha)


def separate(photo: Pillow.Image, notes: list[str]) -> Layers:
    """Like `to_srgb`, but without blending, so that the note `BLENDED` only says that there is alpha."""
    turn, profile = metadata_of(photo)
    if depth.is_deep_gray(photo):
        photo = depth.reduce(photo)
    if turn is not None:
        photo = photo.transpose(turn)
        notes.append(TURNED)
    if photo.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
        notes.append(f"{ {'P': 'palette', 'PA': 'palette'}.get(photo.mode, photo.mode.lower()) } converted")
    photo, alpha = _split_alpha(photo)
    if alpha is not None and alpha.getextrema() == (0, 0):  # programs without support for alpha leave zeros
        alpha = None
        notes.append(EMPTY_ALPHA)
    elif alpha is not None:
        notes.append(BLENDED)
    if profile:  # it describes the stored colors, so it is applied before white is blended in
        photo, done = profiles.apply(photo, profile)
        notes += [done] if done else []
    return Layers(photo if photo.mode in ("L", "RGB") else photo.convert("RGB"), alpha)


def metadata_of(photo: Pillow.Image) -> tuple[Pillow.Transpose | None, bytes | None]:
    """The operation that turns a loaded photo upright, and its ICC profile; each is None if there is none."""
    if isinstance(photo, JpegImageFile):  # as in `_is_upright_srgb`, so that both ways of decoding agree
        exif, xmp, profile, _ = metadata_of_jpeg(photo)
        return UPRIGHT.get(orientation.read(exif, xmp)), profile
    profile = profiles.of_png(photo.info) if photo.format == "PNG" else photo.info.get("icc_profile")
    try:
        return UPRIGHT.get(photo.getexif().get(_ORIENTATION_TAG, 1)), profile
    except Exception:  # damaged EXIF raises almost any exception in Pillow; the pixels may be intact
        return None, profile


def metadata_of_jpeg(photo: JpegImageFile) -> jpeg.Metadata:
    """The metadata of a JPEG, read in the same way as by `jpeg.read_header`."""
    return jpeg.gather((int(name[3:]), content) for name, content in photo.applist if name.startswith("APP"))


def _split_alpha(photo: Pillow.Image) -> tuple[Pillow.Image, Pillow.Image | None]:
    """Colors in mode L, RGB or CMYK, and the alpha channel if there is one."""
    is_gray = photo.mode in ("1", "L", "LA", "La")
    alpha = None
    if photo.has_transparency_data:
        photo = photo if photo.mode == "RGBA" else photo.convert("RGBA")
        alpha = photo.getchannel("A")
        if is_gray:
            return photo.getchannel("R"), alpha
    if photo.mode in ("L", "RGB", "CMYK"):
        return photo, alpha
    return photo.convert("L" if is_gray else "RGB"), alpha


def on_white(photo: Pillow.Image, alpha: Pillow.Image) -> Pillow.Image:
    """Blend a photo of mode RGB or L onto white, so that the stored colors of transparent pixels do not show."""
    white = Pillow.new(photo.mode, photo.size, "white")
    white.paste(photo, mask=alpha)
    return white
