"""The input files of the report, read and checked. Every path is derived from `datasets`, `models` and `seeds`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from colorize import layout
from colorize.layout import Cell, Folders, Run
from colorize.models.registry import MODELS, Spec
from colorize.report import labels
from colorize.report.intervals import Groups, groups_of
from colorize.report.readers import array_names, read_array, read_arrays, read_csv, read_json
from colorize.runtime import DataError, repair_command

HISTORY_COLUMNS = (
    "step", "train_loss", "val_loss", "val_l1", "val_l2", "val_accuracy", "train_l2",
    "train_cross_entropy", "train_weighted_cross_entropy", "train_class_weight",
    "val_cross_entropy", "val_weighted_cross_entropy", "val_class_weight",
)  # fmt: skip
_OF_CLASSIFIERS = ("accuracy", "cross_entropy", "class_weight")  # last parts of the columns that a regression lacks
TEMPERATURE_COLUMNS = (
    "temperature", "l2", "psnr", "colorfulness", "true_colorfulness",
    "cross_entropy", "negative_log_likelihood", "calibration_error",
)  # fmt: skip
RELIABILITY_COLUMNS = ("low", "high", "pixels", "top_probability", "accuracy")
BIN_COLUMNS = ("a", "b", "red", "green", "blue", "prior", "weight")
MARKED_TEMPERATURES = {0.0: "mode (T = 0)", 0.38: "annealed mean (T = 0.38)", 1.0: "mean (T = 1)"}
PREDICTION_ARRAYS = {  # array in predictions.npz: its `dtype.kind`
    "key": "i", "truth": "u", "gray": "u", "predicted": "u", "l2": "f", "is_saved": "b", "is_worst": "b", "source": "U",
}  # fmt: skip
IMAGE_ARRAYS = ("key", "group")  # in the files with measures of each image; the other arrays are measures
Unions = Mapping[str, tuple[str, str]]  # name of a union: the two data sets that it joins
NO_UNIONS: Unions = MappingProxyType({})
DISTRIBUTION_ARRAYS = {"annealed_mean": "u", "entropy": "f"}  # the same; only classifiers have these arrays


def spec_of(model: str) -> Spec:
    """The properties of a model, from the registry."""
    return MODELS[model]


@dataclass(frozen=True)
class Predictions:
    """Predictions of one model that evaluation kept: N test images of S x S pixels, in ascending order of key."""

    key: np.ndarray  # (N,) int64
    truth: np.ndarray  # (N, S, S, 3) uint8 RGB
    gray: np.ndarray  # (N, S, S) uint8, the input L as gray
    predicted: np.ndarray  # (N, S, S, 3) uint8 RGB; the mode of a classifier
    l2: np.ndarray  # (N,) float32
    is_saved: np.ndarray  # (N,) bool, evenly spaced images; the same for every model
    is_worst: np.ndarray  # (N,) bool, images with the largest L2 of this model
    source: np.ndarray  # (N,) str, name of the image in the raw archive
    path: Path
    annealed_mean: np.ndarray | None = None  # (N, S, S, 3) uint8 RGB; None for a regression
    entropy: np.ndarray | None = None  # (N, h, w) float16, nats, of the network's output; None for a regression

    @cached_property
    def _position(self) -> dict[int, int]:
        return {int(key): i for i, key in enumerate(self.key)}

    def positions_of(self, keys: Iterable[int]) -> np.ndarray:
        """Positions of `keys` in the arrays, (len(keys),) int64.

        Raises:
            DataError: a key is not among the images; names the file and the key.
        """
        missing = [int(key) for key in keys if int(key) not in self._position]
        if missing:
            raise DataError(
                f"{self.path}: no image with key {missing[0]} (the file has {len(self.key)} images); "
                "check `evaluate.named` in params.yaml, then run `dvc repro`"
            )
        return np.array([self._position[int(key)] for key in keys], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Images:
    """N test images."""

    key: np.ndarray  # (N,) int64
    group: np.ndarray  # (N,) str, images of one group are not independent; empty if the group is not known

    @cached_property
    def groups(self) -> Groups:
        """The groups, for intervals."""
        return groups_of(self.group)

    def are(self, other: Images) -> bool:
        """Whether the others are the same images in the same groups."""
        return self is other or (np.array_equal(self.key, other.key) and np.array_equal(self.group, other.group))


@dataclass(frozen=True)
class PerImage:
    """All measures of one cell for each of the N test images: the means over the seeds."""

    images: Images
    measures: dict[str, np.ndarray]  # (N,) float32 each
    weights: dict[str, str]  # measure -> the measure by whose sum its sum is divided


class Inputs:
    """The input files of one report; each file of predictions is read only once, at first use.

    Every method that reads a file raises DataError if the file is missing or damaged. The message names the file and
    the stage that makes it.

    Args:
        datasets: in the order in which they are shown.
        models: in the order in which they are shown.
        seeds: of the trainings; figures and the gallery show the models of the first one.
        root: top folder of the repository.
        unions: the two data sets that each union joins, by its name.

    Raises:
        DataError: there is no data set, no model or no seed.
    """

    def __init__(
        self, datasets: list[str], models: list[str], seeds: list[int], root: Path = Path(), unions: Unions = NO_UNIONS
    ) -> None:
        if not datasets or not models or not seeds:
            raise DataError("nothing to report: `datasets`, `models` and `seeds` in params.yaml must not be empty")
        self.datasets, self.models, self.seeds, self.folders = list(datasets), list(models), list(seeds), Folders(root)
        self.unions = dict(unions)
        self._predictions: dict[Cell, Predictions] = {}
        self._details_read: dict[Path, Any] = {}
        self._images_read: dict[Path, Images] = {}

    @cached_property
    def titles(self) -> dict[str, str]:
        """The title of each data set.

        Raises:
            ParameterError: `sources/titles.yaml` is damaged.
        """
        titles = labels.read_titles(self.folders.root / labels.TITLES)
        return {dataset: titles.get(dataset, dataset) for dataset in self.datasets}

    def have_common_images(self, dataset: str, other: str) -> bool:
        """Whether the data sets are equal, or have a part in common because one is a union, or both are."""
        return not self._parts(dataset).isdisjoint(self._parts(other))

    def _parts(self, dataset: str) -> set[str]:
        """The plain data sets in a union; any other data set itself."""
        return set().union(*map(self._parts, self.unions.get(dataset, ()))) or {dataset}

    @property
    def classifiers(self) -> list[str]:
        """The models that predict a distribution over the bins."""
        return [model for model in self.models if spec_of(model).is_classifier]

    @property
    def seed_note(self) -> str:
        """Which models the figures and the gallery show, such as "seed 0"; empty if there is only one seed."""
        return f"seed {self.seeds[0]}" if len(self.seeds) > 1 else ""

    def runs(self, dataset: str, model: str) -> list[Run]:
        """The runs of a model on a data set, one per seed; a baseline has a single one."""
        return layout.runs_of(dataset, model, self.seeds)

    @property
    def trainings(self) -> list[Run]:
        """All trained models, in the order of data sets, models and seeds."""
        return [run for dataset in self.datasets for model in self.models for run in self.runs(dataset, model)]

    def values_by_seed(self, cell: Cell, decoding: str = "") -> dict[str, list[float]]:
        """The value of each measure over the split, one per seed; a baseline has a single one.

        `decoding` is a key of `labels.DECODINGS`. The mode is also taken if it is empty.
        """
        found = [self._values(run, cell.target, decoding) for run in cell.runs(self.seeds)]
        for run, values in zip(cell.runs(self.seeds), found, strict=True):
            if values.keys() != found[0].keys():
                raise self._differs(run, cell, "measures")
        return {name: [float(values[name]) for values in found] for name in found[0]}

    def _values(self, run: Run, target: str, decoding: str) -> dict[str, float]:
        """The value of each measure of one run over the split."""
        path, stage = self.folders.evaluation(run, target) / "details.json", layout.evaluation_stage(run)
        values = self._details(run, target)
        names = ("measures",) if decoding in labels.MODES else ("decodings", decoding)
        for name in names:
            values = values.get(name) if isinstance(values, dict) else None
        if not isinstance(values, dict) or not {"l2", "l1"} <= values.keys():
            expected = f"expected `{'.'.join(names)}` with `l2` and `l1`"
            raise DataError(f"{path}: {expected}; run `{repair_command(path, stage)}`")
        for name, value in values.items():
            if type(value) not in (int, float) or not math.isfinite(value):
                raise DataError(f"{path}: `{name}` is not a finite number; run `{repair_command(path, stage)}`")
        return values

    def evaluated(self, run: Run, target: str) -> dict[str, Any]:
        """What was evaluated: the sidecar of the model, and hashes of code and test images. Empty if not recorded."""
        details = self._details(run, target)
        found = details.get("evaluated") if isinstance(details, dict) else None
        return found if isinstance(found, dict) else {}

    def layers(self, run: Run) -> dict[str, Any]:
        """The layer list of a trained model."""
        path, stage = self.folders.history(run) / "layers.json", layout.stage_name("train", run.name)
        layers = read_json(path, stage)
        if not _is_layers(layers):
            raise DataError(f"{path}: not a list of the layers of a network; run `{repair_command(path, stage)}`")
        return layers

    def history(self, run: Run) -> list[dict[str, str]]:
        """Rows of a training history, at least one.

        The values are strings as in the file. A value that the model does not have is empty, and so is `train_loss` of
        step 0.
        """
        path, stage = self.folders.history(run) / "history.csv", layout.stage_name("train", run.name)
        spec = spec_of(run.model)
        of_classifiers = {name for name in HISTORY_COLUMNS if name.endswith(_OF_CLASSIFIERS)}
        optional = {"train_loss"} | ({"train_l2"} if spec.is_classifier else of_classifiers)
        return read_csv(path, stage, HISTORY_COLUMNS, optional)

    def temperature_curve(self, run: Run, target: str) -> list[dict[str, str]]:
        """Rows of the temperature curve of a classifier, from T = 0 on; the values are strings as in the file."""
        path, stage = self.folders.evaluation(run, target) / "temperature.csv", layout.evaluation_stage(run)
        rows = read_csv(path, stage, TEMPERATURE_COLUMNS, TEMPERATURE_COLUMNS[-3:])
        if missing := MARKED_TEMPERATURES.keys() - {float(row["temperature"]) for row in rows}:
            problem = f"no row with the temperature {min(missing)}"
            raise DataError(f"{path}: {problem}; run `{repair_command(path, stage)}`")
        return rows

    def reliability(self, run: Run, target: str) -> list[dict[str, str]]:
        """Rows of the intervals of the top probability of a classifier at T = 1; the values are strings.

        `top_probability` and `accuracy` are empty if no pixel is in the interval.
        """
        path, stage = self.folders.evaluation(run, target) / "reliability.csv", layout.evaluation_stage(run)
        return read_csv(path, stage, RELIABILITY_COLUMNS, RELIABILITY_COLUMNS[-2:])

    def bins(self, dataset: str) -> list[dict[str, str]]:
        """The color bins with their color, prior and class weight on the training images of a data set, as strings."""
        return read_csv(self.folders.prior(dataset) / "bins.csv", layout.stage_name("prior", dataset), BIN_COLUMNS, ())

    def num_training_images(self, dataset: str) -> int:
        """The number of training images of a data set: of each, the prior has counted every pixel."""
        path, stage = self.folders.prior(dataset) / "counts.npy", layout.stage_name("prior", dataset)
        cell = Cell(dataset, self.models[0], dataset)
        return int(read_array(path, stage, "i").sum()) // self.predictions(cell).truth[0, ..., 0].size

    def predictions(self, cell: Cell) -> Predictions:
        """The saved, named and worst predictions of the first seed of one cell."""
        if cell not in self._predictions:
            run = cell.runs(self.seeds)[0]
            path = self.folders.evaluation(run, cell.target) / "predictions.npz"
            kinds = PREDICTION_ARRAYS | (DISTRIBUTION_ARRAYS if spec_of(run.model).is_classifier else {})
            self._predictions[cell] = _read_predictions(path, layout.evaluation_stage(run), kinds)
        return self._predictions[cell]

    def measure_names(self, cell: Cell, decoding: str = "") -> list[str]:
        """The measures of one cell that are known for each image; `decoding` as in `per_image`."""
        run = cell.runs(self.seeds)[0]
        path, stage = self._per_image_path(run, cell.target, decoding), layout.evaluation_stage(run)
        return [name for name in array_names(path, stage) if name not in IMAGE_ARRAYS]

    def num_images(self, cell: Cell) -> int:
        """The number of test images of a cell."""
        return len(self.per_image(cell, names=()).images.key)

    def per_image(self, cell: Cell, decoding: str = "", names: Collection[str] | None = None) -> PerImage:
        """Measures of one cell, image by image: the means over the seeds, which all have the same weight.

        The weights of a measure belong to the test images, so they must be equal for all seeds. Then the ratio of the
        sums is the mean of the ratios of the seeds.

        Args:
            cell: the cell.
            decoding: a key of `labels.DECODINGS`. The mode is also taken if it is empty.
            names: the measures to read, with their weights; those that the cell does not have are left out. None: all.
        """
        first_run, *others = cell.runs(self.seeds)
        first = self._per_image(first_run, cell.target, decoding, names)
        if not others:
            return first
        sums = {name: array.astype(np.float64) for name, array in first.measures.items()}
        for run in others:
            found = self._per_image(run, cell.target, decoding, names)
            if not _same_images(first, found):
                raise self._differs(run, cell, "measures, images, groups or weights")
            for name, array in found.measures.items():
                sums[name] += array
        means = {name: (total / len(self.seeds)).astype(np.float32) for name, total in sums.items()}
        return PerImage(first.images, means, first.weights)

    def _per_image(self, run: Run, target: str, decoding: str, names: Collection[str] | None) -> PerImage:
        """Measures of one run, image by image."""
        path, stage = self._per_image_path(run, target, decoding), layout.evaluation_stage(run)
        details, measured = self._details(run, target), {*self._values(run, target, decoding)}
        weights: Any = details.get("weights") if isinstance(details, dict) else None
        read, expected = array_names(path, stage), measured
        if isinstance(weights, dict):
            if decoding not in labels.MODES:  # which have only the measures of the colors
                weights = {name: weight for name, weight in weights.items() if name in measured}
            if names is not None:
                weights = {name: weight for name, weight in weights.items() if name in names}
                needed = {*IMAGE_ARRAYS, *names, *weights.values()}
                read, expected = [name for name in read if name in needed], measured & {*names}
        known: dict[str, np.ndarray] = {}
        if images := self._images_read.get(path):
            known = {name: getattr(images, name) for name in IMAGE_ARRAYS}
        read = [name for name in read if name not in known]
        arrays = read_arrays(path, stage, lambda found: _per_image_problem(known | found, expected, weights), read)
        if images is None:
            images = self._images_read[path] = self._shared(Images(*(arrays.pop(name) for name in IMAGE_ARRAYS)))
        return PerImage(images, arrays, weights)

    def _shared(self, images: Images) -> Images:
        """The same images, if they were read before: most files have the same, and then share their arrays."""
        distinct = {id(read): read for read in self._images_read.values()}.values()
        return next((read for read in distinct if read.are(images)), images)

    def _per_image_path(self, run: Run, target: str, decoding: str) -> Path:
        folder = self.folders.evaluation(run, target)
        return folder / f"{'per_image' if decoding in labels.MODES else decoding}.npz"

    def _details(self, run: Run, target: str) -> Any:
        """The content of details.json."""
        path = self.folders.evaluation(run, target) / "details.json"
        if path not in self._details_read:
            self._details_read[path] = read_json(path, layout.evaluation_stage(run))
        return self._details_read[path]

    def _differs(self, run: Run, cell: Cell, what: str) -> DataError:
        folder, stage = self.folders.evaluation(run, cell.target), layout.evaluation_stage(run)
        command = f"dvc repro --force --single-item {stage}"
        return DataError(f"{folder}: its {what} differ from those of seed {self.seeds[0]}; run `{command}`")


def _per_image_problem(arrays: dict[str, np.ndarray], expected: Iterable[str], weights: Any) -> str:
    """How these arrays differ from those of an evaluation with the `expected` measures; empty if they do not."""
    if missing := [name for name in (*IMAGE_ARRAYS, *expected) if name not in arrays]:
        return f"`{missing[0]}` is missing"
    if not isinstance(weights, dict) or not all(name in arrays for pair in weights.items() for name in pair):
        return "`weights` in details.json does not name its measures"
    for name, array in arrays.items():
        kind = {"key": "i", "group": "U"}.get(name, "f")
        if array.dtype.kind != kind or array.shape != arrays["key"].shape or not array.size:
            return f"`{name}` is {array.dtype} of shape {array.shape}"
    return ""


def _same_images(first: PerImage, other: PerImage) -> bool:
    """Whether two seeds have the same images, measures and weights; the last digits of the weights may differ."""
    if first.weights != other.weights or first.measures.keys() != other.measures.keys():
        return False
    if not first.images.are(other.images):
        return False
    weights = {*first.weights.values()}
    return all(np.allclose(first.measures[name], other.measures[name], rtol=1e-5, atol=0) for name in weights)


def _is_layers(layers: Any) -> bool:
    """Whether `layers` has all values of `training/describe.py` that Figure 1 uses."""
    try:
        sizes = [*layers["input"], layers["parameters"], layers["width"]]
        for block in layers["blocks"]:
            sizes += [block["size"], block["out_channels"], *itertools.chain(*block["convolutions"])]
            sizes += [len(pair) == 2 for pair in block["convolutions"]]
        names = {block["name"] for block in layers["blocks"]}
        is_whole = all(isinstance(name, str) for name in names) and len(layers["input"]) == 3
        is_whole &= all("batch_norm" in block for block in layers["blocks"])
        return bool(names) and is_whole and min(sizes) > 0 and names >= {*layers["skips"], *layers["skips"].values()}
    except (KeyError, TypeError, AttributeError):
        return False


def _read_predictions(path: Path, stage: str, kinds: dict[str, str]) -> Predictions:
    arrays = read_arrays(path, stage, lambda found: _predictions_problem(found, kinds), kinds)
    order = np.argsort(arrays["key"], kind="stable")
    return Predictions(**{name: a[order] for name, a in arrays.items()}, path=path)


def _predictions_problem(arrays: dict[str, np.ndarray], kinds: dict[str, str]) -> str:
    pictures = arrays["truth"].shape[:3]
    shapes = dict.fromkeys(("truth", "predicted", "annealed_mean"), (*pictures, 3)) | {"gray": pictures}
    for name, kind in kinds.items():
        array, shape = arrays[name], shapes.get(name, pictures[:1])
        if name == "entropy" and array.ndim == 3:  # the network's output has its own size
            shape = (*shape, *array.shape[1:])
        if array.dtype.kind != kind or array.shape != shape:
            return f"`{name}` is {array.dtype} of shape {array.shape}"
        if kind == "f" and not np.isfinite(array).all():
            return f"`{name}` is not finite"
    return ""
