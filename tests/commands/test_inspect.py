"""What `colorize inspect` says."""

import shutil
from pathlib import Path

import pytest

from colorize import runtime
from tests.helpers.coloring import MODEL, colorize, draw, json_lines

WEIGHTS = MODEL / "model.safetensors"


@pytest.fixture
def result(here):
    draw("photos/1943/a.jpg")
    assert colorize("photos/1943/a.jpg", "-o", "out", "--temperature", "0.2", "--strength", "0.5", "--size", "48") == 0
    return Path("out/a.jpg")


def test_it_names_model_parameters_and_photo(result, capsys):
    capsys.readouterr()
    assert colorize("inspect", result, "--in", "photos") == 0
    text = capsys.readouterr().out
    assert text.startswith("out/a.jpg: a model made the colors\n")
    assert f"  model        unet, weights SHA-256 {runtime.sha256_of(WEIGHTS)} ({MODEL})\n" in text
    for line in ("temperature  0.2", "strength     0.5", "size         48 pixels"):
        assert f"  {line}\n" in text
    assert f"  photo        SHA-256 {runtime.sha256_of('photos/1943/a.jpg')} (photos/1943/a.jpg)\n" in text


def test_photo_and_model_are_found_by_content_and_not_by_name(result, capsys):
    draw("photos/a.jpg", seed=1)
    shutil.move("photos/1943/a.jpg", "out/b.jpg")
    shutil.copytree(MODEL, "copy")
    result.rename("out/renamed.jpg")
    capsys.readouterr()
    assert colorize("inspect", "out/renamed.jpg", "--model", "copy", "--json") == 0
    (found,) = json_lines(capsys.readouterr().out)
    assert (found["source_path"], found["temperature"], found["size"]) == ("out/b.jpg", 0.2, 48)
    assert found["model_path"] in ("copy", str(MODEL))
    Path("out/b.jpg").unlink()
    assert colorize("inspect", "out/renamed.jpg", "--in", "photos", "--json") == 0
    (found,) = json_lines(capsys.readouterr().out)
    assert found["source_path"] is None


def test_files_without_a_mark_are_named(result, capsys):
    draw("plain.jpg")
    Path("text.jpg").write_text("text")
    capsys.readouterr()
    assert colorize("inspect", "plain.jpg", result, "text.jpg", "missing.jpg", "photos") == 3
    captured = capsys.readouterr()
    assert captured.out.startswith("out/a.jpg: ")
    no_mark = "no mark: not a result of this program, or the mark was removed"
    assert captured.err.splitlines() == [
        f"error: plain.jpg: {no_mark}",
        f"error: text.jpg: {no_mark}",
        "error: missing.jpg: no such file",
        "error: photos: not a file",
    ]
    assert colorize("inspect", "plain.jpg", "--json") == 3
    assert json_lines(capsys.readouterr().out) == [{"file": "plain.jpg", "problem": no_mark}]


def test_an_entropy_map_names_its_photo(here, capsys):
    draw("a.png")
    assert colorize("a.png", "-o", "out", "--confidence") == 0
    capsys.readouterr()
    assert colorize("inspect", "out/a.png.entropy.png", "--in", ".") == 0
    said = capsys.readouterr().out
    assert (
        said == f"out/a.png.entropy.png: an entropy map\n  photo        SHA-256 {runtime.sha256_of('a.png')} (a.png)\n"
    )
