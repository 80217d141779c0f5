"""The program `colorize`: its commands, what it writes, what it says, how it ends."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

import colorize as package
from colorize import runtime
from colorize.color import cielab
from colorize.commands import arguments, photos
from colorize.photos import predict
from tests.helpers import coloring
from tests.helpers.coloring import colorize, draw, json_lines, names, process, read

COMMANDS = ("photos", "page", "export", "inspect", "verify")
SLOW = {"torch", "numpy", "PIL.Image"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A repository without anything but one untrained model, objects-unet-0."""
    monkeypatch.chdir(tmp_path)
    return coloring.make_repository(tmp_path)


def imported(done: subprocess.CompletedProcess) -> set[str]:
    """Modules that a process started with `-X importtime` has imported."""
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def lightness(rgb: np.ndarray) -> np.ndarray:
    return cielab.rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 0))[0].numpy()


def without_seconds(text: str) -> list[str]:
    """Lines with N in place of the seconds of the run."""
    return re.sub(r" in [1-9]\d* s, ", " in N s, ", text).splitlines()


# --- commands --------------------------------------------------------------------------------------------------------


def test_a_photo_in_a_process_of_its_own(here):
    rgb = draw("my photo é.png", 51, 33)
    done = process("my photo é.png", "-o", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"my photo é.png -> {Path('out/my photo é.png')}  (")
    assert done.stdout.endswith(" % of the pixels reduced to fit into sRGB)\n")
    assert np.abs(lightness(read("out/my photo é.png")) - lightness(rgb)).max() < 0.35


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_does_not_wait_for_torch(here, command):
    done = process(*filter(None, [command]), "--help", options=("-X", "importtime"))
    assert done.returncode == 0
    assert "examples:" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "argparse" in imported(done)
    assert not imported(done) & SLOW


def test_the_first_help_names_all_commands(here):
    text = process("--help").stdout
    assert text.startswith("usage: colorize [-h] [--version] photo [photo ...] [-o folder]")
    assert all(f"\n  {name} " in text for name in COMMANDS)


def test_without_arguments_the_first_help_is_printed_with_the_exit_code_of_a_wrong_argument(here):
    done = process()
    assert (done.returncode, done.stdout, done.stderr) == (2, "", process("--help").stdout)


def test_a_missing_photo_with_nearly_the_name_of_a_command_is_a_missing_photo(here, capsys):
    assert colorize("export.jpg") == 3
    assert "export.jpg: no such file or folder" in capsys.readouterr().err


def test_a_photo_with_nearly_the_name_of_a_command_is_colored(here):
    draw("exprot", format="PNG")
    assert colorize("exprot", "-o", "out") == 0
    assert names("out") == ["exprot.png"]


def test_the_word_photos_can_be_left_out_and_a_photo_can_be_named_like_a_command(here, capsys):
    draw("page", format="PNG")
    assert colorize("photos", "page", "-o", "one") == 0
    assert colorize("./page", "-o", "two") == 0
    assert read("one/page.png").tobytes() == read("two/page.png").tobytes()


def test_a_folder_that_is_named_like_a_command_is_colored_or_mentioned(here, capsys):
    draw("photos/a.png")
    draw("inspect/b.png")
    assert colorize("photos", "-o", "out") == 0
    assert Path("out/a.png").is_file()
    assert colorize("inspect", "-o", "out") == 2
    assert capsys.readouterr().err.endswith("; for the file or folder inspect, write ./inspect\n")
    assert colorize("./inspect", "-o", "out") == 0


@pytest.mark.parametrize("redirection", ["> /dev/full", "2>&- | true"])
def test_a_photo_is_colored_even_if_nobody_reads_what_is_said(here, redirection):
    """To its end, where Python flushes the streams; tests/product/test_wrong_values.py has each kind of stream."""
    draw("photo.png", 51, 33)
    line = f"set -o pipefail; '{sys.executable}' -m colorize photo.png -o out {redirection}"
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("out/photo.png").is_file()


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (["missing.jpg"], 3, "missing.jpg: no such file"),
        (
            ["photo.png", "--model", "scenes-cnn-0"],
            3,
            "found: objects-unet-0); train it with `dvc repro train@scenes-cnn-0`",
        ),
        (["photo.png", "-o", "photo.png"], 2, "-o photo.png: expected a folder for the results, this is a file"),
        (["photo.png", "--size", "5"], 2, "--size: 5: expected 16 to 1024 pixels"),
        (["photo.png", "--temperature", "nan"], 2, "--temperature: nan: expected 0 to 1"),
        (["photo.png", "--strength", "-1"], 2, "--strength: -1: expected 0 to 2"),
        (["photo.png", "--quality", "95", "--format", "png"], 2, "--quality: png has none"),
        (["photo.png", "--form", "png"], 2, "unrecognized arguments: --form"),
        (["photo.png", "--strength", "abc"], 2, "--strength: abc: expected a number from 0 to 2, such as 1.5"),
        (["photo.png", "--model", "objects-unot-0"], 3, "objects-unet-0); did you mean objects-unet-0? model names"),
        (["exprot", "objects-unet-0"], 2, "exprot: no such command, file or folder; did you mean export?"),
        (["-o", "out"], 2, "the following arguments are required: photo; see `colorize photos --help`"),
    ],
)
def test_errors_are_one_line_without_waiting_for_torch(here, line, code, words):
    draw("photo.png")
    done = process(*line, options=("-X", "importtime"))
    assert not imported(done) & {"torch"}
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == code
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert words in lines[0]


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


# --- models and options ----------------------------------------------------------------------------------------------


def test_a_model_by_its_path(here):
    draw("photo.png")
    assert colorize("photo.png", "--model", "data/models/objects-unet-0", "-o", "out") == 0


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (["--model", "data"], 3, "data: no model.json in this folder"),
        (["--model", "nonsense"], 3, "model names have the form <data set>-<model>-<seed>"),
        (["--model", "photo.png"], 3, "photo.png: expected the folder of a trained model, or a file that ends with"),
        (["-o", "result.jpg"], 2, "-o result.jpg: expected a folder for the results"),
        (["--size", "large"], 2, "--size: large: expected 16 to 1024 pixels"),
        (["--subsampling", "4:2:0", "--format", "png"], 2, "--subsampling: only JPEG has it, not png"),
    ],
)
def test_wrong_options(here, capsys, line, code, words):
    draw("photo.png")
    assert colorize("photo.png", *line) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--temperature", "0.5"], ["--confidence"]])
def test_a_regression_has_no_distribution(tmp_path, monkeypatch, capsys, option):
    monkeypatch.chdir(coloring.make_repository(tmp_path, "regression"))
    draw("photo.png")
    assert colorize("photo.png", "--model", "objects-regression-0", *option) == 2
    assert f"{option[0]}: a regression model predicts no distribution" in capsys.readouterr().err
    assert colorize("photo.png", "--model", "objects-regression-0") == 0


def test_the_limits_of_the_options_are_those_of_the_library(here):
    colorizer = package.load(coloring.MODEL, "cpu")
    parser = arguments.Parser()
    photos.add_arguments(parser)
    for name, low, high in (("size", *predict.SIZES), ("temperature", 0, 1), ("strength", *predict.STRENGTHS)):
        assert getattr(parser.parse_args(["a", f"--{name}", str(high)]), name) == high
        assert getattr(parser.parse_args(["a", f"--{name}", str(low)]), name) == low
        for value in (low - 1, high + 1):
            with pytest.raises(runtime.ParameterError):
                parser.parse_args(["a", f"--{name}={value}"])
            with pytest.raises(runtime.ParameterError):
                package.load(coloring.MODEL, "cpu", **{name: value})
    assert colorizer.strength == parser.parse_args(["a"]).strength


@pytest.mark.parametrize("options", [[], ["--model", "objects-unet-0"], ["--model", "scenes-cnn-0"]])
def test_outside_the_repository_the_remedy_is_a_models_folder(tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    draw("photo.png")
    assert colorize("photo.png", *options) == 3
    name = "scenes-cnn-0" if "scenes-cnn-0" in options else "objects-unet-0"
    assert capsys.readouterr().err == (
        f"error: no model {name}: no such folder, and names of models (the default is objects-unet-0) are known only "
        "inside the project's repository; pass a trained model's folder with --model\n"
    )


def test_a_device_that_is_not_there(here, capsys):
    draw("photo.png")
    assert colorize("photo.png", "--device", "nonsense") == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_remedy_is_the_cpu(here, capsys):
    draw("photo.png")
    assert colorize("photo.png", "--device", "cuda:1") == 2
    assert capsys.readouterr().err == "error: --device cuda:1: no GPU found; try --device cpu\n"


def test_without_any_model_the_remedy_is_to_train_them(here, capsys):
    draw("photo.png")
    shutil.rmtree("data")
    assert colorize("photo.png") == 3
    assert "(found: none); run `make repro` first: it trains the models" in capsys.readouterr().err


def test_the_command_applies_the_knob_for_threads(here, monkeypatch, capsys):
    applied = []
    monkeypatch.setattr(torch, "set_num_threads", applied.append)
    draw("photo.png")
    monkeypatch.setenv("COLORIZE_THREADS", "2")
    assert colorize("photo.png") == 0
    assert applied == [2]
    monkeypatch.setenv("COLORIZE_THREADS", "two")
    assert colorize("photo.png") == 2
    assert "COLORIZE_THREADS=two: expected a whole number" in capsys.readouterr().err


def test_a_damaged_model_is_named_with_the_remedy(here, capsys):
    draw("photo.png")
    weights = Path("data/models/objects-unet-0/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert colorize("photo.png") == 3
    assert "verify --repair data/models/objects-unet-0 && dvc repro train@objects-unet-0" in capsys.readouterr().err
