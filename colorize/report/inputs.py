"""What the report reads: one place for the paths, the checks and the names that stand in tables and figures.

Every path follows from `datasets` and `models`; nothing is globbed, so that a dropped cell whose files are still there
is not shown.
"""

import csv
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from colorize.models import BASELINES
from colorize.runtime import DataError, repair_command

MODEL_TITLES = {
    "gray": "Gray",
    "prior": "Constant Prior",
    "regression": "Baseline Regression",
    "cnn": "CNN",
    "cnn_weighted": "CNN with Weights",
    "unet": "Unet",
    "unet_weighted": "Unet with Weights",
}
DATASET_TITLES = {"tiny_imagenet": "Tiny ImageNet", "places365": "MIT Places"}
HISTORY_COLUMNS = ("step", "train_loss", "val_loss", "val_l1", "val_l2", "val_accuracy")
PREDICTION_ARRAYS = ("key", "truth", "gray", "predicted", "l2", "is_saved", "is_worst", "source")


def model_title(model: str) -> str:
    """The paper's name of a model; an unknown one is shown by its own name."""
    return MODEL_TITLES.get(model, model.replace("_", " "))


def dataset_title(dataset: str) -> str:
    """The paper's name of a data set, else its own with capitals."""
    return DATASET_TITLES.get(dataset, dataset.replace("_", " ").title())


def short_title(model: str) -> str:
    """A model's name where there is little room."""
    return model_title(model).removeprefix("Baseline ")


def evaluation_stage(source: str, model: str) -> str:
    """Name of the DVC stage that writes the metrics and predictions of a model."""
    return f"baseline@{source}" if model in BASELINES else f"evaluate@{source}-{model}"


@dataclass(frozen=True)
class Predictions:
    """What one model showed on one test split; N images of S x S pixels, in ascending order of key."""

    key: np.ndarray  # (N,) int64
    truth: np.ndarray  # (N, S, S, 3) uint8 RGB
    gray: np.ndarray  # (N, S, S) uint8, the input L as gray
    predicted: np.ndarray  # (N, S, S, 3) uint8 RGB
    l2: np.ndarray  # (N,) float32
    is_saved: np.ndarray  # (N,) bool, the same keys for every model and source
    is_worst: np.ndarray  # (N,) bool
    source: np.ndarray  # (N,) str, where an image came from
    path: Path

    @cached_property
    def _position(self) -> dict[int, int]:
        return {int(key): i for i, key in enumerate(self.key)}

    def rows(self, keys) -> np.ndarray:
        """Positions of `keys` in the arrays.

        Raises:
            DataError: a key is not among the images; names the file and the key.
        """
        missing = [int(key) for key in keys if int(key) not in self._position]
        if missing:
            raise DataError(
                f"{self.path}: no image with key {missing[0]} (it has {len(self.key)} keys); "
                "check `evaluate.named` in params.yaml, then run `dvc repro`"
            )
        return np.array([self._position[int(key)] for key in keys], dtype=np.int64)


class Inputs:
    """The files behind one report; predictions are read once, at first use."""

    def __init__(self, datasets: list[str], models: list[str], root: Path = Path()) -> None:
        """Name what is reported; nothing is read yet."""
        if not datasets or not models:
            raise DataError("nothing to report: `datasets` and `models` in params.yaml must each name at least one")
        self.datasets, self.models, self.root = list(datasets), list(models), Path(root)
        self._predictions: dict[tuple[str, str, str], Predictions] = {}

    def metrics(self, source: str, model: str, target: str) -> dict[str, float]:
        """The rounded metrics of one cell of Table 1."""
        path, stage = self._metrics_folder(source, model) / f"{target}.json", evaluation_stage(source, model)
        values = _read_json(path, stage)
        if not isinstance(values, dict) or not {"l2", "l1"} <= values.keys():
            raise DataError(f"{path}: expected at least `l2` and `l1`; run `{repair_command(path, stage)}`")
        return values

    def layers(self, dataset: str, model: str) -> dict:
        """The layer list of a model as trained on a data set."""
        return _read_json(self._history_folder(dataset, model) / "layers.json", f"train@{dataset}-{model}")

    def history(self, dataset: str, model: str) -> list[dict[str, str]]:
        """Rows of a training history, texts as written (empty where a value does not apply)."""
        path, stage = self._history_folder(dataset, model) / "history.csv", f"train@{dataset}-{model}"
        _require(path, stage)
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in HISTORY_COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                raise DataError(f"{path}: column `{missing[0]}` is missing; run `{repair_command(path, stage)}`")
            return list(reader)

    def predictions(self, source: str, model: str, target: str) -> Predictions:
        """The saved, named and worst predictions of one cell."""
        cell = (source, model, target)
        if cell not in self._predictions:
            path = self.root / "data" / "evaluations" / f"{source}-{model}" / target / "predictions.npz"
            self._predictions[cell] = _read_predictions(path, evaluation_stage(source, model))
        return self._predictions[cell]

    def _metrics_folder(self, source: str, model: str) -> Path:
        return self.root / "results" / "metrics" / f"{source}-{model}"

    def _history_folder(self, dataset: str, model: str) -> Path:
        return self.root / "data" / "histories" / f"{dataset}-{model}"


def _require(path: Path, stage: str) -> None:
    if not path.is_file():
        raise DataError(f"{path} is missing: run `dvc repro {stage}`")


def _read_json(path: Path, stage: str):
    _require(path, stage)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}); run `{repair_command(path, stage)}`") from error


def _read_predictions(path: Path, stage: str) -> Predictions:
    _require(path, stage)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in PREDICTION_ARRAYS}
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error}); run `{repair_command(path, stage)}`") from error
    order = np.argsort(arrays["key"], kind="stable")
    return Predictions(**{name: a[order] for name, a in arrays.items()}, path=path)
