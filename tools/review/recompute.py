"""Compute the measures of every model and baseline for every test image."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
import yaml

from colorize import layout
from colorize.layout import UNTRAINED, Folders, Run
from colorize.models import contract
from colorize.models.registry import MODELS
from tools.review import baselines, calibration, images, measures, training, validation
from tools.review.distributions import Distributions, Predicted, Predictor, Table, of_prediction
from tools.review.images import Images
from tools.review.measures import Measured, Truth

_AT_ONCE = 1 << 13  # pixels


class Results(NamedTuple):
    """All measures of one repository."""

    params: dict[str, Any]
    test: dict[str, Images]  # by data set
    measured: dict[tuple[Run, str], dict[str, Measured]]  # (run, target) -> decoding -> measures of N images
    curves: dict[tuple[Run, str], dict[float, calibration.Row]]  # (run, target) -> temperature curve of a classifier
    histories: dict[Run, dict[str, float]]  # the losses of each model for the images of its validations


def recompute(root: Path) -> Results:
    """Read the shards and models of a repository, and compute all measures."""
    inputs = _Inputs(root)
    measured, curves, histories = {}, {}, {}
    for target in inputs.params["datasets"]:
        measured |= {(run, target): found for run, found in inputs.measure(target).items()}
        curves |= {(run, target): found for run, found in inputs.temperature_curves(target).items()}
        histories |= inputs.validate(target)
    return Results(inputs.params, inputs.test, measured, curves, histories)


def runs_of(params: dict[str, Any]) -> list[Run]:
    """All models and baselines."""
    pairs = itertools.product(params["datasets"], (*UNTRAINED, *params["models"]))
    return [run for dataset, name in pairs for run in layout.runs_of(dataset, name, params["seeds"])]


class _Inputs:
    """The images and models of a repository."""

    def __init__(self, root: Path) -> None:
        self.params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        self._folders, section = Folders(root), self.params["soft_targets"]
        self._encoding = (section["num_neighbors"], section["sigma"], section["encode"] == "pixel")
        self._train, self._val, self.test = (
            {name: images.read(self._folders.shards(split, name)) for name in self.params["datasets"]}
            for split in ("train", "val", "test")
        )
        self._colors = {name: training.count_colors(split, *self._encoding) for name, split in self._train.items()}
        lambda_ = self.params["prior"]["lambda"]
        self._sources = {name: training.source_of(found, lambda_) for name, found in self._colors.items()}
        trained = (run for run in runs_of(self.params) if run.model not in UNTRAINED)
        self._models = {run: predictor_of(_load(self._folders.model(run))) for run in trained}

    def _batches(self, rgb: np.ndarray) -> Iterator[Truth]:
        for part in np.array_split(rgb, rgb[..., 0].size // _AT_ONCE + 1):
            yield measures.truth_of(part, *self._encoding)

    def measure(self, target: str) -> dict[Run, dict[str, Measured]]:
        """All measures of all runs for the images of one test split."""
        predictors = dict(self._models)
        for run in (run for run in runs_of(self.params) if run.model in UNTRAINED):
            predictors[run] = baselines.predictor(run.model, run.dataset, target, self._colors, self._sources)
        parts: dict[Run, list[dict[str, Measured]]] = {run: [] for run in predictors}
        for truth in self._batches(self.test[target].rgb):
            for run, predict in predictors.items():
                parts[run].append(of_prediction(truth, predict(truth), self._sources[run.dataset]))
        return {run: _joined(of_run) for run, of_run in parts.items()}

    def temperature_curves(self, target: str) -> dict[Run, dict[float, calibration.Row]]:
        """The curves of all classifiers for the saved images of one test split."""
        rgb = self.test[target].rgb
        saved = list(self._batches(rgb[validation.spread(len(rgb), self.params["evaluate"]["num_saved"])]))
        classifiers = (run for run in self._models if MODELS[run.model].is_classifier)
        return {run: calibration.curve(self._models[run], saved) for run in classifiers}

    def validate(self, dataset: str) -> dict[Run, dict[str, float]]:
        """The losses in the histories of all models of one data set."""
        count = self.params["train"]["val_images"]
        shown = validation.choose(self._train[dataset].rgb, self._val[dataset].rgb, count)
        batches = {split: list(self._batches(rgb)) for split, rgb in shown.items()}
        return {
            run: validation.losses_of(predict, batches, self._sources[dataset], run.model)
            for run, predict in self._models.items()
            if run.dataset == dataset
        }


def _load(folder: Path) -> torch.nn.Module:
    sidecar = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    network = contract.build_model(sidecar["model"], sidecar["width"])
    network.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    return network.eval()


def _joined(parts: list[dict[str, Measured]]) -> dict[str, Measured]:
    """The measures of several batches, one after the other."""
    return {
        decoding: Measured(*(
            {name: np.concatenate([of_batch[name] for of_batch in batches]) for name in batches[0]}
            for batches in zip(*(part[decoding] for part in parts), strict=True)
        ))
        for decoding in parts[0]
    }  # fmt: skip


def predictor_of(network: torch.nn.Module) -> Predictor:
    """The predictions of a network, which gets L / 100 and returns ab / 128 or logits."""

    @torch.inference_mode()
    def predict(truth: Truth) -> Predicted:
        L_norm = torch.from_numpy(truth.lab[..., 0] / 100).float()[:, None]
        output = np.moveaxis(network(L_norm).numpy(), 1, -1)  # (B, h, w, 2 or Q)
        if output.shape[-1] == 2:
            return Predicted(ab=128 * output.astype(np.float64))
        rows = np.arange(output[..., 0].size).reshape(output.shape[:3])
        for axis in (1, 2):  # the nearest logits of each pixel
            rows = rows.repeat(truth.rgb.shape[axis] // output.shape[axis], axis=axis)
        return Predicted(plain=Distributions(Table(output.reshape(-1, output.shape[-1])), rows))

    return predict
