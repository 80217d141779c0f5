"""Photos, models and tables through the command line and the library: nothing wrong passes, nothing is lost."""

import hashlib
import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import colorize
from tests.helpers import processes
from tests.helpers.projects import make_project

NAMES = ("0000", "0001", "0002", "0010", "0100", "1000")  # of the test images
MODEL = Path("data/models/tiny-unet-0")


def run(project: Path, program: str, *arguments: str) -> subprocess.CompletedProcess:
    """What `python -m program ...` does in a project."""
    return processes.call("colorize.__main__" if program == "colorize" else program, *arguments, folder=project)


def assert_one_line(done: subprocess.CompletedProcess, *words: str) -> None:
    """It ended with 3 and a single line on stderr."""
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr[-2000:]
    assert all(word in done.stderr for word in words), done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory, without_plots) -> Path:
    """A project whose test images have names like numbers, with a trained model and one evaluation."""
    project = make_project(tmp_path_factory.mktemp("photos") / "project", ("unet",), steps=2)
    raw = project / "data/raw/tiny.zip"
    with zipfile.ZipFile(raw) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(raw, "w") as archive:
        tests = [content for name, content in contents.items() if name.startswith("test/")]
        for name, content in [*contents.items(), *zip(NAMES, tests, strict=True)]:
            if not name.startswith("test/"):
                archive.writestr(name, content)
    splits = {"train": {"glob": "train/*"}, "val": {"glob": "val/*"}, "test": {"regex": r"\d{4}"}}
    (project / "sources/tiny.yaml").write_text(yaml.safe_dump({"path": "tiny.zip", "splits": splits}))
    processes.load_everything()
    for stage in ("shard tiny", "prior tiny", "train tiny unet 0", "evaluate tiny unet 0", "evaluate tiny baselines"):
        processes.run(project, tuple(stage.split()), project.parent / "log")
    return project


@pytest.fixture
def project(made, tmp_path) -> Path:
    """A copy to change."""
    return shutil.copytree(made, tmp_path / "project")


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_of_images_that_look_like_numbers_stay_text(made):
    with np.load(made / "data/evaluations/tiny-unet-0/tiny/predictions.npz") as predictions:
        assert set(predictions["source"]) <= set(NAMES)


# --- models ----------------------------------------------------------------------------------------------------------


def read_tensors(path: Path) -> tuple[dict, bytearray]:
    """Header and data of a safetensors file."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), bytearray(content[start:])


def write_weights(folder: Path, content: bytes) -> None:
    """Weights with a checksum that fits."""
    (folder / "model.safetensors").write_bytes(content)
    sidecar = json.loads((folder / "model.json").read_text())
    sidecar["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(sidecar))


def fill(folder: Path, tensor: str, *values: float) -> None:
    """Set all values of a tensor, in turn; the checksum fits."""
    header, data = read_tensors(folder / "model.safetensors")
    start, stop = header[tensor]["data_offsets"]
    data[start:stop] = np.resize(np.array(values, np.float32), (stop - start) // 4).tobytes()
    text = json.dumps(header).encode()
    write_weights(folder, len(text).to_bytes(8, "little") + text + data)


def refusal(folder: Path) -> str:
    """What `colorize.load` says, in one line."""
    try:
        colorize.load(folder, device="cpu")(np.full((32, 32), 99, np.uint8))
    except ValueError as error:
        assert "\n" not in str(error)
        return str(error)
    except Exception as error:
        raise AssertionError(f"not an error for users: {error!r}") from error
    raise AssertionError("the model was taken for good")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(project, value):
    fill(project / MODEL, "head.weight", value)
    assert "tensor head.weight has values that are not finite" in refusal(project / MODEL)


def test_negative_variances_are_refused(project):
    header, _ = read_tensors(project / MODEL / "model.safetensors")
    name = next(name for name in header if name.endswith("running_var"))
    fill(project / MODEL, name, -1)
    assert f"tensor {name} has negative variances" in refusal(project / MODEL)


def test_weights_whose_colors_overflow_are_refused(project):
    fill(project / MODEL, "head.weight", 3e38, -3e38, 3e38)
    assert "colors are not finite" in refusal(project / MODEL)


def test_the_command_line_writes_no_black_picture(project):
    fill(project / MODEL, "head.weight", np.nan)
    draw(project / "photo.png")
    assert_one_line(run(project, "colorize", "photo.png", "--model", "tiny-unet-0"), "head.weight", "train@tiny-unet-0")
    assert not list(project.glob("colorized/*"))


def test_an_evaluation_without_finite_metrics_is_one_line(project):
    fill(project / MODEL, "block1.0.weight", 3e38, -3e38, 3e38)
    done = run(project, "stages.evaluate", "tiny", "unet", "0")
    assert_one_line(done, "evaluate tiny-unet-0 on tiny", "train@tiny-unet-0")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08" + bytes(7) + b"nonsense", b"\xff" * 64, b"\x02" + bytes(7) + b"{}"],
    ids=["empty", "no JSON", "endless header", "no tensors"],
)
def test_damaged_weights_with_a_fitting_checksum_are_refused(project, content):
    write_weights(project / MODEL, content)
    assert "model.safetensors: not the weights of a unet" in refusal(project / MODEL)
    assert "train@tiny-unet-0" in refusal(project / MODEL)


@pytest.mark.parametrize(
    ("key", "value"), [("width", "abc"), ("width", [1]), ("size", None), ("size", "16"), ("model", ["unet"])]
)
def test_values_of_wrong_types_beside_the_weights_are_refused(project, key, value):
    path = project / MODEL / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert f"model.json: `{key}`" in refusal(project / MODEL)


def test_a_damaged_copy_outside_of_the_repository_gets_a_remedy_that_helps(project, tmp_path):
    copy = shutil.copytree(project / MODEL, tmp_path / "copy" / "tiny-unet-0")
    (copy / "model.safetensors").write_bytes(b"damaged")
    assert "copy the folder again" in refusal(copy)
    assert "dvc repro" not in refusal(copy)


# --- measures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ['"0.1"', "[0.1]", "NaN", "1e999"])
def test_a_measure_that_is_no_number_is_one_line(project, value):
    path = project / "data/evaluations/tiny-unet-0/tiny/details.json"
    details = json.loads(path.read_text())
    details["measures"]["l2"] = "?"
    path.write_text(json.dumps(details).replace('"?"', value))
    command = "verify --repair data/evaluations/tiny-unet-0/tiny/details.json && dvc repro evaluate@tiny-unet-0"
    assert_one_line(run(project, "stages.report", "show"), "tiny-unet-0/tiny/details.json: `l2`", command)


# --- priors ----------------------------------------------------------------------------------------------------------


def as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [as_npy(np.full(313, -1.0)), b"\x93NUMPY\x01\0\x04\0{'a("],
    ids=["negative", "a header for which numpy raises what Python's tokenizer raises"],
)
def test_class_weights_that_cannot_be_are_one_line(project, content):
    (project / "data/priors/tiny/class_weights-unet.npy").write_bytes(content)
    done = run(project, "stages.train", "tiny", "unet", "0")
    assert_one_line(done, "class_weights-unet.npy: ", "verify --repair data/priors/tiny && dvc repro prior@tiny")


# --- results ---------------------------------------------------------------------------------------------------------


def draw(path: Path, seed: int = 0) -> None:
    """A small photo of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(60, 200, (24, 24, 3), dtype=np.uint8)).save(path)


def lightness(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L")).astype(int)


def color(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    done = run(project, "colorize", *arguments, "--model", "tiny-unet-0")
    assert done.returncode == 0, done.stderr
    return done


def test_only_a_result_of_the_same_photo_is_replaced(project):
    draw(project / "1943/plain.png", 1)
    draw(project / "1944/plain.png", 2)
    results = [project / "out/plain.png", project / "out/plain-2.png"]
    color(project, "1943", "-o", "out")
    first = results[0].read_bytes()
    color(project, "1944", "-o", "out")
    assert results[0].read_bytes() == first
    for result, year in zip(results, ("1943", "1944"), strict=True):
        assert np.abs(lightness(result) - lightness(project / year / "plain.png")).mean() < 10
    color(project, "1944", "1943", "-o", "out")
    assert sorted(project.glob("out/*")) == sorted(results)


def test_results_beside_the_photos_are_not_colored_again(project):
    draw(project / "photos/a.png", 1)
    draw(project / "photos/b.png", 2)
    color(project, "./photos", "-o", "photos")
    (project / "photos/a-2.png").rename(project / "photos/renamed.png")
    (project / "link").symlink_to("photos")
    done = color(project, "./photos", "link", "-o", "link")
    names = sorted(path.name for path in project.glob("photos/*"))
    assert names == ["a-2.png", "a.png", "b-2.png", "b.png", "renamed.png"]
    summary, *skipped = done.stderr.splitlines()
    assert summary.startswith("1 photo colored in ") and summary.endswith(" s, into link/")
    assert skipped == [
        "skipped 1 photo with a result of the same model and parameters; --force makes it again",
        "skipped 2 earlier results; to color one, name its file",
    ]
    assert color(project, "photos/renamed.png", "-o", "out").stderr == ""
    assert (project / "out/renamed.png").exists()
