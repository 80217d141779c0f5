"""Small real files to damage: photographs that installed packages ship, in every encoding that the policy knows."""

import functools
import importlib.util
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

_PHOTOS = {  # package, file, size of the small copy
    "china": ("sklearn", "datasets/images/china.jpg", (48, 40)),
    "flower": ("sklearn", "datasets/images/flower.jpg", (64, 64)),
    "astronaut": ("skimage", "data/astronaut.png", (40, 56)),
    "cat": ("skimage", "data/chelsea.png", (33, 17)),
}
XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'
SHORT_SEGMENTS = (  # of a JPEG: markers and contents that Pillow cannot read and libjpeg skips
    (0xE0, b"JFIF"),
    (0xE0, b"JFIF\0\1"),
    (0xEE, b"Adobe"),
    (0xED, b"Photoshop 3.0\08BIM\4\4"),
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@functools.cache
def photo(name: str) -> Image.Image:
    package, file, size = _PHOTOS[name]
    path = Path(importlib.util.find_spec(package).origin).parent / file
    with Image.open(path) as picture:
        small = picture.convert("RGB").resize(size, Image.Resampling.BOX)
    small.info.clear()  # Pillow would write its profile into every copy
    return small


def encoded(picture: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, "camera"
    return tags.tobytes()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def deep(picture: Image.Image) -> Image.Image:
    """The picture in gray, with 16 bits."""
    return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)


def foreign_profile() -> bytes:
    """sRGB with red and blue exchanged."""
    tags = {SRGB[at : at + 4]: at + 4 for at in range(132, 132 + 12 * SRGB[131], 12)}
    profile, (red, blue) = bytearray(SRGB), (tags[b"rXYZ"], tags[b"bXYZ"])
    profile[red : red + 8], profile[blue : blue + 8] = SRGB[blue : blue + 8], SRGB[red : red + 8]
    return bytes(profile)


def interlaced(picture: Image.Image) -> bytes:
    """A PNG in Adam7, which Pillow does not write."""
    rgb, rows = np.asarray(picture), b""
    for y, x, down, right in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        part = rgb[y::down, x::right]
        rows += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _jpegs() -> dict[str, bytes]:
    china, flower, cat = photo("china"), photo("flower"), photo("cat")
    baseline = encoded(flower, "JPEG", quality=85)
    behind = baseline.index(b"\xff\xda")
    padded = baseline[:-2] + bytes(20) + baseline[-2:]
    return {
        "baseline": baseline,
        "padding": padded,
        "padding, EXIF": padded[:2] + segment(0xE1, exif(6)) + padded[2:],
        "no end mark": baseline[:-2],
        "trailer instead of an end mark": baseline[:-2] + b"a camera wrote this" * 9,
        "bytes before a marker": baseline[:20] + b"ab" + baseline[20:],
        "new JFIF": baseline[:11] + b"\2" + baseline[12:],
        "MPO": encoded(flower, "MPO", save_all=True, append_images=[flower, china]),
        "4:4:4": encoded(china, "JPEG", quality=95, subsampling=0),
        "4:2:2": encoded(china, "JPEG", quality=40, subsampling=1),
        "odd size": encoded(cat, "JPEG"),
        "own tables": encoded(flower, "JPEG", optimize=True),
        "progressive": encoded(flower, "JPEG", progressive=True),
        "progressive, EXIF": encoded(china, "JPEG", progressive=True, exif=exif(8)),
        "gray": encoded(china.convert("L"), "JPEG"),
        "gray, profile": encoded(china.convert("L"), "JPEG", icc_profile=SRGB),
        "CMYK": encoded(china.convert("CMYK"), "JPEG"),
        "EXIF": encoded(china, "JPEG", exif=exif(6)),
        "EXIF, upright": encoded(china, "JPEG", exif=exif(1)),
        "EXIF behind the frame": baseline[:behind] + segment(0xE1, exif(5)) + baseline[behind:],
        "XMP": encoded(china, "JPEG", xmp=XMP.split(b"\0")[1] % 3),
        "EXIF and XMP": baseline[:2] + segment(0xE1, exif(1)) + segment(0xE1, XMP % 3) + baseline[2:],
        "sRGB": encoded(china, "JPEG", icc_profile=SRGB),
        "profile": encoded(china, "JPEG", icc_profile=foreign_profile()),
        "restart markers": encoded(flower, "JPEG", restart_marker_rows=1),
        "fill bytes": baseline[:2] + b"\xff\xff" + baseline[2:behind] + b"\xff" + baseline[behind:],
        "comment": encoded(flower, "JPEG", comment=b"a comment"),
        "two in one": encoded(flower, "MPO", save_all=True, append_images=[cat], exif=exif(3)),
    }


def _pngs() -> dict[str, bytes]:
    china, flower = photo("china"), photo("flower")
    alpha = flower.convert("RGBA")
    alpha.putalpha(flower.convert("L"))
    plain = encoded(china, "PNG")

    def with_chunk(kind: bytes, content: bytes) -> bytes:
        return plain[:33] + chunk(kind, content) + plain[33:]

    return {
        "RGB": plain,
        "RGBA": encoded(alpha, "PNG"),
        "gray": encoded(china.convert("L"), "PNG"),
        "gray, alpha": encoded(alpha.convert("LA"), "PNG"),
        "palette": encoded(china.quantize(64), "PNG"),
        "palette, transparent": encoded(china.quantize(32), "PNG", transparency=bytes(range(0, 256, 8))),
        "1 bit": encoded(china.convert("1"), "PNG"),
        "16 bit": encoded(deep(china), "PNG"),
        "interlaced": interlaced(flower),
        "gAMA": with_chunk(b"gAMA", struct.pack(">I", 100_000)),
        "cHRM": with_chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),
        "sRGB": with_chunk(b"sRGB", b"\0"),
        "tRNS": with_chunk(b"tRNS", struct.pack(">HHH", *china.getpixel((5, 5)))),
        "profile": encoded(china, "PNG", icc_profile=foreign_profile()),
        "EXIF": encoded(china, "PNG", exif=exif(6)),
        "animated": encoded(china, "PNG", save_all=True, append_images=[china.rotate(90)]),
    }


def _others() -> dict[str, bytes]:
    china, flower = photo("china"), photo("flower")
    alpha = flower.convert("RGBA")
    alpha.putalpha(flower.convert("L"))
    return {
        "WebP": encoded(flower, "WEBP"),
        "WebP, lossless": encoded(china, "WEBP", lossless=True),
        "WebP, alpha": encoded(alpha, "WEBP"),
        "WebP, EXIF and profile": encoded(china, "WEBP", exif=exif(6), icc_profile=foreign_profile()),
        "WebP, animated": encoded(china, "WEBP", save_all=True, append_images=[china.rotate(90)]),
        "TIFF": encoded(china, "TIFF"),
        "TIFF, LZW": encoded(china, "TIFF", compression="tiff_lzw", exif=exif(6)),
        "TIFF, deflate": encoded(alpha, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF, JPEG": encoded(flower, "TIFF", compression="jpeg"),
        "TIFF, CMYK": encoded(china.convert("CMYK"), "TIFF"),
        "BMP": encoded(china, "BMP"),
        "BMP, palette": encoded(china.quantize(64), "BMP"),
        "BMP, alpha": encoded(alpha, "BMP"),
        "GIF": encoded(china.quantize(64), "GIF"),
        "GIF, transparent": encoded(china.quantize(64), "GIF", transparency=3),
        "GIF, animated": encoded(china.quantize(16), "GIF", save_all=True, append_images=[flower.quantize(16)]),
        "PPM": encoded(china, "PPM"),
        "PGM": encoded(china.convert("L"), "PPM"),
        "PGM, 16 bit": encoded(deep(china), "PPM"),
        "TIFF, 16 bit": encoded(deep(china), "TIFF"),
        "TIFF, 16 bit, deflate": encoded(deep(china), "TIFF", compression="tiff_adobe_deflate"),
        "TIFF, pages": encoded(china, "TIFF", save_all=True, append_images=[flower]),
        "AVIF": encoded(china, "AVIF", speed=10),
        "AVIF, alpha": encoded(alpha, "AVIF", speed=10),
        "AVIF, EXIF": encoded(china, "AVIF", speed=10, exif=exif(6)),
        "JPEG 2000": encoded(china, "JPEG2000"),
        "JPEG 2000, tiles": encoded(flower, "JPEG2000", tile_size=(32, 32), no_jp2=True),
        "JPEG 2000, 16 bit": encoded(deep(china), "JPEG2000"),
    }


@functools.cache
def files() -> dict[str, dict[str, bytes]]:
    """Files by family and name."""
    return {"JPEG": _jpegs(), "PNG": _pngs(), "other": _others()}
