"""Results: pixels, alpha and 16 bits survive, metadata and mark are read back by Pillow and by exiftool."""

import io
import json
import shutil
import subprocess
import zlib
from dataclasses import replace

import numpy as np
import pytest
import simplejpeg
import tifffile
import torch
from PIL import Image as Pillow
from PIL import ImageCms

from colorize.photos import lossless, mark, save, xmp
from colorize.photos import photo as photos
from colorize.photos.join import Planes
from colorize.photos.mark import Mark
from colorize.photos.metadata import Kept
from colorize.photos.photo import Photo
from colorize.photos.predict import Colorized, Prediction
from colorize.runtime import ParameterError
from colorize.sharding import profiles
from tests.helpers.odd_images import chunk, encoded, photo
from tests.photos.test_metadata import block, named

HEIGHT, WIDTH = 40, 60
RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
ALPHA = RANDOM.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
CAPTION, COMMENT = "Harbor, seen from the church tower", "Größe: 6 cm"
MARK = Mark("a" * 64, "unet", "b" * 64, 0.38, 128, 1.0, "0.1.0")


def source(order: str = "<", **changes: object) -> Photo:
    """A gray photo with metadata of every kind."""
    packet = mark.to_xmp(None, {"dc:description": (CAPTION,), "dc:creator": ("A. Author",)})
    gray = photo(WIDTH, HEIGHT).convert("L")
    exif = named(block(order, orientation=1))
    data = encoded("JPEG", gray, exif=exif, dpi=(600, 300), comment=COMMENT.encode(), xmp=packet, quality=90)
    return replace(photos.read(data), **changes)


CASES = {  # name -> photo, colors of the result
    "color": (source(pixels=RGB), RGB),
    "gray": (source(), RGB),
    "16 bits": (source(pixels=DEEP[..., 0].copy()), DEEP),
    "16 bits, big-endian EXIF": (source(">", pixels=DEEP[..., 0].copy()), DEEP),
    "alpha": (source(pixels=RGB, alpha=ALPHA), RGB),
    "16 bits and alpha": (source(pixels=DEEP[..., 0].copy(), alpha=DEEP[..., 1].copy()), DEEP),
}
KINDS = [
    (case, format)
    for case in CASES
    for format in save.FORMATS
    if format in ("PNG", "TIFF") or not ("16" in case or (format == "JPEG" and case == "alpha"))
]


def planes(rgb: np.ndarray) -> Planes:
    luma, *chroma = np.asarray(Pillow.fromarray(rgb).convert("YCbCr")).transpose(2, 0, 1)
    return Planes(np.ascontiguousarray(luma), *(np.ascontiguousarray(channel[::2, ::2]) for channel in chroma))


def colorized(rgb: np.ndarray, layout: str = "rgb") -> Colorized:
    is_rgb, prediction = layout == "rgb", Prediction(torch.zeros(2, 1, 1), None)
    return Colorized(rgb if is_rgb else None, None if is_rgb else planes(rgb), 0.0, prediction)


def written(case: str, format: str, made: Mark | None = MARK, **options) -> bytes:
    picture, rgb = CASES[case]
    encoding = save.choose(picture, format, **options)
    return save.encode(picture, colorized(rgb, encoding.layout), encoding, made)


def png_levels(data: bytes) -> np.ndarray:
    """All levels of a PNG, decoded by the formulas of its specification, because Pillow reduces 16 bits."""
    chunks, at = {}, 8
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        assert data[at : at + 12 + length] == chunk(kind, data[at + 8 : at + 8 + length])
        chunks[kind] = chunks.get(kind, b"") + data[at + 8 : at + 8 + length]
        at += 12 + length
    width, height, bits, kind = *np.frombuffer(chunks[b"IHDR"][:8], ">u4"), *chunks[b"IHDR"][8:10]
    step = {2: 3, 6: 4}[kind] * bits // 8
    packed = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    rows = np.zeros((height + 1, step + packed.shape[1] - 1), int)
    for y, row in enumerate(packed, 1):
        assert row[0] == 3
        for x, value in enumerate(row[1:], step):
            rows[y, x] = (value + (rows[y, x - step] + rows[y - 1, x]) // 2) % 256
    return rows[1:, step:].astype(np.uint8).view(f">u{bits // 8}").reshape(height, width, -1)


@pytest.mark.parametrize(("case", "format"), KINDS)
def test_pixels_alpha_and_depth_survive(case, format):
    picture, rgb = CASES[case]
    expected = rgb if picture.alpha is None else np.dstack([rgb, picture.alpha])
    data = written(case, format)
    if format == "PNG":
        assert np.array_equal(png_levels(data), expected)
    elif format == "TIFF":
        assert np.array_equal(tifffile.imread(io.BytesIO(data)), expected)
    with Pillow.open(io.BytesIO(data)) as found:
        assert (found.format, found.size) == (format, (WIDTH, HEIGHT))
        if rgb.dtype == np.uint8 and format in ("PNG", "TIFF"):
            assert np.array_equal(np.asarray(found), expected)
        elif picture.alpha is not None and format == "WEBP":
            assert np.array_equal(np.asarray(found)[..., 3], ALPHA)
        else:
            found.load()


@pytest.mark.parametrize(("case", "format"), KINDS)
def test_pillow_reads_back_metadata_profile_and_mark(case, format):
    data = written(case, format)
    assert mark.parse(data) == MARK
    with Pillow.open(io.BytesIO(data)) as found:
        found.load()
        exif = found.getexif()
        assert exif[270] == CAPTION and 274 not in exif and not exif.get_ifd(1)
        assert exif.get_ifd(34665)[36867] == "1943:07:14 10:00:00"
        assert exif.get_ifd(34853)[2] == (48, 8, 0)
        dpi = found.info.get("dpi") or (exif[282], exif[283])
        assert [float(value) for value in dpi] == pytest.approx([600, 300], abs=0.02)
        profile = found.info["icc_profile"]
        assert profiles.is_srgb(profile) and "sRGB" in ImageCms.getProfileDescription(io.BytesIO(profile))
    again = photos.read(data)
    assert again.kept.xmp["dc:creator"] == ("A. Author",) and again.kept.xmp["dc:description"] == (CAPTION,)
    if format in ("JPEG", "PNG"):
        assert again.kept.comment == COMMENT
    assert again.note == ("reduced to 8 bits" if "16" in case else None)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed (libimage-exiftool-perl)")
def test_exiftool_reads_back_metadata_resolution_profile_and_mark(tmp_path):
    for number, (case, format) in enumerate(KINDS):
        (tmp_path / f"{number:02d}").write_bytes(written(case, format))
    command = ["exiftool", "-json", "-G1", "-n", "-a", "-validate", "-warning", "-error", *sorted(tmp_path.iterdir())]
    command[4:4] = ["-all"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(found) == len(KINDS)
    for tags, (case, format) in zip(found, KINDS, strict=True):
        context = f"{case}, {format}: {tags}"
        assert "ExifTool:Error" not in tags, context
        assert (tags["IFD0:ImageDescription"], tags["ExifIFD:DateTimeOriginal"]) == (CAPTION, "1943:07:14 10:00:00")
        assert "IFD0:Orientation" not in tags and not any(name.startswith("IFD1") for name in tags), context
        assert (tags["XMP-dc:Creator"], tags["XMP-dc:Description"]) == ("A. Author", CAPTION), context
        assert tags["GPS:GPSLatitude"] == pytest.approx(48 + 8 / 60), context
        assert "sRGB" in tags["ICC_Profile:ProfileDescription"], context
        assert tags["XMP-iptcExt:DigitalSourceType"] == mark.SOURCE_TYPE, context
        assert tags["XMP-colorize:SourceSHA256"] == MARK.source_sha256, context
        comment = {"JPEG": "File:Comment", "PNG": "PNG:Comment"}.get(format, "XMP-exif:UserComment")
        assert tags[comment] == COMMENT, context
        place = {"JPEG": "JFIF:", "PNG": "PNG-pHYs:PixelsPerUnit"}.get(format, "IFD0:")
        names = ("X", "Y") if format == "PNG" else ("XResolution", "YResolution")
        factor = 0.0254 if format == "PNG" else 1
        assert [tags[place + name] * factor for name in names] == pytest.approx([600, 300], abs=0.02), context


def test_a_webp_without_loss_keeps_every_pixel_also_those_that_are_transparent():
    picture = replace(CASES["alpha"][0], format="WEBP", kept=Kept(is_lossless=True))
    data = save.encode(picture, colorized(RGB), save.choose(picture), None)
    assert (ALPHA == 0).any() and np.array_equal(photos.read(data).pixels, RGB)
    assert photos.read(data).kept.is_lossless


@pytest.mark.parametrize("format", save.FORMATS)
def test_without_a_mark_the_metadata_stays(format):
    data = written("gray", format, made=None)
    assert mark.parse(data) is None and b"colorize" not in data
    assert photos.read(data).kept.xmp["dc:creator"] == ("A. Author",)
    bare = replace(CASES["gray"][0], kept=Kept())
    plain = save.encode(bare, colorized(RGB), save.choose(bare, format, subsampling="4:4:4"), None)
    assert b"xmp" not in plain.lower() and photos.read(plain).kept.exif == b""


@pytest.mark.parametrize("format", save.FORMATS)
def test_the_same_result_gives_the_same_bytes_with_any_number_of_threads(format, monkeypatch):
    monkeypatch.setattr(lossless, "_STRIP", 1000)
    picture, found = CASES["color"][0], set()
    for threads in (None, 1, 3):
        save.srgb_profile.cache_clear()
        encoding = save.choose(picture, format, subsampling="4:4:4")
        found.add(save.encode(picture, colorized(RGB), encoding, MARK, threads))
    assert len(found) == 1


@pytest.mark.parametrize("strip", [1, 200, 5000, 1 << 20])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (40, 33)])
def test_any_number_of_strips_gives_the_same_pixels(size, strip, monkeypatch):
    monkeypatch.setattr(lossless, "_STRIP", strip)
    rgb, alpha = np.ascontiguousarray(RGB[: size[0], : size[1]]), np.ascontiguousarray(ALPHA[: size[0], : size[1]])
    for kept in (None, alpha):
        picture = Photo(rgb, kept, "", "", Kept(), None)
        expected = rgb if kept is None else np.dstack([rgb, alpha])
        for format in ("PNG", "TIFF"):
            data = save.encode(picture, colorized(rgb), save.choose(picture, format), None)
            with Pillow.open(io.BytesIO(data)) as found:
                assert np.array_equal(np.asarray(found), expected)
            if format == "PNG" and size[0] * size[1] < 100:
                assert np.array_equal(png_levels(data), expected)


def test_the_profile_does_not_depend_on_the_time():
    dates = ImageCms.ImageCmsProfile(io.BytesIO(save.srgb_profile())).profile.creation_date
    assert (dates.year, dates.month, dates.day) == (2000, 1, 1)


# --- JPEG ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subsampling", save.SUBSAMPLINGS)
@pytest.mark.parametrize("quality", [60, 90])
def test_a_jpeg_has_the_pixels_quality_and_subsampling_that_were_chosen(quality, subsampling):
    data = written("color", "JPEG", quality=quality, subsampling=subsampling)
    if subsampling == "4:4:4":
        plain = simplejpeg.encode_jpeg(RGB, quality, "RGB", "444")
    else:
        plain = simplejpeg.encode_jpeg_yuv_planes(*planes(RGB), quality)
    assert np.array_equal(simplejpeg.decode_jpeg(data, strict=True), simplejpeg.decode_jpeg(plain))
    kept = photos.read(data).kept
    assert (kept.quality, kept.subsampling) == (quality, subsampling)
    assert data[:12] == b"\xff\xd8\xff\xe0\0\x10JFIF\0\1" and data.count(b"JFIF") == 1


def test_a_jpeg_with_subsampling_is_also_made_of_rgb():
    picture = CASES["color"][0]
    encoding = save.choose(picture, "jpeg", 90, "4:2:0")
    data = save.encode(picture, colorized(RGB), encoding, None)
    expected = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(RGB, 90, "RGB", "420"))
    assert np.array_equal(simplejpeg.decode_jpeg(data, strict=True), expected)


def test_a_jpeg_holds_the_longest_metadata():
    kept = Kept(exif=bytes(block(orientation=1, thumbnail=b"")).ljust(65_000, b"\0"), comment="€" * xmp.MAX_LENGTH)
    kept = replace(kept, xmp={"dc:title": ("x" * xmp.MAX_LENGTH,), "dc:subject": ("y" * 300,) * 100})
    picture = replace(CASES["gray"][0], kept=kept)
    data = save.encode(picture, colorized(RGB), save.choose(picture, "jpeg", subsampling="4:4:4"), MARK)
    again = photos.read(data).kept
    assert mark.parse(data) == MARK and len(again.exif) == 65_000
    assert len(again.comment) == xmp.MAX_LENGTH and again.xmp["dc:subject"] == kept.xmp["dc:subject"]


# --- the choice ------------------------------------------------------------------------------------------------------


def of(format: str, **kept: object) -> Photo:
    return replace(CASES["gray"][0], format=format, kept=Kept(**kept))


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (of("JPEG", quality=88), ("JPEG", 88, "4:2:0")),
        (of("JPEG", quality=97, subsampling="4:4:4"), ("JPEG", 97, "4:4:4")),
        (of("JPEG", quality=30), ("JPEG", save.MIN_QUALITY, "4:2:0")),
        (of("PNG"), ("PNG", None, None)),
        (of("WEBP"), ("WEBP", save.WEBP_QUALITY, None)),
        (of("WEBP", is_lossless=True), ("WEBP", None, None)),
        (of("TIFF"), ("TIFF", None, None)),
        *((of(format), ("PNG", None, None)) for format in ("BMP", "GIF", "PPM", "AVIF", "JPEG2000", "")),
    ],
)
def test_by_default_the_result_is_of_the_kind_that_came_in(picture, expected):
    found = save.choose(picture)
    assert (found.format, found.quality, found.subsampling) == expected
    assert found.ending == {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif"}[found.format]
    assert found.layout == ("yuv420" if found.subsampling == "4:2:0" else "rgb")


def test_arguments_decide():
    picture = of("PNG")
    assert save.choose(picture, "JPEG") == save.Encoding("JPEG", save.QUALITY, "4:2:0")
    assert save.choose(picture, "jpeg", 80, "4:4:4") == save.Encoding("JPEG", 80, "4:4:4")
    assert save.choose(of("WEBP", is_lossless=True), None, 80) == save.Encoding("WEBP", 80, None)
    assert save.choose(picture, "tiff", 80, "4:4:4") == save.Encoding("TIFF", None, None)


@pytest.mark.parametrize(
    ("picture", "options", "message"),
    [
        (of("PNG"), ("gif",), "format gif: expected one of jpeg, png, webp, tiff"),
        (of("PNG"), (None, 0), "quality 0: expected 1 to 100"),
        (of("PNG"), (None, None, "4:1:1"), "subsampling 4:1:1: expected one of 4:4:4, 4:2:0"),
        (CASES["alpha"][0], ("jpeg",), "JPEG has no transparency, .* choose png, webp or tiff"),
        (CASES["16 bits"][0], ("jpeg",), "JPEG has 8 bits per channel, .* choose png or tiff"),
        (CASES["16 bits"][0], ("webp",), "WEBP has 8 bits per channel, .* choose png or tiff"),
        (replace(of("WEBP"), pixels=np.zeros((2, 16_384), np.uint8)), (), "WEBP has at most 16,383 pixels"),
        (replace(of("PNG"), pixels=np.zeros((65_501, 2), np.uint8)), ("jpeg",), "JPEG has at most 65,500 pixels"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_in_one_line(picture, options, message):
    with pytest.raises(ParameterError, match=message) as caught:
        save.choose(picture, *options)
    assert "\n" not in str(caught.value)


def test_a_tiff_of_four_gigabytes_is_refused(monkeypatch):
    monkeypatch.setattr(lossless, "_MAX_LENGTH", 5000)
    with pytest.raises(ParameterError, match="4 GiB"):
        written("color", "TIFF")
