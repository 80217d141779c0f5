"""Shared by the tests of exports: tiny models, and their ONNX files, each built once per process."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from colorize.models import contract, files

WIDTH = 0.2
SIZE = 16  # of the training images, pixels
MODELS = ("unet", "cnn", "regression")  # the weighted models have the same networks


def save_model(folder: Path, name: str) -> Path:
    """An untrained model whose BatchNorm statistics have moved, and whose logits differ clearly."""
    torch.manual_seed(0)
    model = contract.build_model(name, WIDTH)
    model(torch.rand(2, 1, 32, 32))
    assert model.eval()(torch.rand(1, 1, 32, 32)).std(dim=(2, 3)).median() > 0  # the ReLUs are not dead
    if isinstance(model, contract.Classifier):
        with torch.no_grad():
            model.head.weight.mul_(20)
    files.save(folder, model, {"model": name, "width": WIDTH, "size": SIZE, "dataset": "tiny", "seed": 0})
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """`model_folder("unet")`: the folder of a tiny model."""
    return cache(lambda name: save_model(tmp_path_factory.mktemp("models") / f"tiny-{name}-0", name))


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory, model_folder):
    """`onnx_file("unet")`: the ONNX file of a tiny model."""
    reason = "the packages of `make export` are not installed"
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package, reason=reason)
    from colorize.export import onnx

    exported: dict[tuple, Any] = {}

    def export_once(model, export=onnx._export):
        """The same network, exported once by torch, which takes seconds."""
        key = (type(model), *(tensor.double().sum().item() for tensor in model.state_dict().values()))
        if key not in exported:
            exported[key] = export(model)
        return copy.deepcopy(exported[key])

    @cache
    def build(name: str, fp16: bool = False) -> Path:
        path = tmp_path_factory.mktemp("onnx") / f"{name}.onnx"
        onnx.write(model_folder(name), path, fp16)
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx, "_export", export_once)
        yield build
