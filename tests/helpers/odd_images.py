"""Make small image files of every kind, ordinary and damaged, from one photo."""

import io
import re
import struct
import zlib

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, TiffImagePlugin

SIZE = 64  # pixels


def photo(width=SIZE, height=SIZE) -> Pillow.Image:
    """Red on the left, blue on the right, brighter downwards: shows every turn and every swapped channel."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return Pillow.fromarray(np.stack([220 - 200 * x, 40 + 150 * y, 20 + 200 * x], -1).astype(np.uint8))


def encoded(format: str, picture: Pillow.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    picture = photo() if picture is None else picture
    if format == "JPEG":
        options = {"quality": 95, "subsampling": 0} | options
    picture.save(file, format, **options)
    return file.getvalue()


def animated(format: str) -> bytes:
    return encoded(format, save_all=True, append_images=[photo().rotate(90)])


def with_alpha(alpha: int, mode: str = "RGBA") -> Pillow.Image:
    """The same alpha everywhere, but for one white pixel: zero everywhere would be no alpha."""
    picture = photo().convert(mode)
    picture.putalpha(alpha)
    picture.putpixel((0, 0), (255,) * (len(picture.getbands()) - 1) + (alpha or 1,))
    return picture


def photoshops(bitmap: bytes) -> bytes:
    """Pillow's BMP of 32 bits with a header of 56 bytes, whose last mask makes the fourth byte an alpha channel."""
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = bitmap[:2] + struct.pack("<IIII", len(bitmap) + 16, 0, 70, 56) + bitmap[18:30] + struct.pack("<I", 3)
    return head + bitmap[34:54] + masks + bitmap[54:]


def without_alpha(mode: str = "RGBA") -> Pillow.Image:
    """Of a program that leaves zeros where others keep alpha."""
    picture = photo().convert(mode)
    picture.putalpha(0)
    return picture


def oriented(value: int) -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[0x0112] = value
    return exif


def edited(data: bytes, at: int, content: bytes) -> bytes:
    """The bytes with some overwritten; a negative place counts from the end."""
    at %= len(data)
    return data[:at] + content + data[at + len(content) :]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width=SIZE, height=SIZE, bits=8, rows=SIZE, extra=b"") -> bytes:
    """An RGB PNG written by hand, which may claim what it does not hold."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    pixels = zlib.compress((b"\0" + bytes(SIZE * 3 * bits // 8)) * rows)
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def frame_of(data: bytes) -> int:
    """Where the frame header of a baseline JPEG starts."""
    return data.index(b"\xff\xc0")


def tiff_with(data: bytes, **values: int) -> bytes:
    """A TIFF with other values of some tags."""
    tags = {"width": 256, "height": 257}
    directory = struct.unpack_from("<I", data, 4)[0]
    for entry in range(directory + 2, directory + 2 + 12 * struct.unpack_from("<H", data, directory)[0], 12):
        for name, value in values.items():
            if struct.unpack_from("<H", data, entry)[0] == tags[name]:
                data = edited(data, entry + 2, struct.pack("<HII", 4, 1, value))
    return data


def tiff_of_few_strips() -> bytes:
    """Six strips are needed, three are listed; tags 273 and 279 hold their places and lengths."""
    data = encoded("TIFF", photo(96, 96), tiffinfo={278: 16})
    for tag in (273, 279):
        at = data.index(struct.pack("<HHI", tag, 4, 6))
        data = edited(data, at + 4, struct.pack("<I", 3))
    return data


def ycck() -> bytes:
    """Adobe's: CMYK inverted, its first three channels as luma and chroma; Pillow writes the same without that step."""
    negative = Pillow.eval(photo(), lambda level: 255 - level).convert("YCbCr")
    channels = Pillow.eval(negative, lambda level: 255 - level).split()
    data = encoded("JPEG", Pillow.merge("CMYK", (*channels, Pillow.new("L", (SIZE, SIZE), 0))))
    return edited(data, data.index(b"Adobe") + 11, b"\2")  # the transform


def swapped_profile() -> bytes:
    """sRGB with red and blue exchanged."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = {srgb[at : at + 4]: at + 4 for at in range(132, 132 + 12 * srgb[131], 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    return edited(edited(srgb, red, srgb[blue : blue + 8]), blue, srgb[red : red + 8])


def many_scans() -> bytes:
    """A progressive JPEG whose last scan comes a thousand times: a few kilobytes, hours at 50 million pixels."""
    data = encoded("JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * 1000 + data[-2:]


def edited_tag(tiff: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF of Pillow with another value of a tag of the type SHORT."""
    return edited(tiff, tiff.index(struct.pack("<HHI", tag, 3, 1)) + 8, struct.pack("<H", value))


def tiff_of_pages(*pages: tuple[Pillow.Image, int]) -> bytes:
    """A TIFF of pictures, each with its tag NewSubfileType: 1 is a thumbnail."""
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file, True) as writer:
        for picture, kind in pages:
            picture.save(writer, "TIFF", tiffinfo={254: kind})
            writer.newFrame()
    return file.getvalue()


def tiff_of_a_lost_page() -> bytes:
    """The directory of its second page is behind the end of the file."""
    data = animated("TIFF")
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    return edited(data, directory + 2 + 12 * count, struct.pack("<I", len(data) + 100))


def deep_planes() -> bytes:
    """An RGB TIFF of 16 bits per channel, one plane after the other; Pillow takes single bytes for pixels."""
    pixels = bytes(range(256)) * (SIZE * SIZE * 6 // 256)
    strips = SIZE * SIZE * 2
    start = 8 + 2 + 12 * 10 + 4
    lists = struct.pack("<HHH", 16, 16, 16), struct.pack("<III", *(start + 30 + n * strips for n in range(3)))
    tags = [(256, 4, 1, SIZE), (257, 4, 1, SIZE), (258, 3, 3, start), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 3, start + 6), (277, 3, 1, 3), (278, 4, 1, SIZE), (279, 4, 3, start + 18), (284, 3, 1, 2)]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return head + b"".join(lists) + struct.pack("<III", strips, strips, strips) + pixels


def mpo(*others: Pillow.Image) -> bytes:
    return encoded("MPO", save_all=True, append_images=others, quality=95, subsampling=0)


def without_a_tile() -> bytes:
    """Pillow would leave this tile black."""
    data = encoded("JPEG2000", tile_size=(32, 32))
    second, third = (found.start() for found in list(re.finditer(rb"\xff\x90\0\x0a", data))[1:3])
    return data[:second] + data[third:]


def jpeg2000_of_two_sizes() -> bytes:
    """Another size in the header of the file than in the codestream."""
    data = encoded("JPEG2000")
    return edited(data, data.index(b"ihdr") + 4, struct.pack(">II", 32, 32))


def jpeg2000_that_claims(side: int) -> bytes:
    data = encoded("JPEG2000")
    data = edited(data, data.index(b"ihdr") + 4, struct.pack(">II", side, side))
    return edited(data, data.index(b"\xff\x4f\xff\x51") + 8, struct.pack(">II", side, side))


def swapped() -> Pillow.Image:
    red, green, blue = photo().split()
    return Pillow.merge("RGB", (blue, green, red))


def one_index() -> Pillow.Image:
    """A palette of reds, of which one is used; but for one white pixel."""
    picture = Pillow.new("P", (SIZE, SIZE), 3)
    picture.putpalette([200, 0, 0] * 4 + [255] * 3)
    picture.putpixel((0, 0), 4)
    return picture


def no_color() -> Pillow.Image:
    return photo().convert("L").convert("RGB")
