"""Finds a trained model by its name or path, without loading it."""

from __future__ import annotations

import contextlib
import difflib
import json
from pathlib import Path

from colorize import runtime
from colorize.commands.arguments import DEFAULT_MODEL
from colorize.layout import stage_name
from colorize.models.registry import MODELS
from colorize.runtime import DataError

_MAX_SIDECAR = 1 << 20  # bytes


def find(name: str) -> Path:
    """Path of a model given by name or path: a folder with `model.json`, or an ONNX file.

    Raises:
        DataError: there is no such model; names the remedy.
    """
    root = runtime.repo_root()
    models = root / "data" / "models"
    for path in (Path(name), models / name):
        if (path / "model.json").is_file() or (path.suffix.lower() == ".onnx" and path.is_file()):
            return path
    if Path(name).is_dir():
        raise DataError(f"{name}: no model.json in this folder; expected the folder of a trained model")
    if Path(name).is_file():
        raise DataError(f"{name}: expected the folder of a trained model, or a file that ends with .onnx")
    if not (root / "dvc.yaml").is_file():
        names = f"names of models (the default is {DEFAULT_MODEL}) are known only inside the project's repository"
        raise DataError(f"no model {name}: no such folder, and {names}; pass a trained model's folder with --model")
    found = sorted(path.parent.name for path in models.glob("*/model.json"))
    raise DataError(f"no model {name} in {models} (found: {', '.join(found) or 'none'}); {_remedy(name, found)}")


def _remedy(name: str, found: list[str]) -> str:
    """What to do if the repository has no model with this name."""
    if not found:
        return "run `make repro` first: it trains the models"
    if _is_run(name):
        return f"train it with `dvc repro {stage_name('train', name)}`"
    similar = difflib.get_close_matches(name, found, 1)
    question = f"did you mean {similar[0]}? " if similar else ""
    return f"{question}model names have the form <data set>-<model>-<seed>"


def _is_run(name: str) -> bool:
    """Whether a name has the form <data set>-<model>-<seed>."""
    dataset, *rest = name.split("-")
    return len(rest) == 2 and bool(dataset) and "/" not in dataset and rest[0] in MODELS and rest[1].isdecimal()


def is_regression(path: Path) -> bool:
    """Whether a model certainly predicts colors and no distribution; False if only loading the model can tell."""
    spec = MODELS.get(str(_sidecar(path).get("model")))
    return spec is not None and not spec.is_classifier


def sha256_of(path: Path) -> str | None:
    """The SHA-256 that a mark gives for a model: of an ONNX file, or of the weights; None if it cannot be read."""
    if path.is_file():
        with contextlib.suppress(OSError):
            return runtime.sha256_of(path)
    digest = _sidecar(path).get("weights_sha256")
    return digest if isinstance(digest, str) else None


def _sidecar(path: Path) -> dict:
    """The content of `model.json`, unchecked: `colorize.load` reports what is wrong with it."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        content = json.loads(runtime.read_bytes(path / "model.json", _MAX_SIDECAR))
        return content if isinstance(content, dict) else {}
    return {}
