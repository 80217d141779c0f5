"""Small synthetic runs in the layout that the other stages write."""

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from colorize.layout import UNTRAINED, Folders, Run, runs_of
from colorize.report.inputs import RELIABILITY_COLUMNS, TEMPERATURE_COLUMNS, Inputs
from colorize.report.labels import TITLES
from tests.helpers.layouts import expect_one_line  # noqa: F401

MODELS = ["regression", "cnn", "cnn_weighted", "unet", "unet_weighted"]
SIZE = 8
TRAINING_IMAGES = 1_500
CNN_BLOCKS = [
    ("block1", [[1, 4], [4, 4]], 8),
    ("block2", [[4, 8]], 4),
    ("block3", [[8, 4]], 8),
    ("head", [[4, 313]], 8),
]
REGRESSION_BLOCKS = [("encoder", [[1, 4]], 4), ("block1", [[4, 2]], 8)]
CURVE = (
    "0.0,0.03,22.0,50.0,40.0,,,",
    "0.38,0.02,23.0,44.0,40.0,4.0,3.5,0.2",
    "1.0,0.02,23.5,36.0,40.0,3.0,2.5,0.1",
    "1.5,0.02,23.4,30.0,40.0,3.1,2.6,0.2",
)
RELIABILITY = [
    f"{i / 15:.5f},{(i + 1) / 15:.5f},{100 * i},{f'{(i + 0.5) / 15:.5f},{i / 20:.5f}' if i else ','}" for i in range(15)
]


HISTORY_HEADER = (
    "step,train_loss,val_loss,val_l1,val_l2,val_accuracy,train_l2,train_cross_entropy,train_weighted_cross_entropy,"
    "train_class_weight,val_cross_entropy,val_weighted_cross_entropy,val_class_weight"
)


class Outputs:
    """What the other stages write; tests change its files or its settings."""

    def __init__(self, root: Path, datasets: list[str], models: list[str], seeds: list[int], images: int = 12) -> None:
        """Write every input of the report below `root`."""
        self.root, self.datasets, self.models, self.seeds, self.images = root, datasets, models, seeds, images
        self.unions: dict[str, tuple[str, str]] = {}
        self.folders = Folders(root)
        self.write_titles("objects: Objects\nscenes: Scenes\n")
        for dataset, model, seed in itertools.product(datasets, models, seeds):
            self.write_history(dataset, model, seed)
        for dataset in datasets:
            self.write_bins(dataset)
        for source, target, model in itertools.product(datasets, datasets, (*UNTRAINED, *models)):
            for run in runs_of(source, model, seeds):
                self.write_metrics(source, model, target, run.seed)
                self.write_predictions(source, model, target, run.seed)

    def write_bins(self, dataset: str) -> None:
        """A grid of nine bins; the middle one is gray and frequent."""
        folder = self.folders.prior(dataset)
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["a,b,red,green,blue,prior,weight"]
        for a, b in itertools.product((-10, 0, 10), repeat=2):
            lines.append(f"{a},{b},128,128,128,{'0.92,0.5' if a == b == 0 else '0.01,2.5'}")
        (folder / "bins.csv").write_text("\n".join(lines) + "\n")
        np.save(folder / "counts.npy", np.array([TRAINING_IMAGES * SIZE**2 - 2, 0, 2]))

    @property
    def inputs(self) -> Inputs:
        """The files, as the report reads them."""
        return Inputs(self.datasets, self.models, self.seeds, self.root, self.unions)

    @property
    def settings(self) -> SimpleNamespace:
        """Settings as `params.load()` gives them, as far as the report reads them."""
        figure5 = SimpleNamespace(source=self.datasets[0], target=self.datasets[0], model=self.models[0])
        report = SimpleNamespace(
            columns=3, figure4_models=self.models[:1], figure5=figure5, figure6_model=self.models[-1]
        )
        named = SimpleNamespace(named={self.datasets[0]: [10, 30]})
        unions = {name: SimpleNamespace(first=pair[0], second=pair[1]) for name, pair in self.unions.items()}
        return SimpleNamespace(
            unions=unions, datasets=self.datasets, models=self.models, seeds=self.seeds, evaluate=named, report=report
        )

    def write_titles(self, text: str) -> None:
        """The titles of data sets."""
        path = self.root / TITLES
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def folder(self, source: str, model: str, target: str, seed: int | None = 0) -> Path:
        """The folder of an evaluation; that of a baseline whatever the seed."""
        folder = self.folders.evaluation(Run(source, model, None if model in UNTRAINED else seed), target)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write_metrics(self, source: str, model: str, target: str, seed: int | None = 0, **values: float) -> None:
        """Values of all measures over the split, the same everywhere but for `values`, and those of its images."""
        metrics = {"l2": 0.5, "l1": 0.25, "colorfulness": 30.0}
        if self.has_distribution(model):
            metrics |= {"accuracy": 0.125, "cross_entropy": 3.0, "weighted_cross_entropy": 9.0}
        details = {"measures": metrics | values, "weights": {"weighted": "weight"}, "decodings": {}}
        (self.folder(source, model, target, seed) / "details.json").write_text(json.dumps(details))
        self.write_per_image(source, model, target, seed, **{name: v + self.noise for name, v in values.items()})
        for decoding in ("annealed_mean", "mean") if self.has_distribution(model) else ():
            self.write_decoding(source, model, target, decoding, seed)

    def write_decoding(
        self, source: str, model: str, target: str, decoding: str, seed: int | None = 0, **values: float
    ) -> None:
        """The measures of the colors with another decoding, over the split and for each image."""
        folder = self.folder(source, model, target, seed)
        details = json.loads((folder / "details.json").read_text())
        metrics = {"l2": 0.5, "l1": 0.25} | values
        details["decodings"][decoding] = metrics
        (folder / "details.json").write_text(json.dumps(details))
        arrays = {name: value + self.noise for name, value in metrics.items()}
        with np.load(folder / "per_image.npz") as first:
            np.savez(folder / f"{decoding}.npz", key=first["key"], group=first["group"], **arrays)

    @staticmethod
    def has_distribution(model: str) -> bool:
        """Whether a model or a baseline predicts a distribution over the bins."""
        return model not in ("gray", "mean_ab", "median_ab", "oracle", "regression")

    @property
    def noise(self) -> np.ndarray:
        """How a measure differs from image to image, the same for all measures and models; its mean is 0."""
        every = np.arange(self.images)
        return ((every - every.mean()) / 100).astype(np.float32)

    def write_predictions(self, source: str, model: str, target: str, seed: int | None = 0, /, **arrays) -> None:
        """Images of random noise that depend on the target alone; predictions are of one color.

        The entropy is that of a network whose output has half the size.
        """
        n, rng = self.images, np.random.default_rng(self.datasets.index(target))
        truth = rng.integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
        every = np.arange(n)
        values = {
            "key": every * 10,
            "truth": truth,
            "gray": truth[..., 1],
            "predicted": np.full_like(truth, 20 * (self.datasets.index(source) + 1)),
            "l2": (every / 100).astype(np.float32),
            "is_saved": every < n - 2,
            "is_worst": every >= n - 4,
            "source": np.array([f"photo{i}.jpg" for i in every]),
        }
        if self.has_distribution(model):
            values["annealed_mean"] = values["predicted"] // 2
            values["entropy"] = rng.uniform(0, np.log(313), (n, SIZE // 2, SIZE // 2)).astype(np.float16)
        folder = self.folder(source, model, target, seed)
        kept = {name: array for name, array in (values | arrays).items() if array is not None}
        np.savez_compressed(folder / "predictions.npz", **kept)

    def write_per_image(self, source: str, model: str, target: str, seed: int | None = 0, /, **arrays) -> None:
        """Measures of two groups of images, one of them divided by a weight."""
        every = np.arange(self.images)
        values = {
            "key": every * 10,
            "group": np.array(["" if i < 4 else f"photo {i % 4}" for i in every]),
            "l2": 0.5 + self.noise,
            "l1": 0.25 + self.noise,
            "colorfulness": 30.0 + self.noise,
            "weight": (1 + every % 3).astype(np.float32),
            "weighted": ((1 + every % 3) * every / 10).astype(np.float32),
        }
        if self.has_distribution(model):
            means = {"accuracy": 0.125, "cross_entropy": 3.0, "weighted_cross_entropy": 9.0}
            values |= {name: mean + self.noise for name, mean in means.items()}
        folder = self.folder(source, model, target, seed)
        np.savez_compressed(folder / "per_image.npz", **{k: v for k, v in (values | arrays).items() if v is not None})
        if model not in (*UNTRAINED, "regression"):
            (folder / "temperature.csv").write_text("\n".join([",".join(TEMPERATURE_COLUMNS), *CURVE]) + "\n")
            (folder / "reliability.csv").write_text("\n".join([",".join(RELIABILITY_COLUMNS), *RELIABILITY]) + "\n")

    def write_history(self, dataset: str, model: str, seed: int = 0, text: str = "") -> None:
        """A history, by default of two rows, and the layers of a tiny network."""
        folder = self.folders.history(Run(dataset, model, seed))
        folder.mkdir(parents=True, exist_ok=True)
        rest = ",0.01,,,,,," if model == "regression" else "0.2,,2.25,4.5,0.75,2.5,6.0,1.25"
        rows = [HISTORY_HEADER, f"0,,2.5,0.1,0.02,{rest}", f"10,1.5,1.75,0.1,0.02,{rest}"]
        (folder / "history.csv").write_text(text or "\n".join(rows) + "\n")
        (folder / "layers.json").write_text(json.dumps(_layers(model)))


def _layers(model: str) -> dict:
    blocks = REGRESSION_BLOCKS if model == "regression" else CNN_BLOCKS
    return {
        "model": model,
        "width": 0.25,
        "parameters": 1234,
        "input": [1, 8, 8],
        "skips": {"block3": "block1"} if model.startswith("unet") else {},
        "blocks": [
            {
                "name": name,
                "convolutions": convolutions,
                "out_channels": convolutions[-1][1],
                "size": size,
                "parameters": 10,
                "batch_norm": name != "head",
            }
            for name, convolutions, size in blocks
        ],
    }


@pytest.fixture
def make_run(tmp_path):
    """A function that writes what the other stages write for some data sets and models, below tmp_path."""
    return lambda datasets=("objects", "scenes"), models=tuple(MODELS), seeds=(0,), **more: Outputs(
        tmp_path, list(datasets), list(models), list(seeds), **more
    )
