"""The program `colorize`: its commands, its models and options, how it ends. tests/commands has each command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import colorize as package
from colorize import runtime
from colorize.color import cielab
from colorize.commands import arguments, photos
from colorize.photos import predict
from tests.helpers import coloring
from tests.helpers.coloring import colorize, draw, names, process, read

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
