"""Odd image files through the real commands: shards and the command line take the same picture, and the right one."""

import csv
import io
import json
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageCms

from colorize.models import contract, files
from tests.helpers import processes
from tests.helpers.projects import make_project

SIZE = 64
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


# --- how the files are made ------------------------------------------------------------------------------------------


def photo(width=SIZE, height=SIZE) -> Image.Image:
    """Dark on the left, bright on the right: shows every turn and every change of levels."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return Image.fromarray(np.stack([30 + 200 * x, 40 + 150 * x + 30 * y, 60 + 90 * x], -1).astype(np.uint8))


def encoded(picture: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **({"quality": 95, "subsampling": 0} if format == "JPEG" else {}), **options)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def behind_frame(data: bytes, *segments: bytes) -> bytes:
    """A JPEG with more segments right before its first scan."""
    scan = data.index(b"\xff\xda")
    return data[:scan] + b"".join(segments) + data[scan:]


def at_start(data: bytes, *segments: bytes) -> bytes:
    return data[:2] + b"".join(segments) + data[2:]


def in_two_images(width: int, height: int, picture: Image.Image, **options) -> bytes:
    """A JPEG with a marker that has no length; who takes what follows for one lands in a comment with a frame header.

    There stand another width and height.
    """
    data = encoded(picture, "JPEG", **options)
    scan = data.index(b"\xff\xda")
    start, content = 4 + scan - 2, bytearray(b"x" * 65533)
    landing = 4 + struct.unpack_from(">H", data, 2)[0] - start - 4  # within the content of the comment
    frame = segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0)))
    content[landing : landing + len(frame)] = frame
    return data[:2] + b"\xff\xd0" + data[2:scan] + segment(0xFE, bytes(content)) + data[scan:]


def png_with(data: bytes, **chunks: bytes) -> bytes:
    """A PNG with chunks behind its header."""
    more = b""
    for name, content in chunks.items():
        body = name.encode() + content
        more += struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + more + data[33:]


def linear(space: str) -> bytes:
    """ICC profile whose levels are linear, for gray or color: sRGB's with other curves, or the gray curve alone."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    curve = b"curv" + struct.pack(">II", 0, 0)
    names = (b"kTRC",) if space == "GRAY" else (b"rTRC", b"gTRC", b"bTRC")
    tags = {name: curve for name in names} | {b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)}
    if space == "RGB ":
        places = {
            srgb[at : at + 4]: struct.unpack_from(">II", srgb, at + 4) for at in range(132, 132 + 12 * srgb[131], 12)
        }
        for name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            start, length = places[name]
            tags[name] = srgb[start : start + length]
    table, content, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(content), len(value))
        content += value
    head = struct.pack(">I", start + len(content)) + srgb[4:16] + space.encode() + b"XYZ " + srgb[24:128]
    return head + table + content


def photoshops(bitmap: bytes) -> bytes:
    """Pillow's BMP of 32 bits with a header of 56 bytes, whose last mask makes the fourth byte an alpha channel."""
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = bitmap[:2] + struct.pack("<IIII", len(bitmap) + 16, 0, 70, 56) + bitmap[18:30] + struct.pack("<I", 3)
    return head + bitmap[34:54] + masks + bitmap[54:]


def without_alpha(mode: str) -> Image.Image:
    picture = photo().convert(mode)
    picture.putalpha(0)
    return picture


def opaque(picture: Image.Image) -> Image.Image:
    picture.putalpha(255)
    return picture


JPEG, PNG, GRAY = encoded(photo(), "JPEG"), encoded(photo(), "PNG"), photo().convert("L")
GAMMA = struct.pack(">I", 100_000)  # linear
SWAPPED = struct.pack(">8I", 31270, 32900, 15000, 6000, 30000, 60000, 64000, 33000)  # sRGB's, but red for blue
PROFILE = linear("RGB ")
PARTS = [b"ICC_PROFILE\0" + bytes((number, 2)) + part for number, part in ((1, PROFILE[:200]), (2, PROFILE[200:]))]


def brightened(picture: Image.Image) -> Image.Image:
    """What linear levels look like in sRGB."""
    levels = np.arange(256) / 255
    curve = np.where(levels <= 0.0031308, 12.92 * levels, 1.055 * levels ** (1 / 2.4) - 0.055)
    return Image.fromarray((255 * curve).round().astype(np.uint8)[np.asarray(picture.convert("RGB"))])


def upside_down() -> Image.Image:
    return photo().transpose(Image.Transpose.ROTATE_180)


def claim(data: bytes, side: int) -> bytes:
    """The same progressive JPEG with another size in its first frame header."""
    at = data.index(b"\xff\xc2") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


FILES: dict[str, tuple[bytes, Image.Image]] = {  # the file, and the picture it must give
    "xmp.jpg": (at_start(JPEG, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP % 3)), upside_down()),
    "exif-behind.jpg": (behind_frame(JPEG, segment(0xE1, exif(3))), upside_down()),
    "xmp-behind.jpg": (
        behind_frame(JPEG, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP % 3)),
        upside_down(),
    ),
    "exif-in-two.jpg": (
        at_start(JPEG, segment(0xE1, exif(3)[:16]), segment(0xE1, b"Exif\0\0" + exif(3)[16:])),
        upside_down(),
    ),
    "exif-and-xmp.jpg": (
        at_start(JPEG, segment(0xE1, exif(3)), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP % 1)),
        upside_down(),
    ),
    "profile-in-two.jpg": (
        at_start(JPEG, *(segment(0xE2, part) for part in reversed(PARTS))),
        brightened(photo()),
    ),
    "profile-half-missing.jpg": (at_start(JPEG, segment(0xE2, PARTS[0])), photo()),
    "profile-behind.jpg": (behind_frame(JPEG, *(segment(0xE2, part) for part in PARTS)), brightened(photo())),
    "gamma.png": (png_with(PNG, gAMA=GAMMA), brightened(photo())),
    "gamma-gray.png": (png_with(encoded(GRAY, "PNG"), gAMA=GAMMA), brightened(GRAY)),
    "gamma-palette.png": (png_with(encoded(photo().quantize(256), "PNG"), gAMA=GAMMA), brightened(photo())),
    "gamma-of-srgb.png": (png_with(PNG, gAMA=struct.pack(">I", 45455)), photo()),
    "chromaticities.png": (
        png_with(PNG, gAMA=struct.pack(">I", 45455), cHRM=SWAPPED),
        Image.fromarray(np.asarray(photo())[..., ::-1]),
    ),
    "gamma-under-srgb.png": (png_with(PNG, gAMA=GAMMA, sRGB=b"\0"), photo()),
    "gamma-under-profile.png": (
        png_with(encoded(photo(), "PNG", icc_profile=PROFILE), gAMA=struct.pack(">I", 20_000)),
        brightened(photo()),
    ),
    "gray-profile.png": (encoded(GRAY, "PNG", icc_profile=linear("GRAY")), brightened(GRAY)),
    "gray-profile-alpha.png": (encoded(opaque(GRAY.copy()), "PNG", icc_profile=linear("GRAY")), brightened(GRAY)),
    "rgb-profile-of-gray.jpg": (encoded(GRAY, "JPEG", icc_profile=PROFILE), brightened(GRAY)),
    "zero-alpha.bmp": (photoshops(encoded(without_alpha("RGBA"), "BMP")), photo()),
    "zero-alpha.png": (encoded(without_alpha("RGBA"), "PNG"), photo()),
    "zero-alpha-gray.png": (encoded(without_alpha("LA"), "PNG"), GRAY),
    "zero-alpha-palette.png": (encoded(photo().quantize(256), "PNG", transparency=bytes(256)), photo()),
    "zero-alpha.tif": (encoded(without_alpha("RGBA"), "TIFF"), photo()),
    "zero-alpha.webp": (encoded(without_alpha("RGBA"), "WEBP", lossless=True, exact=True), photo()),
    "two-sizes.jpg": (in_two_images(SIZE, SIZE, photo(SIZE // 2, SIZE // 2)), photo()),
}
REFUSED = {
    "huge.jpg": (claim(in_two_images(SIZE, SIZE, photo(32, 32), progressive=True), 8000), "too large"),
    "two-headers.png": (png_with(PNG, IHDR=PNG[16:29]), "damaged"),
}


# --- what the commands make of them ----------------------------------------------------------------------------------


def write_archive(path: Path, photos: dict[str, bytes]) -> None:
    """These as training images; the two other splits as they are."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if not name.startswith("train/")}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in ({f"train/{name}": data for name, data in photos.items()} | kept).items():
            archive.writestr(name, data)


def stem(name: str) -> str:
    """Of a photo: names that differ in their endings alone would give results of one name."""
    return name.replace(".", "_")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Where the odd files are the training images of `tiny`, sharded at 64 pixels."""
    folder = make_project(tmp_path_factory.mktemp("pictures") / "project", ("regression",), steps=1)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["shard"] |= {"size": SIZE, "max_reject_fraction": 1.0}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    photos = {name: data for name, (data, _) in (FILES | REFUSED).items()}
    write_archive(folder / "data/raw/tiny.zip", photos)
    (folder / "photos").mkdir()
    for name, data in photos.items():
        (folder / "photos" / f"{stem(name)}{Path(name).suffix}").write_bytes(data)
    processes.run(folder, ("shard", "tiny"), folder.parent / "log")
    return folder


@pytest.fixture(scope="module")
def sharded(project) -> SimpleNamespace:
    """The pictures by the names of their files, and the entry of the manifest."""
    folder = project / "data/shards/train/tiny"
    with (folder / "images.csv").open() as file:
        names = {int(row["key"]): Path(row["source"]).name for row in csv.DictReader(file)}
    pictures = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                picture = Image.open(io.BytesIO(archive.extractfile(member).read()))
                pictures[names[int(member.name.split(".")[0])]] = picture.convert("RGB")
    return SimpleNamespace(pictures=pictures, entry=json.loads((folder / "manifest.json").read_text()))


@pytest.fixture(scope="module")
def colorized(project) -> SimpleNamespace:
    """The results of the command line by the names of the photos, and what it said."""
    torch.manual_seed(0)
    model = contract.build_model("regression", 0.05)
    files.save(project / "data/models/tiny-regression-0", model, {"model": "regression", "width": 0.05, "size": 32})
    options = ("-o", "out", "--model", "tiny-regression-0", "--format", "png")
    done = processes.call("colorize.__main__", "photos", *options, folder=project)
    results = {name: project / "out" / f"{stem(name)}.png" for name in FILES}
    pictures = {name: Image.open(path).convert("RGB") for name, path in results.items() if path.exists()}
    return SimpleNamespace(pictures=pictures, said=done.stdout + done.stderr)


def lightness(picture: Image.Image) -> np.ndarray:
    """CIELAB's L, which colorization keeps where the color fits into sRGB."""
    rgb = np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)) / 255
    y = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
    return 116 * np.cbrt(y) - 16


@pytest.mark.parametrize("name", FILES)
def test_shards_hold_the_picture_that_the_file_means(sharded, name):
    assert name in sharded.pictures, f"rejected: {sharded.entry['rejected']}"
    expected = np.asarray(FILES[name][1].convert("RGB"), float)
    assert np.abs(np.asarray(sharded.pictures[name]) - expected).mean() < 6  # levels


@pytest.mark.parametrize("name", FILES)
def test_the_command_line_takes_the_same_picture(colorized, name):
    assert name in colorized.pictures, colorized.said
    assert np.abs(lightness(colorized.pictures[name]) - lightness(FILES[name][1])).mean() < 3


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse_for_the_same_reason(sharded, colorized, name):
    reason = REFUSED[name][1]
    refused = sharded.entry["rejected"].get(reason, {"first": []})["first"]
    assert f"train/{name}" in refused, f"rejected: {sharded.entry['rejected']}"
    line = next((line for line in colorized.said.splitlines() if stem(name) in line), "")
    assert reason in line


def test_ignored_alpha_is_counted(sharded):
    notes = sharded.entry["converted"]
    count = sum(number for note, number in notes.items() if "empty alpha ignored" in note)
    assert count == sum(name.startswith("zero-alpha") for name in FILES), notes


def test_fuzzing_compares_our_readers_with_the_libraries():
    repo = Path(__file__).parents[2]
    line = [sys.executable, str(repo / "tools" / "fuzz.py"), "0.06", "1"]  # other files are for `make fuzz`
    done = subprocess.run(line, cwd=repo, capture_output=True, text=True, timeout=300)
    found = re.search(
        r"([\d,]+) mutated files, of the images (\d+)% still decode in Pillow; 0 disagreements", done.stdout
    )
    assert found, done.stdout + done.stderr[-2000:]
    assert done.returncode == 0 and int(found[1].replace(",", "")) > 80 and int(found[2]) >= 20
