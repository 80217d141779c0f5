"""One list says which files are images; what is left out is named by its ending."""

import pytest
from PIL import Image

from colorize.sharding import formats
from colorize.sharding.sources import Pattern

ENDINGS = ("jpg", "JPEG", "jpe", "jfif", "mpo", "png", "webp", "tif", "TIFF", "bmp", "gif", "ppm", "pgm", "avif", "jp2")


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_with_the_ending_of_an_image_are_listed(ending):
    for name in (f"a.{ending}", f"folder/two\nlines.{ending}", f"dots..{ending}"):
        assert formats.is_image(name)
        assert Pattern().compiled().fullmatch(name)
    for name in (f".{ending}", f"folder/.a.{ending}", f".folder/a.{ending}", f"__MACOSX/a.{ending}", f"a.{ending}.txt"):
        assert not formats.is_image(name)
    assert formats.has_image_ending(f"folder/.a.{ending}") and not formats.has_image_ending("folder.jpg/a")


def test_every_ending_belongs_to_a_format_that_pillow_reads():
    Image.init()
    known = Image.registered_extensions()
    for format in formats.FORMATS:
        assert format in Image.OPEN
        for ending in formats._ENDINGS[format]:
            assert {"MPO": "JPEG", "DIB": "BMP"}.get(known["." + ending], known["." + ending]) == format


def test_files_are_counted_by_ending_and_the_most_frequent_is_the_first():
    names = ["a/b.HEIC", "c.txt", "d.heic", "e", "f/.hidden.jpg", "g.tar.gz"]
    counts = {".heic": 2, ".gz": 1, ".txt": 1, "hidden": 1, "no ending": 1}
    assert formats.endings(names) == counts
    assert list(formats.endings(names)) == list(counts)
    assert formats.endings([]) == {}


def test_an_ending_cannot_write_to_the_terminal():
    assert formats.endings(["a.\x1b[2J", "b.two\nlines", "c." + "x" * 300, "d.päivä"]) == {"other": 4}


def test_a_message_names_the_endings_and_the_remedy_for_heic():
    counts = {".heic": 2000, ".txt": 1}
    assert formats.describe(counts) == f"2,001 files (.heic 2,000, .txt 1); HEIC: {formats.HEIC_REMEDY}"
    assert formats.describe({".txt": 1}) == "1 file (.txt 1)"
    many = {f".{letter}": 1 for letter in "abcdefgh"}
    assert formats.describe(many) == "8 files (.a 1, .b 1, .c 1, .d 1, .e 1, .f 1, ...)"
