"""A trained model on disk: `model.safetensors`, and `model.json` with all that is needed to load it, written last."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from colorize import gamut, runtime
from colorize.models import MODELS
from colorize.models.build import build
from colorize.runtime import DataError

_NEEDED = ("model", "width", "size", "num_bins", "weights_sha256")


def save(folder: Path, model: nn.Module, sidecar: dict) -> None:
    """Write weights and sidecar.

    Args:
        folder: to write to.
        model: on any device.
        sidecar: `model` (its name), `width`, `size` (of the training images), and whatever tells how the weights came
            to be; no clock, commit or path.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with runtime.atomic_write(folder / "model.safetensors") as file:
        file.write(safetensors.torch.save(state))
    digest = runtime.sha256_of(folder / "model.safetensors")
    runtime.fault_point("train-sidecar")
    runtime.write_json(folder / "model.json", {**sidecar, "num_bins": gamut.NUM_BINS, "weights_sha256": digest})


def load(folder: Path, device: str | torch.device = "cpu") -> tuple[nn.Module, dict]:
    """A model ready for prediction, and its sidecar.

    Raises:
        DataError: a file is missing or damaged, or the model was made for other bins; names the file and the remedy.
    """
    sidecar, path = check(folder), folder / "model.safetensors"
    model = build(sidecar["model"], sidecar["width"])
    try:
        model.load_state_dict(safetensors.torch.load(path.read_bytes()))
    except RuntimeError:
        raise DataError(f"{path}: not the weights of a {sidecar['model']} of width {sidecar['width']}") from None
    return model.to(device, memory_format=torch.channels_last).eval(), sidecar


def check(folder: Path) -> dict:
    """The sidecar of a model whose weights are those that were saved.

    Raises:
        DataError: a file is missing or damaged; names it and the remedy.
    """
    sidecar = read_sidecar(folder)
    path = folder / "model.safetensors"
    if not path.exists() or runtime.sha256_of(path) != sidecar["weights_sha256"]:
        command = runtime.repair_command(folder, f"train@{folder.name}")
        raise DataError(f"{path}: missing or damaged; run `{command}`")
    return sidecar


def read_sidecar(folder: Path) -> dict:
    """What `model.json` says.

    Raises:
        DataError: there is none, it is damaged, or it was made for another number of bins.
    """
    path = folder / "model.json"
    try:
        sidecar = json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; train the model with `dvc repro train@{folder.name}`") from None
    except ValueError as error:
        command = runtime.repair_command(folder, f"train@{folder.name}")
        raise DataError(f"{path}: damaged ({error}); run `{command}`") from None
    missing = [key for key in _NEEDED if key not in sidecar]
    if missing or sidecar["model"] not in MODELS:
        problem = f"no `{missing[0]}`" if missing else f"no model of ours: {sidecar['model']!r}"
        raise DataError(f"{path}: {problem}; run `{runtime.repair_command(folder, f'train@{folder.name}')}`")
    if sidecar["num_bins"] != gamut.NUM_BINS:
        raise DataError(f"{path}: made for {sidecar['num_bins']} bins, the gamut has {gamut.NUM_BINS}; train it again")
    return sidecar
