"""A trained model on disk: `model.safetensors`, and `model.json` with all that is needed to load it, written last."""

from __future__ import annotations

import json
import os
import re
import reprlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from colorize import runtime
from colorize.color import gamut
from colorize.models import contract
from colorize.runtime import Damaged, DataError

_NEEDED = {  # key: what `model.json` must say
    "model": contract.exists,
    "width": lambda value: type(value) in (int, float) and 0 < value <= 4,  # as `train.width`
    "size": lambda value: type(value) is int and 16 <= value <= 1024,  # as `shard.size`
    "num_bins": lambda value: type(value) is int,
    "weights_sha256": lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value),
}


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


def load(folder: Path, device: str | torch.device = "cpu") -> tuple[contract.Network, dict]:
    """A model ready for prediction, and its sidecar.

    Raises:
        DataError: a file is missing or damaged, or the model was made for other bins; names the file and the remedy.
    """
    sidecar, path = check(folder), folder / "model.safetensors"
    model = contract.build_model(sidecar["model"], sidecar["width"])
    try:
        state = safetensors.torch.load(path.read_bytes())
        model.load_state_dict(state)
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError):  # all of them seen for damaged headers
        what = f"not the weights of a {sidecar['model']} of width {sidecar['width']}"
        raise Damaged(f"{path}: {what}; {_retraining(folder)}") from None
    for name, tensor in model.state_dict().items():
        if problem := _problem(name, tensor, state[name]):
            raise Damaged(f"{path}: the tensor {name} {problem}; {_retraining(folder)}")
    return model.to(device).to(memory_format=torch.channels_last).eval(), sidecar


def _problem(name: str, tensor: Tensor, saved: Tensor) -> str:
    """Why a loaded tensor cannot be used; empty if it can. Such weights give black pictures without an error."""
    if saved.dtype != tensor.dtype:
        return f"has type {saved.dtype}, expected {tensor.dtype}"
    if not tensor.isfinite().all():
        return "has values that are not finite"
    if name.endswith("running_var") and (tensor < 0).any():
        return "has negative variances"
    return ""


def check(folder: Path) -> dict:
    """The sidecar of a model whose weights are those that were saved.

    Raises:
        DataError: a file is missing or damaged; names it and the remedy.
    """
    sidecar = read_sidecar(folder)
    path = folder / "model.safetensors"
    try:
        is_intact = runtime.sha256_of(path) == sidecar["weights_sha256"]
    except OSError as error:
        raise Damaged(f"{path}: missing or damaged ({error.strerror}); {_remedy(folder)}") from None
    if not is_intact:
        raise Damaged(f"{path}: missing or damaged; {_remedy(folder)}")
    return sidecar


def read_sidecar(folder: Path) -> dict:
    """What `model.json` says.

    Raises:
        DataError: there is none, it is damaged, or it was made for another number of bins.
    """
    path = folder / "model.json"
    try:
        sidecar = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        command = f"dvc repro train@{folder.name}"
        remedy = f"train the model with `{command}`" if _repository(folder) else "expected the folder of a model"
        raise DataError(f"{path}: no such file; {remedy}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(f"{path}: damaged ({error}); {_remedy(folder)}") from None
    if not isinstance(sidecar, dict):
        raise Damaged(f"{path}: not a JSON object; {_remedy(folder)}")
    for key, is_valid in _NEEDED.items():
        if not is_valid(sidecar.get(key)):
            problem = f"`{key}` has the wrong value {reprlib.repr(sidecar[key])}" if key in sidecar else f"no `{key}`"
            raise Damaged(f"{path}: {problem}; {_remedy(folder)}")
    if sidecar["num_bins"] != gamut.NUM_BINS:
        raise DataError(
            f"{path}: made for {sidecar['num_bins']} bins, but the gamut has {gamut.NUM_BINS}; train it again"
        )
    return sidecar


def _repository(folder: Path) -> Path | None:
    """The repository whose pipeline makes a model; None for a copy of a model elsewhere."""
    models = Path(os.path.abspath(folder)).parent  # noqa: PTH100 (no link is followed, `data` may be one)
    root = models.parent.parent
    return root if (root / "dvc.yaml").is_file() and models == root / "data" / "models" else None


def _remedy(folder: Path) -> str:
    """What to do about files that are not those that were saved."""
    return _in_repository(folder, runtime.repair_command(Path("data", "models", folder.name), f"train@{folder.name}"))


def _retraining(folder: Path) -> str:
    """What to do about files that are those that were saved: a repair would find nothing damaged."""
    return _in_repository(folder, f"dvc repro --force --single-item train@{folder.name}")


def _in_repository(folder: Path, command: str) -> str:
    if not (root := _repository(folder)):
        return "copy the folder again from its source"
    return f"run `{command}`" + ("" if root == Path.cwd() else f" in {root}")
