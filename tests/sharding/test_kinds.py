"""Every kind of image file that turns up in archives, and what becomes of it: one table.

All of them are also sharded as one data set: every rejection and conversion is counted in the manifest and shown in the
report. Peak memory stays below 1 GB whatever a file claims.
"""

import struct
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image as Pillow

from colorize.layout import Folders
from colorize.sharding import build, conversion, images
from tests.helpers.odd_images import (
    SIZE,
    animated,
    chunk,
    deep_planes,
    edited,
    edited_tag,
    encoded,
    frame_of,
    jpeg2000_of_two_sizes,
    jpeg2000_that_claims,
    many_scans,
    mpo,
    no_color,
    one_index,
    oriented,
    photo,
    photoshops,
    png,
    swapped,
    swapped_profile,
    tiff_of_a_lost_page,
    tiff_of_few_strips,
    tiff_of_pages,
    tiff_with,
    with_alpha,
    without_a_tile,
    without_alpha,
    ycck,
)

# --- the table -------------------------------------------------------------------------------------------------------

JPEG, PNG, GIF, BMP, WEBP = (encoded(format) for format in ("JPEG", "PNG", "GIF", "BMP", "WEBP"))
LEVELS = np.asarray(photo().convert("L")).astype(np.uint16) * 257
DEEP_GRAY = Pillow.fromarray(LEVELS)
FLOATS = Pillow.fromarray(np.full((SIZE, SIZE), 0.5, np.float32))
BOMB = struct.pack(">II", 30000, 30000)
HUGE_TEXT = b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9)
HUGE_PROFILE = b"icc\0\0" + zlib.compress(bytes(50_000_000), 9)


class Used(NamedTuple):
    """The image is used: the expected picture, the conversion that is counted, mean difference allowed in levels."""

    picture: Pillow.Image
    note: str | None = None
    tolerance: float = 2.0
    is_gray: bool = False


WHITE = Pillow.new("RGB", (SIZE, SIZE), "white")
DEEP_USED = Used(no_color(), "reduced to 8 bits", 1, is_gray=True)
TRAILER = b"SEFH Image_UTC_Data1700000000000 SEFT"
SCAN = JPEG.index(b"\xff\xda")
HARMLESS = {  # no pixel depends on what is wrong in these files
    "without its end mark": JPEG[:-2],
    "cut in its end mark": JPEG[:-1],
    "a trailer instead of the end mark": JPEG[:-2] + TRAILER * 9,
    "a trailer that looks like segments": JPEG[:-2] + b"\xff\xe1\xff\xff" + TRAILER,
    "zeros before its end mark": JPEG[:-2] + bytes(16) + JPEG[-2:],
    "a stray byte before its end mark": JPEG[:-2] + b"\x7f" * 9 + JPEG[-2:],
    "a text before its end mark": JPEG[:-2] + TRAILER + JPEG[-2:],
    "stray bytes before a table": JPEG[:20] + b"\0\0" + JPEG[20:],
    "stray bytes before the scan": JPEG[:SCAN] + b"ab\xff\0c" + JPEG[SCAN:],
    "JFIF 2.0": edited(JPEG, 11, b"\2"),
    "wrong parameters of its scan": edited(JPEG, SCAN + 11, b"\0\0\0"),
}

KINDS: dict[str, tuple[bytes, Used | str]] = {
    # used as they are
    "JPEG": (JPEG, Used(photo())),
    "JPEG, progressive": (encoded("JPEG", progressive=True), Used(photo())),
    "JPEG, gray": (encoded("JPEG", photo().convert("L")), Used(no_color(), is_gray=True)),
    "JPEG, color file without color": (encoded("JPEG", no_color()), Used(no_color(), is_gray=True)),
    "JPEG, broken EXIF": (encoded("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), Used(photo())),
    "JPEG, broken ICC profile": (encoded("JPEG", icc_profile=b"junk"), Used(photo())),
    "JPEG, garbage behind": (JPEG + b"garbage" * 99, Used(photo())),
    "JPEG, two in one file": (JPEG + JPEG, Used(photo())),
    "JPEG, named .png": (JPEG, Used(photo())),
    "PNG": (PNG, Used(photo(), tolerance=0)),
    "PNG, named .jpg": (PNG, Used(photo(), tolerance=0)),
    "PNG, 1 bit": (encoded("PNG", photo().convert("1")), Used(photo().convert("1"), tolerance=0, is_gray=True)),
    "PNG, garbage behind": (PNG + b"garbage" * 99, Used(photo(), tolerance=0)),
    "PNG, end chunk missing": (PNG[:-12], Used(photo(), tolerance=0)),
    "WebP": (WEBP, Used(photo(), tolerance=6)),
    "TIFF": (encoded("TIFF"), Used(photo(), tolerance=0)),
    "TIFF, LZW": (encoded("TIFF", compression="tiff_lzw"), Used(photo(), tolerance=0)),
    "BMP": (BMP, Used(photo(), tolerance=0)),
    "PPM": (encoded("PPM"), Used(photo(), tolerance=0)),
    # used and converted
    "JPEG, CMYK": (encoded("JPEG", photo().convert("CMYK")), Used(photo(), "cmyk converted")),
    "JPEG, YCCK": (ycck(), Used(photo(), "cmyk converted")),
    "JPEG, ICC profile": (
        encoded("JPEG", icc_profile=swapped_profile()),
        Used(swapped(), "color profile converted", 8),
    ),
    "PNG, ICC profile": (encoded("PNG", icc_profile=swapped_profile()), Used(swapped(), "color profile converted", 8)),
    "PNG, palette": (encoded("PNG", photo().quantize(256)), Used(photo(), "palette converted", 8)),
    "PNG, palette with transparency": (
        encoded("PNG", one_index(), transparency=3),
        Used(WHITE, "palette converted, alpha blended onto white", 0, is_gray=True),
    ),
    "PNG, alpha": (encoded("PNG", with_alpha(0)), Used(WHITE, "alpha blended onto white", 0, is_gray=True)),
    "PNG, half transparent": (
        encoded("PNG", with_alpha(128)),
        Used(Pillow.blend(WHITE, photo(), 128 / 255), "alpha blended onto white", 1),
    ),
    "PNG, gray with alpha": (
        encoded("PNG", with_alpha(0, "L")),
        Used(WHITE, "alpha blended onto white", 0, is_gray=True),
    ),
    "PNG, alpha zero everywhere": (encoded("PNG", without_alpha()), Used(photo(), "empty alpha ignored", 0)),
    "BMP of Photoshop, alpha zero everywhere": (
        photoshops(encoded("BMP", without_alpha())),
        Used(photo(), "empty alpha ignored", 0),
    ),
    "PNG, gray with alpha zero everywhere": (
        encoded("PNG", without_alpha("LA")),
        Used(no_color(), "empty alpha ignored", 0, is_gray=True),
    ),
    "WebP, alpha": (encoded("WEBP", with_alpha(0)), Used(WHITE, "alpha blended onto white", 0, is_gray=True)),
    "GIF": (GIF, Used(photo(), "palette converted", 8)),
    "AVIF": (encoded("AVIF"), Used(photo(), tolerance=3)),
    "AVIF, half transparent": (
        encoded("AVIF", with_alpha(128)),
        Used(Pillow.blend(WHITE, photo(), 128 / 255), "alpha blended onto white", 2),
    ),
    "AVIF, EXIF orientation 6": (
        encoded("AVIF", exif=oriented(6)),
        Used(photo().transpose(conversion.UPRIGHT[6]), "orientation applied", 3),
    ),
    "JPEG 2000": (encoded("JPEG2000"), Used(photo(), tolerance=0)),
    "JPEG 2000, codestream": (encoded("JPEG2000", no_jp2=True), Used(photo(), tolerance=0)),
    "JPEG 2000, CMYK": (encoded("JPEG2000", photo().convert("CMYK")), Used(photo(), "cmyk converted", 0)),
    "JPEG 2000, 16-bit": (encoded("JPEG2000", DEEP_GRAY), DEEP_USED),
    "PNG, 16-bit gray": (encoded("PNG", DEEP_GRAY), DEEP_USED),
    "PNG, 16-bit gray, one level transparent": (
        encoded("PNG", DEEP_GRAY, transparency=DEEP_GRAY.getpixel((0, 63))),
        DEEP_USED._replace(note="reduced to 8 bits, alpha blended onto white", tolerance=2),
    ),
    "PNG, 16-bit RGB": (png(bits=16), Used(Pillow.new("RGB", (SIZE, SIZE)), "reduced to 8 bits", 0, is_gray=True)),
    "TIFF, 16-bit": (encoded("TIFF", DEEP_GRAY), DEEP_USED),
    "TIFF, 16-bit, deflate": (encoded("TIFF", DEEP_GRAY, compression="tiff_adobe_deflate"), DEEP_USED),
    "TIFF, 16-bit, negative": (
        edited_tag(encoded("TIFF", DEEP_GRAY), 262, 0),
        DEEP_USED._replace(picture=Pillow.eval(no_color(), lambda level: 255 - level)),
    ),
    "PGM, 16-bit": (encoded("PPM", DEEP_GRAY), DEEP_USED),
    "PGM, 12-bit": (b"P5\n64 64\n4095\n" + (LEVELS // 16).astype(">u2").tobytes(), DEEP_USED),
    "PPM, 16-bit": (
        b"P6\n64 64\n65535\n" + np.asarray(photo()).repeat(2).tobytes(),
        Used(photo(), "reduced to 8 bits", 0),
    ),
    "TIFF of two pages": (animated("TIFF"), Used(photo(), "first of several pages used", 0)),
    "TIFF with a thumbnail": (tiff_of_pages((photo(), 0), (photo(20, 20), 1)), Used(photo(), tolerance=0)),
    "TIFF with a thumbnail at its start": (
        tiff_of_pages((photo(8, 8), 1), (photo(), 0), (photo(32, 32), 1)),
        Used(photo(), tolerance=0),
    ),
    "TIFF, its second page cut": (animated("TIFF")[:-100], Used(photo(), "first of several pages used", 0)),
    "TIFF, its second page lost": (tiff_of_a_lost_page(), Used(photo(), tolerance=0)),
    "MPO of a photo and a preview": (mpo(photo(32, 32)), Used(photo())),
    "MPO of two photos": (mpo(photo().rotate(90)), Used(photo(), "first of several pages used")),
    **{f"JPEG, {name}": (data, Used(photo(), images.MENDED)) for name, data in HARMLESS.items()},
    "TIFF, YCbCr": (encoded("TIFF", photo().convert("YCbCr")), Used(photo(), "ycbcr converted")),
    **{
        f"JPEG, EXIF orientation {value}": (
            encoded("JPEG", exif=oriented(value)),
            Used(photo().transpose(turn), "orientation applied"),
        )
        for value, turn in conversion.UPRIGHT.items()
    },
    # rejected
    "empty": (b"", images.EMPTY),
    "text": (b"hello", images.NOT_AN_IMAGE),
    "HTML": (b"<!DOCTYPE html><html></html>", images.NOT_AN_IMAGE),
    "JSON": (b'{"error": 404}', images.NOT_AN_IMAGE),
    "zeros": (bytes(1000), images.NOT_AN_IMAGE),
    "PDF": (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", images.NOT_AN_IMAGE),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", images.NOT_AN_IMAGE),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', images.NOT_AN_IMAGE),
    "ICO": (encoded("ICO"), images.NOT_AN_IMAGE),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), images.HEIC),
    "HEIC of a general brand": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40), images.HEIC),
    "video": (b"\0\0\0\x18ftypmp42" + bytes(50), images.NOT_AN_IMAGE),
    "nested zip": (b"PK\x03\x04" + bytes(100), images.NOT_AN_IMAGE),
    "pointer of git-lfs": (b"version https://git-lfs.github.com/spec/v1\nsize 1\n", images.NOT_AN_IMAGE),
    "JPEG, cut": (JPEG[:-100], images.TRUNCATED),
    "JPEG, cut by 20 bytes": (JPEG[:-20], images.TRUNCATED),
    "JPEG, cut, progressive": (encoded("JPEG", progressive=True)[:-10], images.TRUNCATED),
    "JPEG, cut, CMYK": (encoded("JPEG", photo().convert("CMYK"))[:-100], images.TRUNCATED),
    "PNG, cut": (PNG[:-100], images.TRUNCATED),
    "PNG, pixels end early": (png(rows=SIZE - 1), images.TRUNCATED),
    "PNG, no pixels": (png(rows=0), images.TRUNCATED),
    "GIF, cut": (GIF[: len(GIF) // 2], images.TRUNCATED),
    "WebP, cut": (WEBP[:-20], images.TRUNCATED),
    "TIFF, strips missing": (tiff_of_few_strips(), images.TRUNCATED),
    "BMP, cut": (BMP[:-100], images.TRUNCATED),
    "JPEG, corrupt Huffman data": (edited(JPEG, -600, bytes(range(60, 100))), images.DAMAGED),
    "JPEG, arithmetic coding": (edited(JPEG, frame_of(JPEG), b"\xff\xc9"), images.DAMAGED),
    "JPEG, lossless": (edited(JPEG, frame_of(JPEG), b"\xff\xc3"), images.DAMAGED),
    "PNG, wrong checksum of the header": (edited(PNG, 29, b"\0\0\0\0"), images.DAMAGED),
    "PNG, wrong checksum of the pixels": (edited(PNG, -16, b"\0\0\0\0"), images.DAMAGED),
    "PNG, text that unpacks to 50 MB": (png(extra=chunk(b"zTXt", HUGE_TEXT)), images.DAMAGED),
    "PNG, profile that unpacks to 50 MB": (png(extra=chunk(b"iCCP", HUGE_PROFILE)), images.DAMAGED),
    "PNG, 0x0": (png(0, 0), images.DAMAGED),
    "PNG, claims 30000x30000 under the old checksum": (edited(PNG, 16, BOMB), images.DAMAGED),
    "PNG, claims 30000x30000": (png(30000, 30000), images.TOO_LARGE),
    "JPEG, claims 30000x30000": (edited(JPEG, frame_of(JPEG) + 5, BOMB[2:4] + BOMB[6:8]), images.TOO_LARGE),
    "JPEG, a thousand scans": (many_scans(), images.TOO_LARGE),
    "GIF, claims 30000x30000": (edited(GIF, 6, struct.pack("<HH", 30000, 30000)), images.TOO_LARGE),
    "GIF, claims a huge frame": (
        edited(GIF, GIF.index(b",", 781) + 5, struct.pack("<HH", 30000, 30000)),
        images.TOO_LARGE,
    ),
    "TIFF, claims 30000x30000": (tiff_with(encoded("TIFF"), width=30000, height=30000), images.TOO_LARGE),
    "WebP, claims 16383x16383": (edited(WEBP, 26, struct.pack("<HH", 16383, 16383)), images.TOO_LARGE),
    "WebP, claims a huge canvas": (
        edited(encoded("WEBP", exif=oriented(1)), 24, b"\xff\x7f\0\xff\x7f\0"),
        images.TOO_LARGE,
    ),
    "BMP, claims 30000x30000": (edited(BMP, 18, struct.pack("<ii", 30000, 30000)), images.TOO_LARGE),
    "BMP, negative width": (edited(BMP, 18, struct.pack("<i", -SIZE)), images.TOO_LARGE),
    "PPM, claims 30000x30000": (b"P6\n30000 30000\n255\n" + bytes(100), images.TOO_LARGE),
    "1x1": (encoded("PNG", photo(1, 1)), images.TOO_SMALL),
    "1x500": (encoded("PNG", photo(1, 500)), images.TOO_SMALL),
    "500x1": (encoded("JPEG", photo(500, 1)), images.TOO_SMALL),
    "animated GIF": (animated("GIF"), images.ANIMATED),
    "animated PNG": (animated("PNG"), images.ANIMATED),
    "animated WebP": (animated("WEBP"), images.ANIMATED),
    "animated AVIF": (animated("AVIF"), images.ANIMATED),
    "AVIF, cut": (encoded("AVIF")[:-30], images.TRUNCATED),
    "AVIF, cut in its header": (encoded("AVIF")[:100], images.DAMAGED),
    "JPEG 2000, cut": (encoded("JPEG2000")[:-30], images.TRUNCATED),
    "JPEG 2000, a tile missing": (without_a_tile(), images.TRUNCATED),
    "JPEG 2000, two sizes": (jpeg2000_of_two_sizes(), images.DAMAGED),
    "JPEG 2000, claims 30000x30000": (jpeg2000_that_claims(30000), images.TOO_LARGE),
    "JPEG 2000, claims 26 megapixels": (jpeg2000_that_claims(5100), images.TOO_LARGE),
    "TIFF, 16-bit RGB in planes": (deep_planes(), images.DEEP),
    "TIFF, floating point": (encoded("TIFF", FLOATS), images.DEEP),
    "JPEG, 12-bit": (edited(JPEG, frame_of(JPEG) + 4, b"\x0c"), images.DEEP),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_used_or_rejected_as_the_table_says(kind, recwarn):
    data, expected = KINDS[kind]
    try:
        found = images.decode(data, SIZE)
    except images.Reject as reject:
        assert reject.reason == expected
        return
    assert isinstance(expected, Used), "must be rejected"
    difference = np.abs(found.rgb.astype(float) - np.asarray(expected.picture.convert("RGB"), dtype=float)).mean()
    assert difference <= expected.tolerance
    assert (found.note, found.is_gray) == (expected.note, expected.is_gray)
    assert not recwarn.list  # a million odd files must not fill the terminal


def test_all_of_them_are_counted_and_shown_in_the_report(tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLORIZE_RAW", str(tmp_path))
    Path("sources").mkdir()
    Path("sources/odd.yaml").write_text(
        "{path: odd.zip, splits: {train: {glob: 'train/*'}, val: {glob: val/*}, test: {glob: test/*}}}"
    )
    names = {kind: f"train/{number:03d}" for number, kind in enumerate(KINDS)}
    with zipfile.ZipFile("odd.zip", "w") as archive:
        for kind, (data, _) in KINDS.items():
            archive.writestr(names[kind], data)
        for name in ("val/a", "test/a"):
            archive.writestr(name, encoded("PNG", photo().rotate(180)))
    section = settings.shard.model_copy(update={"max_reject_fraction": 1.0})
    manifests = build.shard("odd", section, Folders(Path("out")))
    entry, report = manifests["train"], build.describe(manifests)
    expected = {kind: expectation for kind, (_, expectation) in KINDS.items()}
    reasons = Counter(reason for reason in expected.values() if isinstance(reason, str))
    assert {reason: found["images"] for reason, found in entry["rejected"].items()} == reasons
    for reason, found in entry["rejected"].items():
        assert found["first"] == [names[kind] for kind in KINDS if expected[kind] == reason][:10]
        assert f"{reasons[reason]} rejected ({reason})" in report
    used = [use for use in expected.values() if isinstance(use, Used)]
    assert entry["images"] == len(used) and entry["without_color"] == sum(use.is_gray for use in used)
    notes = Counter(use.note for use in used if use.note)
    assert entry["converted"] == notes
    assert all(f"{count} converted ({note})" in report for note, count in notes.items())
    assert reasons.total() >= 50


# --- memory ----------------------------------------------------------------------------------------------------------

LARGEST = {
    "rgba.png": "Pillow.new('RGBA', (8000, 6249), (1, 2, 3, 4)), 'PNG', compress_level=1, exif=turned",
    "rgba.webp": "Pillow.new('RGBA', (16383, 3051), (1, 2, 3, 4)), 'WEBP', lossless=True, method=0, exif=turned",
    "cmyk.jpg": "Pillow.new('CMYK', (8000, 6249)), 'JPEG', progressive=True, subsampling=0, exif=turned",
    "rgba.tif": "Pillow.new('RGBA', (8000, 6249)), 'TIFF', exif=turned",
}
MAKE = """
from PIL import Image as Pillow
turned = Pillow.Exif()
turned[0x0112] = 6
def save(path, picture, format, **options):
    picture.save(path, format, **options)
save({path!r}, {arguments})
"""
DECODE = """
import re, sys
from pathlib import Path
from colorize.sharding import images
image = images.decode(Path(sys.argv[1]).read_bytes(), 64)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e6, image.note)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_image_that_is_allowed_takes_less_than_a_gigabyte(tmp_path, repo, name):
    path = str(tmp_path / name)
    subprocess.run([sys.executable, "-c", MAKE.format(path=path, arguments=LARGEST[name])], check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-c", DECODE, path], cwd=repo, capture_output=True, text=True, check=True, timeout=60
    )
    peak, note = done.stdout.split(maxsplit=1)
    assert "orientation applied" in note or name == "rgba.tif"  # so the worst way through the policy was taken
    assert 0.2 < float(peak) < 1.0  # GB
