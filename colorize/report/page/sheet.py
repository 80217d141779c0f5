"""Section: the data sheet. Hashes of data, models and code, the parameters, and departures from the paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from colorize.layout import Run
from colorize.report.evidence import Evidence
from colorize.report.labels import model_title
from colorize.report.page.section import Section

PAPER = {  # the values that the paper states; a width other than 1 changes its numbers of channels
    "size": 64,
    "soft_targets.num_neighbors": 10,
    "soft_targets.sigma": 5.0,
    "train.beta1": 0.9,
    "train.beta2": 0.99,
    "train.clip_norm": 5.0,
    "train.lr": 3e-5,
    "train.weight_decay": 1e-3,
    "train.width": 1.0,
}
PACKAGES = Path(__file__).with_name("vendor") / "README.md"  # the table of the packages in the page


def build(evidence: Evidence) -> Section:
    """The last section of the page."""
    inputs = evidence.inputs
    runs = [run for dataset in inputs.datasets for model in inputs.models for run in inputs.runs(dataset, model)]
    sheets = {run: inputs.evaluated(run, run.dataset) for run in runs}
    values = {
        "data": [_data(evidence, dataset, sheets) for dataset in inputs.datasets],
        "runs": [_run(evidence, run, sheets[run]) for run in runs],
        "parameters": [*_parameters(sheets.values())],
        "torch": sorted({str(_model(sheet).get("torch", "")) for sheet in sheets.values()} - {""}),
        "packages": _packages(),
    }
    return Section("sheet", "Data sheet", values)


def _model(sheet: dict[str, Any]) -> dict[str, Any]:
    """The sidecar of the model; empty if it is not recorded."""
    model = sheet.get("model")
    return model if isinstance(model, dict) else {}


def _data(evidence: Evidence, dataset: str, sheets: dict[Run, dict[str, Any]]) -> dict[str, Any]:
    sheet = next(sheet for run, sheet in sheets.items() if run.dataset == dataset)
    trained = _model(sheet).get("manifest_sha256", {})
    hashes = {split: str(trained.get(split, "")) for split in ("train", "val")}
    hashes["test"] = str(sheet.get("test_manifest_sha256", ""))
    return {"title": evidence.inputs.titles[dataset], "name": dataset, "hashes": hashes}


def _run(evidence: Evidence, run: Run, sheet: dict[str, Any]) -> dict[str, Any]:
    model = _model(sheet)
    return {
        "name": run.name,
        "dataset": evidence.inputs.titles[run.dataset],
        "model": model_title(run.model),
        "seed": run.seed,
        "weights": str(model.get("weights_sha256", "")),
        "code": str(sheet.get("code", "")),
        "device": str(model.get("device", "")),
        "threads": str(model.get("threads", "")),
    }


def _parameters(sheets: Any) -> Iterator[dict[str, Any]]:
    """The parameters of the trainings: name, values in this run (usually one), and the paper's value."""
    found: dict[str, list[Any]] = {}
    for sheet in sheets:
        model = _model(sheet)
        for name, value in {"size": model.get("size"), **_flat(model.get("parameters", {}))}.items():
            if value is not None and value not in found.setdefault(name, []):
                found[name].append(value)
    for name, values in found.items():
        paper = PAPER.get(name)
        yield {
            "name": name,
            "values": ", ".join(map(str, values)),
            "paper": "" if paper is None else str(paper),
            "differs": paper is not None and values != [paper],
        }


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _packages() -> list[list[str]]:
    """Name, version and license of each vendored package, from the table in vendor/README.md."""
    lines = PACKAGES.read_text(encoding="utf-8").splitlines()
    rows = [[text.strip() for text in line.strip("|").split("|")] for line in lines if line.startswith("| [")]
    return [[row[0][1:].partition("]")[0], row[1], row[2].partition(",")[0]] for row in rows]
