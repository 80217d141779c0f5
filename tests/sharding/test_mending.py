"""JPEGs that every viewer opens are used with the pixels of the intact file. If pixels are lost, they are refused."""

import struct

import numpy as np
import pytest

from colorize.sharding import images, jpeg, mending
from tests.fuzz import samples

PHOTO = samples.photo("flower").resize((96, 80))
PLAIN = {
    "baseline": samples.encoded(PHOTO, "JPEG"),
    "progressive": samples.encoded(PHOTO, "JPEG", progressive=True),
    "gray": samples.encoded(PHOTO.convert("L"), "JPEG"),
    "CMYK": samples.encoded(PHOTO.convert("CMYK"), "JPEG"),
    "EXIF": samples.encoded(PHOTO, "JPEG", exif=samples.exif(6)),
    "restart markers": samples.encoded(PHOTO, "JPEG", restart_marker_rows=1),
}


def scans_of(data: bytes) -> list[int]:
    """Positions of the scans."""
    return [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]


def jfif_2(data: bytes) -> bytes:
    at = data.find(b"JFIF\0")
    return data[: at + 5] + b"\2" + data[at + 6 :] if at > 0 else data


def adobe_9(data: bytes) -> bytes:
    """With a color transform that Adobe has not defined instead of JFIF; decoders assume the usual one."""
    adobe = samples.segment(0xEE, b"Adobe\0\x64\0\0\0\0\x09")
    return data if b"Adobe" in data else data[:2] + adobe + data[20:]


ODD = {
    "no end mark": lambda data: data[:-2],
    "half an end mark": lambda data: data[:-1],
    "trailer": lambda data: data[:-2] + b"written by a camera 1234567890 " * 20,
    "trailer with markers": lambda data: data[:-2] + b"written by a camera \xff\xd8\xff\xe1\xff\xff\xff\xda",
    "zeros": lambda data: data[:-2] + bytes(40) + data[-2:],
    "fill bytes": lambda data: data[:-2] + b"\xff" * 40 + data[-2:],
    "few bytes": lambda data: data[:-2] + b"\x12\x34\x7f" + data[-2:],
    "bytes before a segment": lambda data: data[:2] + b"\0\xff\0ab" + data[2:],
    "bytes before the scan": lambda data: data[: scans_of(data)[0]] + b"abc" + data[scans_of(data)[0] :],
    "another JFIF": jfif_2,
    "another Adobe": adobe_9,
    "two at once": lambda data: data[:2] + b"ab" + data[2:-2] + bytes(30),
}


@pytest.mark.parametrize("size", [32, 80])
@pytest.mark.parametrize("kind", PLAIN)
def test_a_jpeg_with_harmless_errors_gives_the_pixels_of_the_intact_file(kind, size):
    expected, whole = images.decode(PLAIN[kind], size), np.asarray(images.open_rgb(PLAIN[kind]))
    for name, make in ODD.items():
        odd = make(PLAIN[kind])
        out = np.full((size, size, 3), 7, np.uint8)
        found = images.decode(memoryview(odd), size, out=out)
        photo, note = images.open_with_note(odd)
        assert found.rgb is out and np.array_equal(found.rgb, expected.rgb), name
        assert np.array_equal(np.asarray(photo), whole), name
        assert found.note == note and found.note in (expected.note, with_mended(expected.note)), name


def with_mended(note: str | None) -> str:
    return f"{note}, {images.MENDED}" if note else images.MENDED


def test_harmless_errors_are_counted_as_a_conversion():
    for name in ODD.keys() - {"fill bytes", "few bytes"}:  # the first are allowed, the second are not noticed
        assert images.decode(ODD[name](PLAIN["baseline"]), 64).note == images.MENDED, name


def refusal(data: bytes) -> str:
    """The reason, which must be the same for both ways of decoding."""
    reasons = set()
    for read in (lambda data: images.decode(data, 64), images.open_rgb):
        with pytest.raises(images.Reject) as caught:
            read(data)
        reasons.add(caught.value.reason)
    (reason,) = reasons
    return reason


def test_a_progressive_jpeg_that_ends_after_one_of_its_scans_is_truncated():
    data = PLAIN["progressive"]
    for scan in scans_of(data)[1:]:
        assert refusal(data[:scan]) == images.TRUNCATED
        assert refusal(data[:scan] + b"written by a camera" * 9) in (images.TRUNCATED, images.DAMAGED)


@pytest.mark.parametrize("kind", PLAIN)
def test_cut_pixels_are_refused_even_with_a_trailer(kind):
    data = PLAIN[kind]
    for missing in (3, 10, 200):
        refusal(data[:-missing] + bytes(5))
        for count in (40, 5000):
            refusal(data[:-missing] + bytes(count))
            refusal(data[:-missing] + bytes(count) + data[-2:])
            refusal(data[:-missing] + b"\xff" * count + data[-2:])
    refusal(data[:-200] + b"written by a camera" * 99)
    refusal(data[:-200] + b"written by a camera" * 99 + data[-2:])


def test_damaged_pixels_are_refused_even_with_harmless_errors():
    data = bytearray(PLAIN["restart markers"])
    at = data.index(b"\xff\xd1")
    data[at + 1] = 0xD5
    for make in ODD.values():
        refusal(make(bytes(data)))


def test_pixels_that_are_left_over_are_damage():
    """The frame has fewer rows than the scan: what is left over could also be pixels after damaged ones."""
    data = PLAIN["baseline"]
    at = data.index(b"\xff\xc0") + 5
    shorter = data[:at] + struct.pack(">H", 48) + data[at + 2 :]
    assert refusal(shorter) == images.DAMAGED
    assert refusal(shorter[:-2]) == images.TRUNCATED


def larger(data: bytes, side: int) -> bytes:
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


@pytest.mark.parametrize("kind", ["baseline", "progressive", "CMYK"])
def test_a_huge_jpeg_with_harmless_errors_is_refused_before_it_is_decoded(kind, monkeypatch):
    monkeypatch.setattr(images.simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("decoded"))
    for name in ("bytes before a segment", "bytes before the scan", "two at once"):
        assert refusal(ODD[name](larger(PLAIN[kind], 40_000))) == images.TOO_LARGE


def test_many_scans_behind_stray_bytes_are_refused_before_they_are_decoded(monkeypatch):
    data = PLAIN["progressive"]
    first, second = scans_of(data)[:2]
    many = ODD["bytes before a segment"](data[:first] + data[first:second] * 300 + data[second:])
    monkeypatch.setattr(images.simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("decoded"))
    assert refusal(many) == images.DAMAGED


def test_a_file_that_is_mended_has_one_header_for_all_decoders():
    for kind, data in PLAIN.items():
        mended = mending.mend(ODD["two at once"](data))
        assert jpeg.read_header(mended) == jpeg.read_header(data), kind


@pytest.mark.parametrize("odd", [b"\xff\x01", b"\xff\xd0", b"\xff\xd8", b"\xff\xf0\0\2", b"\xff\xc1\0\4ab"])
def test_a_header_that_decoders_may_read_differently_is_not_mended(odd):
    data = PLAIN["baseline"]
    assert mending.mend(data) == data
    assert mending.mend(data[:2] + odd + data[2:]) is None
