"""What is read by hand of JPEG, PNG and WebP headers is what the decoder sees, or nothing."""

import io
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image as Pillow

from colorize.sharding import images, jpeg, orientation, png, webp
from tests.fuzz import samples
from tests.fuzz.samples import chunk, segment

BASELINE = samples.files()["JPEG"]["baseline"]
SCAN = BASELINE.index(b"\xff\xda")
FRAME = segment(0xC0, struct.pack(">BHHB", 8, 64, 64, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0)))


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setattr(jpeg._Last, "read", (b"", 0, None))


def two_sizes(side: int, progressive: bool = False) -> bytes:
    """A small JPEG of two sizes: 64 for who takes the marker without length for one with a length."""
    data = samples.encoded(samples.photo("china").resize((32, 32)), "JPEG", progressive=progressive)
    scan = data.index(b"\xff\xda")
    content = bytearray(b"x" * 65533)
    landing = 4 + int.from_bytes(data[2:4]) - (scan + 2) - 4
    content[landing : landing + len(FRAME)] = FRAME
    data = data[:2] + b"\xff\xd0" + data[2:scan] + segment(0xFE, bytes(content)) + data[scan:]
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


@pytest.mark.parametrize(
    "odd",
    [b"\xff\x01", b"\xff\x00", *(bytes((0xFF, 0xD0 + n)) for n in range(10)), b"\xff\xe5\0\0", b"\xff\xe5\0\1", FRAME,
     b"\xff\xf0\0\2", b"\xff\xdc\0\4\0\1", b"\0", b"\xff" * 100],
)  # fmt: skip
@pytest.mark.parametrize("place", [2, SCAN])
def test_a_header_with_anything_odd_before_the_first_scan_is_not_read(odd, place):
    assert jpeg.read_header(BASELINE) is not None
    assert jpeg.read_header(BASELINE[:place] + odd + BASELINE[place:]) is None


LONG = 0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0" + struct.pack(">I", 65500) + bytes(65500) + b"8BIM\4\4"


@pytest.mark.parametrize("short", [*samples.SHORT_SEGMENTS, LONG])
@pytest.mark.parametrize("profile", [b"", samples.foreign_profile()])  # Pillow alone reads files with a profile
def test_segments_that_are_too_short_for_pillow_do_not_matter(short, profile):
    data = samples.encoded(samples.photo("china"), "JPEG", icc_profile=profile)
    odd = data[:2] + segment(*short) + data[2:]
    with pytest.raises(Pillow.UnidentifiedImageError):
        Pillow.open(io.BytesIO(odd))
    assert np.array_equal(images.open_rgb(odd), images.open_rgb(data))
    found, expected = images.decode(odd, 32), images.decode(data, 32)
    assert np.array_equal(found.rgb, expected.rgb) and found.note == expected.note == images.open_with_note(odd)[1]


def test_fill_bytes_are_nothing_odd():
    header = jpeg.read_header(BASELINE)
    assert jpeg.read_header(BASELINE[:2] + b"\xff" * 3 + BASELINE[2:]) == header


def test_what_stands_behind_the_frame_of_a_remembered_header_is_read():
    assert jpeg.read_header(BASELINE).metadata.exif is None
    behind = BASELINE[:SCAN] + segment(0xE1, samples.exif(6)) + BASELINE[SCAN:]
    assert jpeg.read_header(behind).metadata.exif == samples.exif(6)
    assert jpeg.read_header(BASELINE).metadata.exif is None


def test_headers_that_differ_in_their_tables_alone_are_parsed_once(monkeypatch):
    files = [samples.encoded(samples.photo(name).resize((64, 64)), "JPEG", optimize=True) for name in ("china", "cat")]
    first = jpeg.read_header(files[0])
    monkeypatch.setattr(jpeg, "parse", lambda data: pytest.fail("parsed again"))
    assert files[0][:400] != files[1][:400] and jpeg.read_header(files[1]) == first


def outcome(data: bytes) -> str:
    """What the policy makes of a file: taken, or the reason why not."""
    try:
        images.decode(data, 64)
    except images.Reject as reject:
        return reject.reason
    return "taken"


def test_what_libjpeg_refuses_is_refused_for_the_same_reason_whatever_the_file_before_was():
    table = BASELINE.index(b"\xff\xc4")
    for at in (table + 5, SCAN + 4):  # codes of one bit, components of the scan
        damaged = BASELINE[:at] + b"\xee" + BASELINE[at + 1 :]
        outcomes = set()
        for before in (BASELINE, two_sizes(32)):
            outcome(before)
            outcomes.add(outcome(damaged))
        assert outcomes == {images.DAMAGED}


def test_no_pixels_of_an_earlier_photo_are_left():
    out = np.full((64, 64, 3), (255, 0, 255), np.uint8)
    image = images.decode(two_sizes(32), 64, out=out)
    expected = np.asarray(samples.photo("china").resize((64, 64)), float)
    assert image.rgb is out and np.abs(out - expected).mean() < 12


def test_a_buffer_that_the_decoder_did_not_fill_is_filled_by_the_careful_way(monkeypatch):
    wrong = jpeg.read_header(BASELINE)._replace(width=128, height=128)  # so that half of it were enough
    monkeypatch.setattr(jpeg, "read_header", lambda data: wrong)
    small = samples.encoded(samples.photo("flower").resize((32, 32)), "JPEG")
    out = np.full((64, 64, 3), (255, 0, 255), np.uint8)
    assert np.abs(images.decode(small, 64, out=out).rgb - np.asarray(samples.photo("flower"), float)).mean() < 12


def test_a_huge_jpeg_in_disguise_takes_neither_time_nor_memory(tmp_path, repo):
    (tmp_path / "huge.jpg").write_bytes(two_sizes(40_000, progressive=True))
    code = (
        "import resource, sys; from pathlib import Path; from colorize.sharding import images\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\n"
        "for read in (lambda data: images.decode(data, 64), images.open_rgb):\n"
        "    try: read(Path(sys.argv[1]).read_bytes())\n"
        "    except images.Reject as reject: print(reject)"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "huge.jpg")]
    done = subprocess.run(line, cwd=repo, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [images.TOO_LARGE] * 2


def test_megabytes_without_meaning_take_no_time():
    started = time.monotonic()
    for flood in (b"\xff" * 5_000_000, b"\xff\xd0" * 2_500_000, bytes(5_000_000), b"\xff\xfe\0\2" * 1_000_000):
        with pytest.raises(images.Reject, match=images.DAMAGED):
            images.open_rgb(BASELINE[:2] + flood + BASELINE[2:])
    assert time.monotonic() - started < 0.5


def test_a_png_has_one_header_at_its_start():
    data = samples.files()["PNG"]["RGB"]
    assert png.read_header(data)[:4] == (48, 40, 8, 2)
    text, header = chunk(b"tEXt", b"a\0" + bytes(20)), data[8:33]
    long = chunk(b"IHDR", data[16:29] + b"\0")
    for odd in (data[:8] + text + data[8:], data[:33] + header + data[33:], data[:8] + long + data[33:], data[:20]):
        with pytest.raises(ValueError, match="header"):
            png.read_header(odd)


@pytest.mark.parametrize("size", [(16, 300), (300, 16)])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": samples.exif(1)}])
def test_the_canvas_of_a_webp_is_known_before_it_is_opened(size, options):
    data = samples.encoded(Pillow.new("RGB", size, "red"), "WEBP", **options)
    assert webp.read_size(data) == Pillow.open(io.BytesIO(data)).size == size
    with pytest.raises(ValueError, match="truncated"):
        webp.read_size(data[:-1])


@pytest.mark.parametrize("lossless", [False, True])
def test_a_plain_webp_of_a_huge_size_is_refused_unopened(lossless, monkeypatch):
    data = bytearray(samples.encoded(samples.photo("china"), "WEBP", lossless=lossless))
    place = slice(21, 25) if lossless else slice(26, 30)
    data[place] = b"\xff\x3f\xff\x3f" if not lossless else (0x0FFFFFFF).to_bytes(4, "little")
    monkeypatch.setattr(images.Pillow, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(images.Reject, match=images.TOO_LARGE):
        images.decode(bytes(data), 64)


@pytest.mark.parametrize("value", range(11))
@pytest.mark.parametrize("order", ["<", ">"])
def test_plain_exif_is_read_as_pillow_reads_it(value, order):
    head = b"Exif\0\0" + (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 2)
    entries = struct.pack(order + "HHIHxxHHII", 0x0112, 3, 1, value, 0x011A, 4, 1, 72)
    exif = head + entries + bytes(4)
    parsed = Pillow.Exif()
    parsed.load(exif)
    assert orientation.read(exif, samples.XMP % 3) == (parsed[0x0112] or 1)
    without = head[:-2] + struct.pack(order + "H", 1) + entries[12:] + bytes(4)
    assert (orientation.read(without, samples.XMP % 3), orientation.read(without, None)) == (3, 1)
