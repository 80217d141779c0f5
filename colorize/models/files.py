"""A trained model on disk: the weights in `model.safetensors`, and the sidecar `model.json`.

The sidecar has all other data that are needed to load the model. It is written last.
"""

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
from colorize.layout import stage_name
from colorize.models import contract
from colorize.runtime import Damaged, DataError

MAX_BYTES = 1 << 32  # of the weights; those of the widest model have less than a gigabyte
_MAX_SIDECAR = 1 << 20  # bytes

_NEEDED = {  # key of `model.json`: check of its value
    "model": lambda value: isinstance(value, str) and value.isidentifier(),
    "width": lambda value: type(value) in (int, float) and 0 < value <= 4,  # the range of `train.width`
    "size": lambda value: type(value) is int and 16 <= value <= 1024,  # the range of `shard.size`
    "num_bins": lambda value: type(value) is int,
    "weights_sha256": lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value),
}


def save(folder: Path, model: nn.Module, sidecar: dict) -> None:
    """Write the weights and the sidecar.

    Args:
        folder: folder to write to.
        model: the network, on any device.
        sidecar: `model` (name of the model), `width`, `size` (side of the training images, pixels), and a description
            of how the weights were trained. It must contain no time, commit or path. This function adds `num_bins`
            and `weights_sha256`.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with runtime.atomic_write(folder / "model.safetensors") as file:
        file.write(safetensors.torch.save(state))
    digest = runtime.sha256_of(folder / "model.safetensors")
    runtime.fault_point("train-sidecar")
    runtime.write_json(folder / "model.json", {**sidecar, "num_bins": gamut.NUM_BINS, "weights_sha256": digest})


def load(folder: Path, device: str | torch.device = "cpu") -> tuple[contract.Network, dict]:
    """Load a model for prediction.

    Args:
        folder: folder of the model.
        device: device to put the network on.

    Returns:
        the network, in evaluation mode and channels_last in memory, and its sidecar.

    Raises:
        DataError: a file is missing or damaged, or the model has another number of bins; names the file and the remedy.
    """
    sidecar, path = check(folder), folder / "model.safetensors"
    try:
        model = contract.build_model(sidecar["model"], sidecar["width"])
    except DataError as error:  # a model of other code, for example of another branch: the files are not damaged
        raise DataError(f"{folder / 'model.json'}: {error}") from None
    try:
        state = safetensors.torch.load(runtime.read_bytes(path, MAX_BYTES))
        model.load_state_dict(state)
    except (SafetensorError, RuntimeError, LookupError, TypeError, ValueError, AttributeError):  # damaged headers
        what = f"not the weights of a {sidecar['model']} of width {sidecar['width']}"
        raise Damaged(f"{path}: {what}; {_retraining(folder)}") from None
    for name, tensor in model.state_dict().items():
        if problem := _problem(name, tensor, state[name]):
            raise Damaged(f"{path}: the tensor {name} {problem}; {_retraining(folder)}")
    return model.to(device).to(memory_format=torch.channels_last).eval(), sidecar


def _problem(name: str, tensor: Tensor, saved: Tensor) -> str:
    """The reason why a loaded tensor is invalid; empty if it is valid.

    Without this check, invalid weights would give black pictures and no error.
    """
    if saved.dtype != tensor.dtype:
        return f"has type {saved.dtype}, expected {tensor.dtype}"
    if not tensor.isfinite().all():
        return "has values that are not finite"
    if name.endswith("running_var") and (tensor < 0).any():
        return "has negative variances"
    return ""


def check(folder: Path) -> dict:
    """Check that the weights have not changed since they were saved, and return the sidecar.

    Raises:
        DataError: a file is missing or damaged; names it and the remedy.
    """
    sidecar = read_sidecar(folder)
    path = folder / "model.safetensors"
    try:
        runtime.check_size(path, MAX_BYTES)
        is_intact = runtime.sha256_of(path) == sidecar["weights_sha256"]
    except OSError as error:
        raise Damaged(f"{path}: missing or damaged ({error.strerror}); {_remedy(folder)}") from None
    if not is_intact:
        raise Damaged(f"{path}: missing or damaged; {_remedy(folder)}")
    return sidecar


def read_sidecar(folder: Path) -> dict:
    """Read and check `model.json`.

    Raises:
        DataError: the file is missing or damaged, or the model has another number of bins.
    """
    path = folder / "model.json"
    try:
        sidecar = json.loads(runtime.read_bytes(path, _MAX_SIDECAR))
    except FileNotFoundError:
        command = f"dvc repro {stage_name('train', folder.name)}"
        remedy = f"train the model with `{command}`" if _repository(folder) else "expected the folder of a model"
        raise DataError(f"{path}: no such file; {remedy}") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or runtime.first_line(error)
        raise Damaged(f"{path}: damaged ({reason}); {_remedy(folder)}") from None
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
    """The repository whose pipeline trained a model; None if the folder is a copy in another location."""
    models = Path(os.path.abspath(folder)).parent  # noqa: PTH100 (`data` may be a link, and `resolve` would follow it)
    root = models.parent.parent
    return root if (root / "dvc.yaml").is_file() and models == root / "data" / "models" else None


def _remedy(folder: Path) -> str:
    """The remedy if a file has changed since it was saved."""
    return _in_repository(
        folder, runtime.repair_command(Path("data", "models", folder.name), stage_name("train", folder.name))
    )


def _retraining(folder: Path) -> str:
    """The remedy if the files are unchanged but unusable: a repair would not find any damage."""
    return _in_repository(folder, f"dvc repro --force --single-item {stage_name('train', folder.name)}")


def _in_repository(folder: Path, command: str) -> str:
    if not (root := _repository(folder)):
        return "copy the folder again from its source"
    return f"run `{command}`" + ("" if root == Path.cwd() else f" in {root}")
