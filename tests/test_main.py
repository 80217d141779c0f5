"""The command line: what it writes, what it says, how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from colorize import __main__ as command
from colorize import runtime
from colorize.color import cielab
from colorize.models import contract, files


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A repository without anything but one untrained model, objects-unet-0."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").touch()
    torch.manual_seed(0)
    model = contract.build_model("unet", 0.05)
    files.save(Path("data/models/objects-unet-0"), model, {"model": "unet", "width": 0.05, "size": 32})
    return tmp_path


def draw(name: str, height: int = 24, width: int = 32, **options) -> np.ndarray:
    """Save a photo; its pixels."""
    rgb = np.random.default_rng(0).integers(60, 200, (height, width, 3), dtype=np.uint8)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(name, **options)
    return rgb


def read(name: str) -> np.ndarray:
    with Image.open(name) as picture:
        return np.array(picture)


def colorize(*arguments: str) -> int:
    """The command's exit code."""
    try:
        command.main(*arguments)
    except runtime.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as error:
        return error.code or 0
    return 0


def process(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[1])}
    line = [sys.executable, *options, "-m", "colorize", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)


def imported(done: subprocess.CompletedProcess) -> set[str]:
    """Modules that a process started with `-X importtime` has imported."""
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def lightness(rgb: np.ndarray) -> np.ndarray:
    return cielab.rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 0))[0].numpy()


def test_a_photo_in_a_process_of_its_own(here):
    rgb = draw("my photo é.png", 51, 33)
    done = process("my photo é.png", "-o", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"my photo é.png -> {Path('out/my photo é.png')}  (")
    assert done.stdout.endswith(" % of the pixels reduced to fit into sRGB)\n")
    assert np.abs(lightness(read("out/my photo é.png")) - lightness(rgb)).max() < 0.35


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "| true", "> /dev/full"])
def test_a_photo_is_colored_even_if_nobody_reads_what_is_said(here, redirection):
    draw("photo.png", 51, 33)
    line = f"set -o pipefail; '{sys.executable}' -m colorize photo.png -o out {redirection}"
    environment = {**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[1])}
    done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("out/photo.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.jpg"], 3, "missing.jpg: no such file"),
        (
            ["photo.png", "--model", "scenes-cnn-0"],
            3,
            "found: objects-unet-0); train it with `dvc repro train@scenes-cnn-0`",
        ),
        (["photo.png", "-o", "photo.png"], 3, "photo.png: cannot create this folder"),
    ],
)
def test_errors_are_one_line_without_waiting_for_torch(here, arguments, code, words):
    draw("photo.png")
    done = process(*arguments, options=("-X", "importtime"))
    assert not imported(done) & {"torch"}
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == code
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert words in lines[0]


def test_help_does_not_wait_for_torch(here):
    done = process("--help", options=("-X", "importtime"))
    assert done.returncode == 0
    assert "--model" in done.stdout
    assert "argparse" in imported(done)
    assert not imported(done) & {"torch", "numpy", "PIL.Image"}


def test_orientation_is_applied(here):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw("turned.jpg", 24, 40, exif=exif)
    assert colorize("turned.jpg") == 0
    assert read("colorized/turned.png").shape == (40, 24, 3)


def test_a_gray_photo_gets_colors(here):
    Image.fromarray(draw("any.png")[..., 0]).save("gray.png")
    assert colorize("gray.png", "-o", "out") == 0
    assert np.ptp(read("out/gray.png"), axis=2).max() > 10


def test_two_photos_of_one_name_give_two_results(here):
    one, other = draw("a/photo.png", 20, 30), draw("b/photo.jpg", 40, 30)
    assert colorize("a/photo.png", "b/photo.jpg", "a/../a/photo.png", "-o", "out") == 0  # the same file counts once
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


def test_a_result_names_its_source_and_only_that_one_is_replaced(here):
    draw("a/photo.png", 20, 30)
    draw("b/photo.png", 40, 30)
    assert colorize("a", "-o", "out") == colorize("b", "-o", "out") == colorize("b", "a", "-o", "out") == 0
    for name, folder in (("photo", "a"), ("photo-2", "b")):
        with Image.open(f"out/{name}.png") as picture:
            assert picture.info["Source SHA-256"] == runtime.sha256_of(f"{folder}/photo.png")
    assert len(list(Path("out").iterdir())) == 2


def test_results_that_name_no_source_are_never_replaced(here):
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "colorize")  # as earlier versions wrote
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


def test_a_folder_stands_for_the_photos_in_it(here):
    draw("folder/b.jpg")
    draw("folder/a.PNG")
    draw("folder/.hidden.png")
    Path("folder/notes.txt").write_text("not a photo")
    assert colorize("folder", "-o", "out") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.png"]


def test_a_bad_photo_does_not_stop_the_others(here, capsys):
    draw("good.png")
    Path("text\n.jpg").write_text("no photo at all")
    Path("folder").mkdir()
    Image.fromarray(np.zeros((20, 20), np.float32)).save("deep.tif")
    assert colorize("text\n.jpg", "deep.tif", "missing.png", "folder", "good.png", "-o", "out") == 3
    captured = capsys.readouterr()
    assert captured.out.startswith("good.png -> ")
    assert captured.err.splitlines() == [
        "error: missing.png: no such file or folder",
        "error: folder: no photos in this folder",
        "error: text\\n.jpg: not an image",
        "error: deep.tif: more than 16 bits per channel, or a JPEG of 12 bits; convert it to 8 bits",
        "4 of 5 photos failed; the errors are above",
    ]
    assert [path.name for path in Path("out").iterdir()] == ["good.png"]


def test_a_photo_without_an_end_is_named_and_the_others_are_colored(here, capsys):
    draw("good.png")
    os.mkfifo("pipe.jpg")
    with Path("sparse.jpg").open("wb") as file:
        file.truncate(1 << 40)
    assert colorize("pipe.jpg", "/dev/zero", "sparse.jpg", "good.png", "-o", "out") == 3
    assert capsys.readouterr().err.splitlines() == [
        "error: pipe.jpg: not a regular file",
        "error: /dev/zero: not a regular file",
        "error: sparse.jpg: too large; the limits are 50 megapixels (JPEG 2000 and AVIF: 25) and 256 MiB",
        "3 of 4 photos failed; the errors are above",
    ]
    assert Path("out/good.png").exists()


def test_a_model_by_its_path(here):
    draw("photo.png")
    assert colorize("photo.png", "--model", "data/models/objects-unet-0", "-o", "out") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "data"], 3, "data: no model.json in this folder"),
        (["--model", "nonsense"], 3, "model names have the form <data set>-<model>-<seed>"),
        (["-o", "result.jpg"], 2, "-o result.jpg: expected a folder for the results"),
        (["--size", "5"], 2, "size 5: expected 16 to 1024"),
        (["--temperature", "2"], 2, "temperature 2.0: expected 0"),
        (["--size", "large"], 2, "invalid int value"),
    ],
)
def test_wrong_options(here, capsys, arguments, code, words):
    draw("photo.png")
    assert colorize("photo.png", *arguments) == code
    assert words in capsys.readouterr().err


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


def test_large_photos_show_progress(here, monkeypatch, capsys):
    shown = []
    progress = runtime.progress

    def spy(*arguments):
        shown.append(arguments)
        return progress(*arguments)

    monkeypatch.setattr(runtime, "progress", spy)
    monkeypatch.setattr(command, "_LARGE", 30 * 30)
    draw("small.png", 20, 20)
    draw("large.png", 30, 31)
    assert colorize("small.png", "large.png") == 0
    assert shown == [("large.png", 30, "rows")]


def test_what_had_to_be_converted_is_said(here, capsys):
    rgba = Image.fromarray(draw("photo.png", 40, 40)).convert("RGBA")
    rgba.putalpha(0)
    rgba.save("photo.png")
    assert colorize("photo.png", "-o", "out") == 0
    assert "(empty alpha ignored; " in capsys.readouterr().out
