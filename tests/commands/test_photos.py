"""`colorize photos`: which results it writes, and what it says."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from colorize import runtime
from tests.helpers.coloring import colorize, draw, json_lines, names, read


def without_seconds(text: str) -> list[str]:
    """Lines with N in place of the seconds of the run."""
    return re.sub(r" in [1-9]\d* s, ", " in N s, ", text).splitlines()


# --- photos ----------------------------------------------------------------------------------------------------------


def test_orientation_is_applied(here):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw("turned.jpg", 24, 40, exif=exif)
    assert colorize("turned.jpg") == 0
    assert read("colorized/turned.jpg").shape == (40, 24, 3)


def test_a_gray_photo_gets_colors(here):
    Image.fromarray(draw("any.png")[..., 0]).save("gray.png")
    assert colorize("gray.png", "-o", "out") == 0
    assert np.ptp(read("out/gray.png"), axis=2).max() > 10


@pytest.mark.parametrize(
    ("name", "kind", "result"),
    [
        ("a.JPEG", "JPEG", "a.jpg"),
        ("a.png", "PNG", "a.png"),
        ("a.webp", "WEBP", "a.webp"),
        ("a.tiff", "TIFF", "a.tif"),
        ("a.bmp", "BMP", "a.png"),
        ("a.gif", "GIF", "a.png"),
        ("a.jp2", "JPEG2000", "a.png"),
        ("wrong.png", "JPEG", "wrong.jpg"),
    ],
)
def test_a_result_has_the_kind_that_came_in_or_is_a_png(here, name, kind, result):
    draw(name, format=kind)
    assert colorize(name, "-o", "out") == 0
    assert names("out") == [result]


@pytest.mark.parametrize(("option", "kind", "ending"), [("jpeg", "JPEG", "jpg"), ("webp", "WEBP", "webp"),
                                                        ("tiff", "TIFF", "tif"), ("png", "PNG", "png"),
                                                        ("jpg", "JPEG", "jpg"), ("TIF", "TIFF", "tif")])  # fmt: skip
def test_the_kind_can_be_chosen(here, option, kind, ending):
    draw("a.jpg")
    assert colorize("a.jpg", "-o", "out", "--format", option) == 0
    with Image.open(f"out/a.{ending}") as picture:
        assert picture.format == kind


def test_quality_and_subsampling_can_be_chosen(here):
    draw("a.png", 200, 200)
    sizes = []
    for quality in ("40", "95"):
        assert colorize("a.png", "-o", quality, "--format", "jpeg", "--quality", quality, "--subsampling", "4:4:4") == 0
        sizes.append(Path(quality, "a.jpg").stat().st_size)
    assert sizes[1] > 2 * sizes[0]
    assert colorize("a.png", "-o", "half", "--format", "jpeg", "--quality", "95", "--subsampling", "4:2:0") == 0
    assert Path("half/a.jpg").stat().st_size < sizes[1]


def test_the_strength_multiplies_the_colors(here):
    Image.fromarray(draw("any.png")[..., 0]).save("gray.png")
    ranges = []
    for strength in ("0", "0.5", "1"):
        assert colorize("gray.png", "-o", strength, "--strength", strength) == 0
        ranges.append(np.ptp(read(f"{strength}/gray.png").astype(int), axis=2).mean())
    assert ranges[0] < 2 < ranges[1] < 0.8 * ranges[2]


def test_the_tree_of_a_folder_is_kept(here):
    for name in ("album/a.jpg", "album/1943/a.jpg", "album/1943/may/b.png"):
        draw(name)
    assert colorize("album", "--recursive", "-o", "out") == 0
    assert names("out") == ["1943/a.jpg", "1943/may/b.png", "a.jpg"]


def test_two_photos_of_one_name_give_two_results(here):
    one, other = draw("a/photo.png", 20, 30), draw("b/photo.png", 40, 30)
    assert colorize("a/photo.png", "b/photo.png", "a/../a/photo.png", "-o", "out") == 0  # the same file counts once
    assert read("out/photo.png").shape == one.shape
    assert read("out/photo-2.png").shape == other.shape
    assert len(list(Path("out").iterdir())) == 2


def test_nothing_but_earlier_results_is_overwritten(here, capsys):
    photo = draw("photo.png")
    other = draw("photo-2.png", 30, 30)  # not an input, not a result
    assert colorize("photo.png", "-o", ".") == 0
    assert np.array_equal(read("photo.png"), photo)
    assert np.array_equal(read("photo-2.png"), other)
    assert "photo.png -> photo-3.png" in capsys.readouterr().out
    assert colorize("photo.png", "-o", ".", "--temperature", "0") == 0
    assert "photo.png -> photo-3.png" in capsys.readouterr().out


def test_results_of_earlier_versions_are_recognized_and_replaced(here):
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "colorize")
    draw("photo.png")
    text.add_text("Source SHA-256", runtime.sha256_of("photo.png"))
    before = draw("out/photo.png", seed=1, pnginfo=text)
    assert colorize("photo.png", "out", "-o", "out") == 3  # a folder of results alone holds no photo
    assert not np.array_equal(read("out/photo.png"), before)
    assert names("out") == ["photo.png"]


def test_results_that_name_no_source_are_never_replaced(here):
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "colorize")  # as the first versions wrote
    draw("photo.png")
    before = draw("out/photo.png", pnginfo=text)
    assert colorize("photo.png", "-o", "out") == 0
    assert np.array_equal(read("out/photo.png"), before)
    assert Path("out/photo-2.png").exists()


def test_a_folder_of_results_alone_holds_no_photo(here, capsys):
    draw("photo.png")
    assert colorize("photo.png", "-o", "out") == 0
    assert colorize("out", "-o", "again") == 3
    assert capsys.readouterr().err.splitlines() == [
        "error: out: no photos in this folder",
        "skipped 1 earlier result; to color one, name its file",
    ]
    assert colorize("out", "out/photo.png", "-o", "again") == 3
    assert "skipped" not in capsys.readouterr().err
    assert Path("again/photo.png").exists()


def test_a_named_pipe_among_the_results_is_not_opened(here):
    draw("photo.png")
    Path("out").mkdir()
    os.mkfifo("out/photo.png")
    assert colorize("photo.png", "-o", "out") == 0
    assert Path("out/photo-2.png").is_file()


def test_a_folder_stands_for_the_photos_in_it(here, capsys):
    draw("folder/b.jpg")
    draw("folder/a.PNG")
    draw("folder/.hidden.png")
    draw("folder/sub/c.png")
    Path("folder/notes.txt").write_text("not a photo")
    assert colorize("folder", "-o", "out") == 0
    assert names("out") == ["a.png", "b.jpg"]
    assert without_seconds(capsys.readouterr().err) == [
        "2 photos colored in N s, into out/",
        "left out: 1 subfolder; --recursive adds them",
        "left out: 1 file (.txt 1)",
    ]
    assert colorize("folder", "-o", "out") == 0
    assert capsys.readouterr().err.splitlines()[0] == (
        "skipped 2 photos with a result of the same model and parameters; --force makes them again"
    )


def test_a_bad_photo_does_not_stop_the_others(here, capsys):
    draw("good.png")
    Path("text\n.jpg").write_text("no photo at all")
    Path("folder").mkdir()
    Image.fromarray(np.zeros((20, 20), np.float32)).save("deep.tif")
    assert colorize("text\n.jpg", "deep.tif", "missing.png", "folder", "good.png", "-o", "out") == 3
    captured = capsys.readouterr()
    assert captured.out.startswith("good.png -> ")
    assert without_seconds(captured.err) == [
        "error: missing.png: no such file or folder",
        "error: folder: no photos in this folder",
        "error: text\\n.jpg: not an image",
        "error: deep.tif: more than 16 bits per channel, or a JPEG of 12 bits; convert it to 8 bits",
        "1 photo colored in N s, into out/",
        "4 of 5 photos failed; the errors are above",
    ]
    assert [path.name for path in Path("out").iterdir()] == ["good.png"]


def test_a_photo_whose_end_is_missing_is_called_incomplete(here, capsys):
    draw("photo.jpg", 60, 80)
    Path("photo.jpg").write_bytes(Path("photo.jpg").read_bytes()[:-300])
    assert colorize("photo.jpg") == 3
    assert "photo.jpg: incomplete: its end is missing; copy or download it again\n" in capsys.readouterr().err


def test_a_photo_without_an_end_is_named_and_the_others_are_colored(here, capsys):
    draw("good.png")
    os.mkfifo("pipe.jpg")
    with Path("sparse.jpg").open("wb") as file:
        file.truncate(1 << 40)
    assert colorize("pipe.jpg", "/dev/zero", "sparse.jpg", "good.png", "-o", "out") == 3
    limits = "50 megapixels (JPEG 2000 and AVIF: 25) and 256 MiB"
    assert without_seconds(capsys.readouterr().err) == [
        "error: pipe.jpg: not a regular file",
        "error: /dev/zero: not a regular file",
        f"error: sparse.jpg: too large; the limits are {limits}; --max-megapixels raises them",
        "1 photo colored in N s, into out/",
        "3 of 4 photos failed; the errors are above",
    ]
    assert Path("out/good.png").exists()


def test_the_limit_in_megapixels_can_be_changed(here, capsys):
    draw("a.png", 1000, 1200)
    assert colorize("a.png", "--max-megapixels", "1") == 3
    limits = "1 megapixels (JPEG 2000 and AVIF: 0.5) and 256 MiB"
    assert f"too large; the limits are {limits}; --max-megapixels raises them" in capsys.readouterr().err
    assert colorize("a.png", "--max-megapixels", "1.2") == 0


# --- what is said ----------------------------------------------------------------------------------------------------


def test_json_has_one_object_per_photo_and_nothing_else(here, capsys):
    rgba = Image.fromarray(draw("photo.png", 40, 40)).convert("RGBA")
    rgba.putalpha(0)
    rgba.save("photo.png")
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert colorize("photo.png", "missing.jpg", "broken.jpg", "--confidence", "--json") == 3
    missing, colored, broken = json_lines(capsys.readouterr().out)
    empty = {"result": None, "map": None, "fitted_fraction": None, "seconds": None}
    assert missing == {**empty, "source": "missing.jpg", "status": "failed", "note": "no such file or folder"}
    assert (broken["source"], broken["status"]) == ("broken.jpg", "failed")
    assert colored.pop("seconds") > 0
    assert 0 <= colored.pop("fitted_fraction") <= 1
    path = "colorized/photo.png"
    said = {"source": "photo.png", "result": path, "map": f"{path}.entropy.png", "status": "colored"}
    assert colored == {**said, "note": "empty alpha ignored, its own colors were not used"}
    assert colorize("photo.png", "--json") == 0
    (done,) = json_lines(capsys.readouterr().out)
    assert (done["status"], done["result"], done["seconds"]) == ("done", path, None)


def test_what_had_to_be_converted_is_said(here, capsys):
    rgba = Image.fromarray(draw("photo.png", 40, 40)).convert("RGBA")
    rgba.putalpha(0)
    rgba.save("photo.png")
    assert colorize("photo.png", "-o", "out") == 0
    assert "(empty alpha ignored, its own colors were not used; " in capsys.readouterr().out


def test_a_photo_in_color_is_told_that_its_colors_are_not_used_and_a_gray_one_is_not(here, capsys):
    rgb = draw("color.png")
    Image.fromarray(np.repeat(rgb[..., :1], 3, axis=2)).save("neutral.png")
    assert colorize("color.png", "neutral.png", "-o", "out", "--json") == 0
    assert [line["note"] for line in json_lines(capsys.readouterr().out)] == ["its own colors were not used", None]


def test_progress_counts_the_photos(here, monkeypatch):
    shown = []
    progress = runtime.progress

    def spy(*arguments):
        shown.append(arguments)
        return progress(*arguments)

    monkeypatch.setattr(runtime, "progress", spy)
    draw("a.png")
    draw("b.png")
    assert colorize("a.png", "b.png") == 0
    assert shown == [("color", 2, "photos")]
