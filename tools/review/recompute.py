"""Compute the measures of every model and baseline for every test image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
import yaml

from colorize import layout
from colorize.layout import BASELINES, Folders, Run
from colorize.models import contract
from tools.review import baselines, images, measures, training, validation
from tools.review.distributions import Distributions, Predicted, Predictor, Table, of_prediction
from tools.review.images import Images
from tools.review.measures import Measured, Source, Truth

_AT_ONCE = 1 << 13  # pixels


class Results(NamedTuple):
    """All measures of one repository."""

    params: dict[str, Any]
    test: dict[str, Images]  # by data set
    measured: dict[tuple[Run, str], dict[str, Measured]]  # (run, target) -> decoding -> measures of N images
    histories: dict[Run, dict[str, float]]  # the losses of each model for the images of its validations


def recompute(root: Path) -> Results:
    """Read the shards and models of a repository, and compute all measures."""
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    section, folders = params["soft_targets"], Folders(root)
    encoding = (section["num_neighbors"], section["sigma"], section["encode"] == "pixel")
    train = {name: images.read(folders.shards("train", name)) for name in params["datasets"]}
    colors = {name: training.count_colors(split.rgb, *encoding) for name, split in train.items()}
    sources = {name: training.source_of(found, params["prior"]["lambda"]) for name, found in colors.items()}
    networks = {run: _load(folders.model(run)) for run in runs_of(params) if run.model not in BASELINES}
    test = {name: images.read(folders.shards("test", name)) for name in params["datasets"]}
    measured = {}
    for target, split in test.items():
        predictors = {run: predictor_of(networks[run]) for run in networks}
        for run in runs_of(params):
            if run not in networks:
                predictors[run] = baselines.predictor(run.model, run.dataset, target, colors, sources)
        for run, found in _measure(split, encoding, predictors, sources).items():
            measured[run, target] = found
    histories = {}
    for name, split in train.items():
        val = images.read(folders.shards("val", name))
        shown = validation.choose(split.rgb, val.rgb, params["train"]["val_images"])
        truths = {one: measures.truth_of(rgb, *encoding) for one, rgb in shown.items()}
        for run in (run for run in networks if run.dataset == name):
            histories[run] = validation.losses_of(predictor_of(networks[run]), truths, sources[name], run.model)
    return Results(params, test, measured, histories)


def runs_of(params: dict[str, Any]) -> list[Run]:
    """All models and baselines."""
    names = (*BASELINES, *params["models"])
    return [
        run
        for dataset in params["datasets"]
        for name in names
        for run in layout.runs_of(dataset, name, params["seeds"])
    ]


def _load(folder: Path) -> torch.nn.Module:
    sidecar = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    network = contract.build_model(sidecar["model"], sidecar["width"])
    network.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    return network.eval()


def _measure(
    split: Images, encoding: tuple, predictors: dict[Run, Predictor], sources: dict[str, Source]
) -> dict[Run, dict[str, Measured]]:
    """All measures of each run for the images of one test split."""
    parts: dict[Run, list[dict[str, Measured]]] = {run: [] for run in predictors}
    for rgb in np.array_split(split.rgb, split.rgb[..., 0].size // _AT_ONCE + 1):
        truth = measures.truth_of(rgb, *encoding)
        for run, predict in predictors.items():
            parts[run].append(of_prediction(truth, predict(truth), sources[run.dataset]))
    return {run: _joined(of_run) for run, of_run in parts.items()}


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
