"""What is known about a trained model: its data set, its training, and the measures of the run that trained it.

A model that stands in the repository that trained it has all of them. A copy of its folder has only `model.json`. What
is not known is None here; nothing is guessed.
"""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from colorize import runtime
from colorize.layout import Folders, Run
from colorize.models.registry import MODELS
from colorize.runtime import UserError

SPLITS = ("train", "val", "test")
_FEW_IMAGES = 100_000  # a training that has read fewer images, repetitions included, gives only a demonstration
_MAX_BYTES = 1 << 26  # of a file of results
_CLAIM = re.compile(r"^\| *\d+ *\| (?P<claim>[^|]+?) *\| \*\*(?P<verdict>[^*|]+)\*\* *(?P<counts>[^|]*?) *\|$", re.M)


class Value(NamedTuple):
    """A measured value with its 95 % interval; the limits are None if the test images do not bound the value."""

    value: float
    low: float | None
    high: float | None


class Measures(NamedTuple):
    """The measures of a model on the test images of one data set, as results/measures.csv holds them."""

    target: str  # name of the data set
    num_images: int
    num_groups: int  # groups of test images, over which the intervals are
    values: dict[tuple[str, str], Value]  # (measure, decoding): value of the model; "": a model without a decoding
    baselines: dict[tuple[str, str], dict[str, Value]]  # (measure, decoding): name of a baseline: its value


class DataSet(NamedTuple):
    """The training images."""

    title: str
    is_sample: bool  # cut from a few photographs of installed packages
    credits: list[str]
    license: str
    counts: dict[str, int]  # split: number of images; a split whose images have changed since the training is missing


class Facts(NamedTuple):
    """Everything that is known about a model."""

    name: str  # of the folder, such as objects-unet-0
    sidecar: dict[str, Any]  # `model.json`
    is_demonstration: bool | None
    data: DataSet | None
    measures: list[Measures]  # of its own data set first; empty if they are not known
    num_seeds: int  # the values of `measures` are means over the models of this number of seeds
    claims: list[tuple[str, str]]  # claim of the paper, and what the whole run says about it


def gather(folder: Path, sidecar: dict[str, Any]) -> Facts:
    """Collect what is known about the model in a folder with this `model.json`."""
    root, run = repository(folder), _run(sidecar)
    data = _data_set(root, sidecar) if root and run else None
    found: tuple[list[Measures], int, list[tuple[str, str]]] = ([], 1, [])
    if root and run and run.name == _absolute(folder).name:
        found = _results(root, run, sidecar)
    return Facts(_absolute(folder).name, sidecar, is_demonstration(folder, sidecar), data, *found)


def is_demonstration(folder: Path, sidecar: dict[str, Any]) -> bool | None:
    """Whether a model can only demonstrate the method: trained on the sample, or with very few images.

    Returns:
        None if the folder does not tell.
    """
    root, run = repository(folder), _run(sidecar)
    source = _source(root, run.dataset) if root and run else None
    if source is not None and source.sample is not None:
        return True
    train = sidecar.get("parameters", {}).get("train", {})
    try:
        return bool(train["steps"] * train["batch_size"] < _FEW_IMAGES)
    except (KeyError, TypeError):
        return None


def repository(folder: Path) -> Path | None:
    """The repository whose pipeline trained a model; None if the folder is a copy in another location."""
    models = _absolute(folder).parent
    root = models.parent.parent
    return root if (root / "dvc.yaml").is_file() and models == root / "data" / "models" else None


def _absolute(folder: Path) -> Path:
    return Path(os.path.abspath(folder))  # noqa: PTH100 (`data` may be a link, and `resolve` would follow it)


def _run(sidecar: dict[str, Any]) -> Run | None:
    dataset, seed = sidecar.get("dataset"), sidecar.get("seed")
    if not (isinstance(dataset, str) and re.fullmatch(r"\w+", dataset) and type(seed) is int):
        return None
    return Run(dataset, sidecar["model"], seed)


# --- data set --------------------------------------------------------------------------------------------------------


def _source(root: Path, dataset: str) -> Any:
    """The description of a data set; None if it cannot be read here, for example without the extra `pipeline`."""
    try:
        from colorize.sharding import sources

        return sources.load(dataset, Folders(root).source(dataset).parent)
    except (ImportError, UserError):
        return None


def _title(root: Path, dataset: str) -> str:
    try:
        from colorize.report import labels

        return labels.read_titles(root / labels.TITLES).get(dataset, dataset)
    except (ImportError, UserError):
        return dataset


def _data_set(root: Path, sidecar: dict[str, Any]) -> DataSet | None:
    dataset = sidecar["dataset"]
    source = _source(root, dataset)
    if source is None:
        return None
    credit, license_ = [source.credit] if source.credit else [], source.license
    if source.sample is not None:  # each photograph has its own credit, which includes its license
        credit, license_ = [photo.credit for photo in source.sample.photos.values()], "see each photograph"
    return DataSet(_title(root, dataset), source.sample is not None, credit, license_, _counts(root, sidecar))


def _counts(root: Path, sidecar: dict[str, Any]) -> dict[str, int]:
    """Number of images of each split of the data set that the model was trained with."""
    counts = {}
    known = sidecar.get("manifest_sha256", {})
    for split in SPLITS:
        path = Folders(root).shards(split, sidecar["dataset"]) / "manifest.json"
        manifest = _read_json(path)
        is_unchanged = split not in known or (path.is_file() and runtime.sha256_of(path) == known[split])
        if isinstance(manifest, dict) and type(manifest.get("images")) is int and is_unchanged:
            counts[split] = manifest["images"]
    return counts


# --- results ---------------------------------------------------------------------------------------------------------


def _results(root: Path, run: Run, sidecar: dict[str, Any]) -> tuple[list[Measures], int, list[tuple[str, str]]]:
    """The measures on each data set, the number of seeds, and the claims; all empty if they are those of another model.

    `results/` shows the last report. The evaluation names the weights that it evaluated. With one seed, the values of
    both must agree too, because the report can be older than the evaluation.
    """
    rows = [row for row in _read_csv(root / "results" / "measures.csv") if row.get("source") == run.dataset]
    targets = sorted({row["target"] for row in rows if row["model"] == run.model}, key=lambda t: (t != run.dataset, t))
    measures, seeds = [], 1
    for target in targets:
        details = _read_json(Folders(root).evaluation(run, target) / "details.json")
        try:
            evaluated, num_images = details["evaluated"]["model"], int(details["images"])
            found = _measures(target, num_images, [row for row in rows if row["target"] == target], run.model)
            seeds = max(int(row["seeds"]) for row in rows if row["model"] == run.model)
            is_same = evaluated["weights_sha256"] == sidecar["weights_sha256"]
            is_same &= seeds > 1 or _agree(found, details["measures"])
        except (KeyError, TypeError, ValueError):
            return [], 1, []
        if not is_same:
            return [], 1, []
        measures.append(found)
    return measures, seeds, _claims(root / "results" / "claims.md") if measures else []


def _measures(target: str, num_images: int, rows: list[dict[str, str]], model: str) -> Measures:
    values: dict[tuple[str, str], Value] = {}
    baselines: dict[tuple[str, str], dict[str, Value]] = {}
    groups = 0
    for row in rows:
        limits = [float(row[name]) if row[name] else None for name in ("low", "high")]
        value = Value(float(row["value"]), *limits)
        if row["model"] == model:
            values[row["measure"], row["decoding"]] = value
            groups = int(row["groups"])
        elif row["model"] not in MODELS:
            baselines.setdefault((row["measure"], row["decoding"]), {})[row["model"]] = value
    return Measures(target, num_images, groups, values, baselines)


def _agree(measures: Measures, evaluated: dict[str, float]) -> bool:
    """Whether the values of the report are those of the evaluation."""
    own = {name: value for (name, decoding), value in measures.values.items() if decoding in ("", "mode")}
    return all(abs(value.value - evaluated[name]) < 1e-4 for name, value in own.items())


def _claims(path: Path) -> list[tuple[str, str]]:
    found = _CLAIM.finditer(_read_text(path))
    return [(match["claim"], f"{match['verdict']} {match['counts']}".strip()) for match in found]


def _read_text(path: Path) -> str:
    """The content of a file; empty if it cannot be read."""
    try:
        return runtime.read_bytes(path, _MAX_BYTES).decode("utf-8")
    except (OSError, ValueError):
        return ""


def _read_csv(path: Path) -> list[dict[str, str]]:
    rows = csv.DictReader(_read_text(path).splitlines())
    return list(rows) if {"source", "target", "model", "seeds"} <= set(rows.fieldnames or ()) else []


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except (ValueError, RecursionError):
        return None


def model_title(model: str) -> str:
    """The title of a model or baseline in the report; its name if the packages of the report are not installed."""
    try:
        from colorize.report import labels
    except ImportError:
        return model
    return labels.model_title(model)
