"""The ONNX file computes what the model computes, for every size, and holds nothing of the machine that wrote it."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import colorize
from colorize.color import gamut
from colorize.export import earlier, session
from colorize.models import contract, files
from colorize.runtime import DataError, ParameterError
from tests.export.conftest import MODELS


@pytest.fixture(params=MODELS)
def name(request) -> str:
    return request.param


def run(path, L_norm: torch.Tensor) -> np.ndarray:
    """The output of an ONNX file, by ONNX Runtime alone."""
    import onnxruntime

    found = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return found.run(None, {"L_norm": L_norm.numpy()})[0]


def test_batch_height_and_width_can_change(name, model_folder, onnx_file):
    model, _ = files.load(model_folder(name))
    for shape in ((1, 1, 8, 8), (1, 1, 40, 64), (3, 1, 72, 24)):
        L_norm = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            expected = model(L_norm).numpy()
        found = run(onnx_file(name), L_norm)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_photos_get_the_colors_of_torch_within_one_level(name, model_folder, onnx_file):
    generator = np.random.default_rng(0)
    torch_s, onnx_s = (colorize.load(path, "cpu") for path in (model_folder(name), onnx_file(name)))
    for height, width in ((16, 16), (50, 33), (21, 90)):
        photo = generator.integers(0, 256, (height, width, 3), np.uint8)
        difference = torch_s(photo).astype(int) - onnx_s(photo)
        assert np.abs(difference).max() <= 1


def test_a_file_is_recognized_as_an_earlier_export(onnx_file):
    assert earlier.is_export(onnx_file("regression"))


def test_a_folder_for_a_hub_holds_the_same_file(model_folder, onnx_file, tmp_path):
    from colorize.export import hub

    hub.write(model_folder("regression"), tmp_path / "hub")
    assert (tmp_path / "hub" / "model.onnx").read_bytes() == onnx_file("regression").read_bytes()


def test_up_convolutions_have_their_plain_form(onnx_file):
    import onnx

    operators = [node.op_type for node in onnx.load(onnx_file("unet")).graph.node]
    assert operators.count("Resize") == 3
    assert not {"ScatterND", "ScatterElements"} & set(operators)


def test_the_metadata_hold_what_loading_needs(onnx_file, model_folder):
    import onnx

    metadata = {entry.key: entry.value for entry in onnx.load(onnx_file("unet")).metadata_props}
    assert metadata["format"] == "let-there-be-color 1"
    assert '"weights_sha256": "' + files.check(model_folder("unet"))["weights_sha256"] in metadata["sidecar"]
    assert metadata["multiple_of"] == "8"
    assert metadata["gamut_ab"].startswith("[[-90.0, 50.0], [-90.0, 60.0]")
    assert (metadata["weights"], metadata["license"]) == ("float32", "MIT")
    assert metadata["digital_source_type"].endswith("/compositeWithTrainedAlgorithmicMedia")


def test_16_bit_weights_halve_the_file_and_hardly_change_the_output(onnx_file):
    whole, half = onnx_file("regression"), onnx_file("regression", fp16=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    L_norm = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    expected, found = run(whole, L_norm), run(half, L_norm)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.01 * np.abs(expected).max()


_BUILD = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from colorize.export import onnx

onnx.write(*map(Path, sys.argv[2:]))
"""


def test_another_process_in_another_folder_writes_the_same_bytes(onnx_file, model_folder, tmp_path, repo):
    command = [sys.executable, "-c", _BUILD, repo, model_folder("regression"), tmp_path / "again.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    content = (tmp_path / "again.onnx").read_bytes()
    assert content == onnx_file("regression").read_bytes()
    assert str(repo).encode() not in content and b"site-packages" not in content


def test_a_file_that_computes_something_else_is_refused(model_folder, onnx_file):
    from colorize.export import onnx

    content = onnx_file("cnn").read_bytes()
    model, _ = files.load(model_folder("cnn"))
    onnx._check(content, model, "cnn", 1e-4)
    with torch.no_grad():
        model.block5.first.weight.mul_(1.1)
    with pytest.raises(DataError, match="cnn: ONNX Runtime and torch differ by"):
        onnx._check(content, model, "cnn", 1e-4)


class Undecided(contract.Network):
    """A network whose operators depend on the values of its input; ONNX files have no such decisions here."""

    multiple_of = 8

    def forward(self, L_norm):
        return torch.cat([L_norm, L_norm], 1) if L_norm.mean() > 0 else -torch.cat([L_norm, L_norm], 1)


def test_a_network_that_torch_cannot_export_is_one_line(capfd):
    pytest.importorskip("onnxscript", reason="the packages of `make export` are not installed")
    from colorize.export import onnx

    with pytest.raises(DataError, match=r"^torch cannot export this network to ONNX \(") as caught:
        onnx._export(Undecided())
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_missing_package_is_one_line_with_the_remedy(model_folder, tmp_path, monkeypatch):
    from colorize.export import onnx

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ParameterError, match=r"^the package onnx is missing; install what the export needs: make "):
        onnx.write(model_folder("unet"), tmp_path / "unet.onnx")


def test_the_bins_in_the_metadata_are_exact(onnx_file):
    assert session.read(onnx_file("unet").read_bytes(), "x").sidecar["num_bins"] == gamut.NUM_BINS
