"""Damaged files are read as Pillow, libjpeg, tarfile and zipfile read them, or differently for a listed reason."""

import itertools

import pytest

from colorize.sharding import images, jpeg
from tests.fuzz import compare, differential, explained, reasons, samples

FILES = 2000


def test_no_damaged_file_is_read_otherwise_without_a_reason(tmp_path):
    score = differential.Score()
    for name, data in itertools.islice(differential.mutants("test"), FILES):
        differential.examine(name, data, tmp_path, score)
    assert not score.disagreements
    assert score.decoded > 0.2 * score.images  # mutations that destroy every file would test nothing
    assert score.slowest < 5.0


@pytest.mark.parametrize("name", reasons.REASONS)
def test_every_reason_to_differ_from_pillow_has_an_example(name):
    reason = reasons.REASONS[name]
    case = compare.Case(reason.example())
    found = [difference for difference in compare.differences(case) if difference.kind == reason.kind]
    assert found and explained.reasons_for(found[0], case, reasons.REASONS) == [name]
    assert not reasons.unexplained(case)


@pytest.mark.parametrize("family", samples.files())
def test_no_reason_explains_what_sound_plain_files_give(family):
    for name, data in samples.files()[family].items():
        case = compare.Case(data)
        assert not reasons.unexplained(case)
        is_plain = not any(word in name for word in ("profile", "animated", "gAMA", "cHRM", "no end mark"))
        assert is_plain != bool(compare.differences(case)) or name == "gray, profile"


def test_the_comparison_notices_a_reader_that_is_wrong(monkeypatch):
    """Both were faults of this project."""
    baseline = samples.files()["JPEG"]["baseline"]
    xmp = baseline[:2] + samples.segment(0xE1, samples.XMP % 3) + baseline[2:]
    monkeypatch.setattr(images, "_is_upright_srgb", lambda header: True)
    assert [found.kind for found in reasons.unexplained(compare.Case(xmp))] == ["paths"]
    header = jpeg.read_header(baseline)._replace(width=32)
    monkeypatch.setattr(jpeg, "read_header", lambda data: header)
    assert "header" in [found.kind for found in reasons.unexplained(compare.Case(baseline))]
