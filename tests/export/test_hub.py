"""The folder for a model hub: a model like every other, and nothing of others is replaced by it."""

import numpy as np
import pytest

import colorize
from colorize.export import hub
from colorize.runtime import Damaged, ParameterError

FILES = {"README.md", "LICENSE", "model.onnx", "model.safetensors", "model.json"}


@pytest.fixture(autouse=True, scope="module")
def not_built():
    """Building an ONNX file takes seconds; tests/export/test_onnx.py writes a folder with a real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub.onnx, "build", lambda folder, fp16: f"{folder.name} {fp16}".encode())
        yield


@pytest.fixture(scope="module")
def written(model_folder, tmp_path_factory):
    """The folder of the tiny U-Net."""
    out = tmp_path_factory.mktemp("hub") / "upload"
    hub.write(model_folder("unet"), out)
    return out


def test_the_folder_is_loaded_like_the_model(written, model_folder):
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(colorize.load(written)(photo), colorize.load(model_folder("unet"))(photo))
    assert {path.name for path in written.iterdir()} == FILES
    for name in ("model.safetensors", "model.json"):
        assert (written / name).read_bytes() == (model_folder("unet") / name).read_bytes()


def test_its_onnx_file_is_that_of_the_model(written, model_folder, tmp_path):
    assert (written / "model.onnx").read_bytes() == b"tiny-unet-0 False"
    hub.write(model_folder("unet"), tmp_path / "half", fp16=True)
    assert (tmp_path / "half" / "model.onnx").read_bytes() == b"tiny-unet-0 True"


def test_the_license_is_that_of_the_project(written, repo):
    assert (written / "LICENSE").read_text() == (repo / "LICENSE").read_text()


def test_an_earlier_folder_is_replaced(written, model_folder):
    (written / "LICENSE").write_text("changed")
    hub.write(model_folder("unet"), written)
    assert "MIT" in (written / "LICENSE").read_text()


@pytest.mark.parametrize("name", ["README.md", "model.json", "notes.txt"])
def test_a_folder_with_other_files_stays_as_it_is(name, model_folder, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ParameterError, match="the folder has other files; give a new folder"):
        hub.write(model_folder("unet"), tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_the_folder_of_the_model_itself_is_refused(written):
    with pytest.raises(ParameterError, match="the folder has other files"):
        hub.write(written, written)


def test_a_file_instead_of_a_folder_is_refused(model_folder, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(ParameterError, match="expected a folder, this is a file"):
        hub.write(model_folder("unet"), tmp_path / "out")


def test_a_damaged_model_is_not_exported(written, model_folder, tmp_path):
    hub.write(model_folder("unet"), tmp_path / "model")
    with (tmp_path / "model" / "model.safetensors").open("r+b") as file:
        file.write(b"\xff")
    with pytest.raises(Damaged):
        hub.write(tmp_path / "model", tmp_path / "out")
    assert not (tmp_path / "out").exists()
