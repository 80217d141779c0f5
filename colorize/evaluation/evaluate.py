"""Evaluate a model or a baseline, trained on one data set, on the test split of the same or another data set."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from colorize import runtime
from colorize.color.gamut import NUM_BINS
from colorize.color.targets import Options
from colorize.data.split import Split
from colorize.evaluation import baselines, decodings, kept, measuring, paper
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Kind, Prediction, Predictor, Truth
from colorize.evaluation.npz import write_npz
from colorize.evaluation.predicted import Distributions
from colorize.layout import UNTRAINED, Folders, Run, stage_name
from colorize.models import files
from colorize.models.contract import Classifier
from colorize.prior.files import load_tensor
from colorize.runtime import DataError, sha256_of

if TYPE_CHECKING:
    from colorize.config.params import Evaluate

_DIGITS = 5  # of all values of a split
# Smallest prior of a bin in the rebalanced measures, as a share of 1 / Q. Without it, one bin that the training images
# do not contain can decide the value of a whole split.
_RAREST = 0.01


def evaluate(
    runs: Sequence[Run],
    target: str,
    settings: Evaluate,
    options: Options,
    folders: Folders,
    device: str,
    code: str = "",
) -> dict[Run, dict[str, float]]:
    """Evaluate runs on one test split; write all measures, and the predictions that the report shows.

    `per_image.npz` has one float32 array per measure, and the keys and groups of the images. `annealed_mean.npz` and
    `mean.npz` have the same for the colors of these decodings; only predictions with a distribution have them.
    `details.json` has the value of every measure over the split, and the name of the weight of those that have one (see
    `Measure`). It also says what was evaluated: the sidecar of the model, the SHA-256 of the manifest of the test
    split, and `code`. Trained models also have the files of `kept.save`.

    Args:
        runs: trained models or baselines of one data set, the source.
        target: the data set of the test images.
        settings: the section `evaluate` of the parameters.
        options: options of the soft targets.
        folders: folders of all inputs and outputs.
        device: device to run on.
        code: identifies the code that evaluates.

    Returns:
        by run: the value over the test split of each measure of the paper that it has, rounded to 5 decimals.

    Raises:
        DataError: an input is missing or damaged, a model was trained on images of another size, or a metric is not
            finite.
    """
    split = Split(folders.shards("test", target))
    weights, inverse_prior = (values.to(device) for values in _bin_weights(folders.prior(runs[0].dataset)))
    predictors = {run: _predictor(run, split, folders, device) for run in runs}
    measures, names = MEASURES | decodings.decoded_measures(), ", ".join(run.name for run in runs)
    with runtime.progress(f"evaluate {names} on {target}", len(split), "images") as advance:
        measured = measuring.measure_all(
            predictors, split, measures, weights, options, advance=advance, inverse_prior=inverse_prior
        )
    metrics, manifest = {}, sha256_of(split.folder / "manifest.json")
    for run, (predict, kind) in predictors.items():
        out = folders.evaluation(run, target)
        tables = decodings.by_decoding({name: values.cpu().numpy() for name, values in measured[run].items()})
        values = {decoding: _values_of_split(run, decoding, table, split) for decoding, table in tables.items()}
        evaluated: dict[str, Any] = {"code": code, "test_manifest_sha256": manifest}
        if run.model not in UNTRAINED:
            shown = kept.choose(split, tables[decodings.MODE]["l2"], settings, settings.named.get(target, []))
            kept.save(out, shown, split, predict, kind, weights, options)
            evaluated["model"] = json.loads((folders.model(run) / "model.json").read_bytes())  # checked by `files.load`
        _write_measures(out, split, tables, values, evaluated)
        metrics[run] = {name: value for name, value in values[decodings.MODE].items() if name in paper.MEASURES}
    return metrics


def _write_measures(
    out: Path,
    split: Split,
    tables: dict[str, dict[str, np.ndarray]],
    values: dict[str, dict[str, float]],
    evaluated: dict[str, Any],
) -> None:
    """Write the measures of each image and of the split, both by decoding and measure."""
    images = {
        "key": split.keys(np.arange(len(split))),
        "group": kept.read_column(split, "group"),
    }
    for decoding, table in tables.items():
        name = "per_image" if decoding == decodings.MODE else decoding
        columns = {measure: column.astype(np.float32) for measure, column in table.items()}
        write_npz(out / f"{name}.npz", images | columns)
    measures = values[decodings.MODE]
    details = {
        "images": len(split),
        "evaluated": evaluated,
        "measures": measures,
        "decodings": {name: of_colors for name, of_colors in values.items() if name != decodings.MODE},
        "weights": {name: weight for name in measures if (weight := MEASURES[name].weight)},
    }
    runtime.fault_point("evaluate-details")
    runtime.write_json(out / "details.json", details)


def _values_of_split(run: Run, decoding: str, table: dict[str, np.ndarray], split: Split) -> dict[str, float]:
    """The rounded values of the measures over the split. Raises DataError if one is not finite."""
    values = {name: round(value, _DIGITS) for name, value in measuring.values_of_split(table, MEASURES).items()}
    wrong = next((name for name, value in values.items() if not math.isfinite(value)), None)
    if wrong is None:
        return values
    problem = f"evaluate {run.name} on {split.folder.name}: {wrong} is {values[wrong]}"
    if decoding != decodings.MODE:
        problem += f" with the decoding {decoding}"
    if run.model not in UNTRAINED and wrong in paper.MEASURES:  # which are finite for all finite predictions
        train = f"dvc repro --force --single-item {stage_name('train', run.name)}"
        raise DataError(
            f"{problem}: the model's weights are too large; lower train.lr or train.clip_norm and run `{train}`"
        )
    images = split.keys(np.flatnonzero(~np.isfinite(table[wrong])))
    where = f", first for the image with key {images[0]}" if len(images) else ""
    raise DataError(f"{problem}{where}; correct this measure")


def _bin_weights(prior: Path) -> tuple[Tensor, Tensor]:
    """Class weights and inverse prior of a source, (Q,) each."""
    frequencies = load_tensor(prior / "prior.npy").clamp_min(_RAREST / NUM_BINS)
    return load_tensor(prior / "rebalancing.npy"), frequencies.reciprocal()


def _predictor(run: Run, split: Split, folders: Folders, device: str) -> tuple[Predictor, Kind]:
    temperatures = tuple(decodings.DECODINGS.values())
    if run.model in UNTRAINED:
        return baselines.predictor(run, split.folder.name, folders, device, temperatures)
    folder = folders.model(run)
    model, sidecar = files.load(folder, device)
    if sidecar["size"] != split.size:
        raise DataError(
            f"{folder}: trained on images of {sidecar['size']} px, but {split.folder} has {split.size} px; "
            "run `dvc repro`, which uses one shard.size for all data sets"
        )
    if not isinstance(model, Classifier):
        return lambda truth: Prediction(model(truth.L_norm)), Kind.COLORS

    def predict(truth: Truth) -> Prediction:
        return Prediction(Distributions.of_logits(model(truth.L_norm), temperatures))

    return predict, Kind.DISTRIBUTIONS
