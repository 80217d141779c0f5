"""Wrong values in files, variables and calls are one line with an exit code, and what is right is done all the same."""

import hashlib
import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import colorize
from colorize import runtime
from tests.helpers import outside, processes
from tests.helpers.outside import assert_one_line, head

MANY = "9" * 5000
WEIGHTS = "model.safetensors"


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """A folder with one photo."""
    monkeypatch.setattr(processes, "HANGS_AFTER_S", 20)
    Image.new("RGB", (32, 32), (9, 99, 200)).save(tmp_path / "photo.png")
    return tmp_path


# --- models ----------------------------------------------------------------------------------------------------------


def sidecar(key: str, value: object) -> Callable[[Path], None]:
    def edit(model: Path) -> None:
        values = json.loads((model / "model.json").read_text())
        (model / "model.json").write_text(json.dumps({**values, key: value}))

    return edit


def weights(make: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Other weights, with a checksum that fits."""

    def edit(model: Path) -> None:
        content = make((model / WEIGHTS).read_bytes())
        (model / WEIGHTS).write_bytes(content)
        sidecar("weights_sha256", hashlib.sha256(content).hexdigest())(model)

    return edit


def with_header(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Weights with another header: it describes each tensor."""

    def make(content: bytes) -> bytes:
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        tensor = next(value for name, value in header.items() if name != "__metadata__")
        change(tensor)
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + content[start:]

    return weights(make)


DAMAGED_MODELS = {
    "model.json is a list": lambda model: (model / "model.json").write_text("[]"),
    "model.json is deep": lambda model: (model / "model.json").write_text("[" * 100_000),
    "model is a list": sidecar("model", ["regression"]),
    "model is an object": sidecar("model", {}),
    "width is a text": sidecar("width", "0.03"),
    "width is huge": sidecar("width", 1e300),
    "width is nothing": sidecar("width", None),
    "size is a text": sidecar("size", "16"),
    "size is negative": sidecar("size", -16),
    "the checksum is a number": sidecar("weights_sha256", 5),
    "no weights": weights(lambda content: b""),
    "text": weights(lambda content: b"hello, these are no weights"),
    "a huge header": weights(lambda content: b"\xff" * 8 + content[8:]),
    "weights cut": weights(lambda content: content[:-100]),
    "an unknown type": with_header(lambda tensor: tensor.update(dtype="F99")),
    "a negative shape": with_header(lambda tensor: tensor.update(shape=[-1])),
    "offsets outside": with_header(lambda tensor: tensor.update(data_offsets=[0, 1 << 40])),
}


@pytest.mark.parametrize("kind", DAMAGED_MODELS)
def test_a_damaged_model_is_named_in_one_line(tmp_path, model, kind):
    damaged = Path(shutil.copytree(model, tmp_path / "damaged"))
    DAMAGED_MODELS[kind](damaged)
    try:
        colorize.load(damaged, device="cpu")
    except Exception as error:
        assert isinstance(error, runtime.DataError), repr(error)
        assert str(damaged) in str(error) and str(error).isprintable()
    else:
        pytest.fail("the model is used")


# --- parameters ------------------------------------------------------------------------------------------------------

WRONG_PARAMETERS = [
    ("seeds", [2**64]),
    ("soft_targets.sigma", 1e-30),
    ("soft_targets.sigma", 1e200),
    ("prior.lambda", 1e-300),
    ("prior.lambda", 1e-45),
    ("report.columns", 2000),  # of 16 pixels: a JPEG has at most 65,500
    ("evaluate.named", {"tiny": list(range(2000))}),
]


@pytest.mark.parametrize(("key", "value"), WRONG_PARAMETERS)
def test_a_parameter_out_of_bounds_is_named_before_any_work(small_project, key, value):
    outside.change(small_project, key, value)
    assert_one_line(outside.stage(small_project, "shard", "tiny"), 2, key)


@pytest.mark.parametrize("package", ["os", "antigravity", "torch"])
def test_a_sample_may_not_import_any_package(small_project, package):
    values = yaml.safe_load((small_project / "sources/objects.yaml").read_text())
    values["sample"]["photos"]["astronaut"]["package"] = package
    outside.write(small_project / "sources/objects.yaml", yaml.safe_dump(values))
    outside.change(small_project, "datasets", ["tiny", "objects"])
    assert_one_line(outside.stage(small_project, "shard", "objects"), 2, "sources/objects.yaml: ", "package: ")


# --- addresses and headers -------------------------------------------------------------------------------------------

NO_HOSTS = ("http://a..b/x", "http://[::1/x", f"http://{'a' * 70}.com/x")


def download(project: Path, url: str, content: bytes = b"x") -> processes.subprocess.CompletedProcess:
    values = {"url": url, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    text = yaml.safe_dump({"archives": {"tiny.zip": values}}) + outside.SPLITS
    outside.write(project / "sources/tiny.yaml", text)
    return outside.stage(project, "shard", "tiny", no_proxy="*")


@pytest.mark.parametrize("url", NO_HOSTS)
def test_an_address_without_a_valid_host_is_one_line(small_project, monkeypatch, url):
    monkeypatch.setattr("colorize.archives.download.BACKOFF_S", 0.001)
    (small_project / "data/raw/tiny.zip").unlink()
    done = download(small_project, url)
    assert_one_line(done, done.returncode, "tiny.zip")
    assert done.returncode in (2, 3)


@pytest.mark.parametrize("target", NO_HOSTS)
def test_a_server_that_leads_to_no_valid_address_is_one_line(small_project, monkeypatch, target):
    monkeypatch.setattr("colorize.archives.download.BACKOFF_S", 0.001)
    (small_project / "data/raw/tiny.zip").unlink()
    with outside.serving(lambda request: head(request, "302 Found", f"Location: {target}")) as url:
        assert_one_line(download(small_project, url), 3, "leads to an address", "check the address")


@pytest.mark.parametrize("length", ["²", MANY])
def test_a_length_that_is_no_number_does_not_matter(small_project, length):
    content = (small_project / "data/raw/tiny.zip").read_bytes()
    (small_project / "data/raw/tiny.zip").unlink()

    def answer(request) -> None:
        head(request, "200 OK", f"Content-Length: {length}")
        request.wfile.write(content)

    with outside.serving(answer) as url:
        done = download(small_project, url, content)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("reason", ["\x1b[2J", "\x9b2J"])
def test_a_server_cannot_control_the_terminal(small_project, reason):
    (small_project / "data/raw/tiny.zip").unlink()
    with outside.serving(lambda request: head(request, f"404 {reason}")) as url:
        assert_one_line(download(small_project, url), 3, "404")


# --- variables, streams and calls ------------------------------------------------------------------------------------


WRONG_VARIABLES = [
    ("COLORIZE_DEVICE", "meta"),
    ("COLORIZE_DEVICE", "hpu"),
    ("COLORIZE_THREADS", MANY),
    ("COLORIZE_THREADS", "1000000"),
]


@pytest.mark.parametrize(("name", "value"), WRONG_VARIABLES)
def test_a_wrong_variable_is_one_line(photos, model, name, value):
    assert_one_line(outside.colorize(photos, model, "photo.png", **{name: value}), 2, value[:9])


def use_stream(number: int, kind: str) -> None:
    """Let stdout (1) or stderr (2) of this process lead to a full disk or a closed pipe, or close it."""
    name = {1: "stdout", 2: "stderr"}[number]
    if kind == "closed":
        os.close(number)
        setattr(sys, name, None)  # as Python does when it starts
        return
    reader, pipe = os.pipe()
    os.close(reader)
    os.dup2(os.open("/dev/full", os.O_WRONLY) if kind == "full" else pipe, number)
    setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("kind", ["full", "closed", "pipe without a reader"])
def test_a_photo_is_colored_even_if_nobody_can_read_what_is_said(photos, model, number, kind):
    command = importlib.import_module("colorize.__main__")
    names, expected = (["photo.png"], 0) if number == 1 else (["photo.png", "missing.png"], 3)

    def run() -> None:
        code: object = 1
        try:
            use_stream(number, kind)
            runtime.run(command.main, [*names, "--out", "out", "--model", str(model)])
            code = 0
        except SystemExit as error:
            code = error.code
        finally:
            os._exit(code)  # the streams cannot be flushed

    pid = processes.fork(run, photos, photos / "log", COLORIZE_DEVICE="cpu")
    assert (processes.wait(pid), outside.results(photos)) == (expected, {"photo"})


IMAGES = {
    "a path": Path("photo.png"),
    "the text of a path": "photo.png",
    "bytes": b"\x89PNG",
    "a list": [[1, 2], [3, 4]],
    "a list of paths": ["photo.png"],
    "a number": 5,
    "nothing": None,
    "an array of objects": np.array([{}]),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_the_library_takes_an_image_or_says_what_it_expects(photos, model, monkeypatch, kind):
    monkeypatch.chdir(photos)
    colorizer = colorize.load(model, device="cpu")
    try:
        outcome = type(colorizer(IMAGES[kind])).__name__
    except Exception as error:
        outcome = type(error).__name__
        assert "\n" not in str(error)
    assert outcome in ("ndarray", "list", "ValueError", "DataError", "ParameterError", "Reject")
