"""The mark in results: written and read without loss, found after changes by others, and harmless to read."""

import io
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace

import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from colorize.photos import mark, xmp
from colorize.photos.mark import Mark
from tests.fuzz import mutations
from tests.helpers.odd_images import chunk, encoded, photo

MARK = Mark("a" * 64, "unet", "b" * 64, 0.38, 128, 0.1 + 0.2, "0.1.0")
MARKS = [
    MARK,
    Mark("", "regression", "c" * 64, None, None, 2.0, "1.0"),
    replace(MARK, temperature=0.0, strength=0.0, model="<&> Modell für 日本"),
]
OLD_SOURCE = "0123456789abcdef" * 4


def old_result(**texts: str) -> bytes:
    """As versions before the mark wrote it."""
    text = PngImagePlugin.PngInfo()
    for name, value in {"Software": "colorize", "Comment": mark.COMMENT, "Source SHA-256": OLD_SOURCE, **texts}.items():
        text.add_text(name, value)
    return encoded("PNG", pnginfo=text)


def marked(format: str, made: Mark = MARK) -> bytes:
    packet = mark.to_xmp(made, {"dc:title": ("A title",)})
    if format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode())
        return encoded("PNG", pnginfo=text)
    return encoded("TIFF", tiffinfo={700: packet}) if format == "TIFF" else encoded(format, xmp=packet)


FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")


@pytest.mark.parametrize("made", MARKS)
def test_a_mark_survives_as_xmp(made):
    packet = mark.to_xmp(made, {})
    assert mark.from_xmp(packet) == made
    assert mark.SOURCE_TYPE.encode() in packet
    assert xmp.parse(packet)[xmp.TOOL] == (f"let-there-be-color {made.version}",)


def test_without_mark_and_properties_there_is_no_xmp():
    assert mark.to_xmp(None, {}) == b""
    assert mark.from_xmp(mark.to_xmp(None, {"dc:title": ("A title",)})) is None


@pytest.mark.parametrize("format", FORMATS)
def test_a_mark_is_read_from_a_file_of_any_name(format, tmp_path):
    (tmp_path / "renamed.bin").write_bytes(marked(format))
    assert mark.read(tmp_path / "renamed.bin") == MARK


def test_a_mark_that_another_program_wrote_again_is_read():
    """With attributes instead of elements, and another prefix."""
    text = mark.to_xmp(MARK, {}).decode()
    assert "<colorize:Model>unet</colorize:Model>" in text
    text = text.replace("<colorize:Model>unet</colorize:Model>", "")
    text = text.replace('<rdf:Description rdf:about=""', '<rdf:Description rdf:about="" colorize:Model="unet"')
    text = text.replace("colorize:", "ns1:").replace("xmlns:colorize", "xmlns:ns1")
    assert mark.from_xmp(text.encode()) == MARK


def test_compressed_xmp_of_a_png_is_read_and_a_bomb_is_not():
    packet = mark.to_xmp(MARK, {})
    bomb = packet.replace(b"</rdf:RDF>", b" " * (50 * xmp.MAX_BYTES) + b"</rdf:RDF>")
    for content, expected in ((packet, MARK), (bomb, None)):
        text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(content)
        data = encoded("PNG")
        assert mark.parse(data[:33] + chunk(b"iTXt", text) + data[33:]) == expected


def test_results_of_earlier_versions_are_recognized():
    assert mark.parse(old_result()).source_sha256 == OLD_SOURCE
    assert mark.parse(old_result(**{"Source SHA-256": "no hash"})).source_sha256 == ""
    assert mark.parse(old_result(Software="GIMP")) is None


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000"])
def test_a_photo_has_no_mark(format):
    assert mark.parse(encoded(format)) is None


def test_files_that_cannot_be_read_have_no_mark(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("pipe.png", "empty.jpg", "missing.jpg", ".", "a\0b.png"):
        assert mark.read(tmp_path / name) is None


def test_wrong_values_of_a_mark_are_left_out():
    text = mark.to_xmp(MARK, {}).decode()
    text = text.replace("a" * 64, "../../etc").replace(">128<", ">1e999<").replace(">0.38<", ">warm<")
    assert mark.from_xmp(text.encode()) == replace(MARK, source_sha256="", size=None, temperature=None)


def test_the_first_marked_packet_counts():
    data = encoded("JPEG", xmp=mark.to_xmp(None, {"dc:title": ("A title",)}))
    packet = b"http://ns.adobe.com/xap/1.0/\0" + mark.to_xmp(MARK, {})
    at = 20  # behind the segment of JFIF
    assert mark.parse(data[:at] + struct.pack(">HH", 0xFFE1, len(packet) + 2) + packet + data[at:]) == MARK


def test_reading_a_mark_imports_neither_torch_nor_pillow():
    code = "import sys, colorize.photos.mark; print({'torch', 'PIL', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    total = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.total += len(found)
        return found


@pytest.mark.parametrize("format", FORMATS)
def test_the_pixels_of_a_file_are_not_read(format):
    data = encoded(format, photo(1000, 700))
    if format == "PNG":
        data = data[:33] + chunk(b"IDAT", b"") * 500 + data[33:]
    file = Counting(data)
    assert mark.read_from(file) is None
    assert file.total < 1000


@pytest.mark.parametrize("format", FORMATS)
def test_whatever_the_bytes_are_reading_a_mark_ends_soon_and_without_an_error(format):
    rng = random.Random(format)
    files = [marked(format), old_result()] if format == "PNG" else [marked(format)]
    started, count = time.monotonic(), 400
    for _ in range(count):
        found = mark.parse(mutations.mutate(rng.choice(files), rng))
        assert found is None or isinstance(found, Mark)
    assert time.monotonic() - started < 10


def test_pillow_reads_the_files_of_these_tests():
    for format in FORMATS:
        with Pillow.open(io.BytesIO(marked(format))) as picture:
            picture.load()
