"""Compare results/generalization.csv, calibration.csv, overfitting.csv and curves.csv with ours."""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.stats import t as student

from colorize.layout import Run
from tools.review.printed import Number, Value
from tools.review.ranking import HIGHER
from tools.review.tables import DIGITS, FLOAT32, NOTHING, OTHER, Method, Review

REFERENCES = {"l2": "gray", "l1": "gray", "cross_entropy": "prior", "accuracy": "prior"}
SIGNIFICANT = 6  # digits of a history


def check_generalization(review: Review) -> None:
    """Compare results/generalization.csv."""
    key = ("source", "target", "model", "measure")
    found = {tuple(row[name] for name in key): row for row in review.rows("results/generalization.csv")}
    for source, target in review.pairs:
        if _parts_of(source, review.unions) & _parts_of(target, review.unions):
            continue
        for method in review.modes(source, target, review.models):
            for measure in (name for name in REFERENCES if name in review.measured(method).values):
                where = f"results/generalization.csv: {method.title} {measure}"
                row = found.pop((source, target, method.model, measure), None)
                if row is None:
                    review.findings.deviation(method.title, f"{where}: this line is missing")
                    continue
                for column, value in _generalization(review, method, measure).items():
                    number = Number(f"{where}: {column}", method.title, row[column], DIGITS)
                    review.findings.compare(number, value)
                review.findings.same(method.title, where, row["groups"], str(review.groups[target].count))
    review.findings.same(OTHER, "results/generalization.csv: lines that are too many", list(found), [])


def _parts_of(dataset: str, unions: dict[str, dict]) -> set[str]:
    """The data sets whose images a union joins; any other data set itself."""
    if dataset not in unions:
        return {dataset}
    first, second = (_parts_of(unions[dataset][key], unions) for key in ("first", "second"))
    return first | second


def _generalization(review: Review, method: Method, measure: str) -> dict[str, Value]:
    """The values of the three predictions, the ratio (cross - own) / (reference - own) and its limits."""
    target = method.target
    own, reference = review.modes(target, target, [method.model, REFERENCES[measure]])
    three = {"own": own, "cross": method, "reference": reference}
    found = {name: review.value(one, measure)[0] for name, one in three.items()}
    own, cross, reference = (review.measured(one).values[measure] for one in three.values())
    sign = -1 if measure in HIGHER else 1
    s, w = (review.groups[target].sums(sign * (values - own)) for values in (cross, reference))
    error = sum(value.error() for value in found.values()) / (abs(np.mean(own - reference)) or 1)
    return found | dict(zip(("ratio", "low", "high"), _ratio(s, w, error), strict=True))


def _ratio(s: np.ndarray, w: np.ndarray, error: float) -> list[Value]:
    """The ratio of the sums of two differences, (G,) each, and its limits by the theorem of Fieller."""
    count = len(s)
    if count < 4:
        return [NOTHING] * 3
    q = student.ppf(0.975, count - 1)
    limits = _roots(s, w, q)
    if limits is None or w.sum() <= 0:
        return [NOTHING] * 3
    # The project approximates q: within 1 % for 3 degrees of freedom, and better with the 4th power of their number
    other = _roots(s, w, q * (1 - 0.01 * (3 / (count - 1)) ** 4)) or limits
    ratio = float(s.sum() / w.sum())
    values = [Value(ratio, lambda: error * (1 + abs(ratio)))]
    for ours, rough in zip(limits, other, strict=True):
        values.append(Value(ours, lambda ours=ours, rough=rough: abs(ours - rough) + 3 * error * (1 + abs(ours))))
    return values


def _roots(s: np.ndarray, w: np.ndarray, q: float) -> tuple[float, float] | None:
    """The numbers r with mean(s - r w) = +- q se(s - r w); None if they do not bound an interval."""
    covariance = np.cov(s, w) * q**2 / len(s)
    coefficients = [
        w.mean() ** 2 - covariance[1, 1],
        -2 * (s.mean() * w.mean() - covariance[0, 1]),
        s.mean() ** 2 - covariance[0, 0],
    ]
    if coefficients[0] <= 0:
        return None
    low, high = sorted(np.roots(coefficients).real)
    return float(low), float(high)


def check_calibration(review: Review) -> None:
    """Compare results/calibration.csv."""
    key = ("source", "target", "model", "seed", "temperature")
    found = {tuple(row[name] for name in key): row for row in review.rows("results/calibration.csv")}
    for (run, target), curve in review.results.curves.items():
        cell = Method(run.dataset, run.model, target, "").title
        for temperature, values in curve.items():
            where = f"results/calibration.csv: {cell} {run.seed} T = {temperature}"
            row = found.pop((run.dataset, target, run.model, str(run.seed), str(temperature)), None)
            if row is None:
                review.findings.deviation(cell, f"{where}: this line is missing")
                continue
            for name in row.keys() - set(key):
                value, doubt = values.get(name, (math.nan, 0))
                ours = Value(value, functools.partial(float, 2 * doubt + FLOAT32 * abs(value)))
                review.findings.compare(Number(f"{where}: {name}", cell, row[name], DIGITS), ours)
    review.findings.same(OTHER, "results/calibration.csv: lines that are too many", list(found), [])


def check_histories(review: Review) -> None:
    """Compare the losses of each model in its history, and what the report makes of the histories."""
    curves = review.rows("results/curves.csv")
    for run, losses in review.results.histories.items():
        path = f"data/histories/{run.name}/history.csv"
        history = review.rows(path)
        kept = _best(history) if review.results.params["train"]["select"] == "best" else history[-1]
        for name, value in losses.items():
            where = f"{path}: step {kept['step']}: {name}"
            digits = SIGNIFICANT - 1 - math.floor(math.log10(abs(value)))
            ours = Value(value, functools.partial(float, 2 * FLOAT32 * abs(value)))
            review.findings.compare(Number(where, run.name, kept[name], digits), ours)
        shown = [row for row in curves if row["run"] == run.name]
        for of_curves, of_history in zip(shown, history, strict=True):
            names = of_curves.keys() & of_history.keys()
            same = {name: of_curves[name] for name in names}, {name: of_history[name] for name in names}
            review.findings.same(run.name, f"results/curves.csv: {run.name} step {of_history['step']}", *same)
        _check_gaps(review, run, history)


def _best(history: list[dict[str, str]]) -> dict[str, str]:
    return min(history, key=lambda row: float(row["val_loss"]))


def _check_gaps(review: Review, run: Run, history: list[dict[str, str]]) -> None:
    """Compare the lines of results/overfitting.csv of one run with its history."""
    steps = {"first": history[0], "best": _best(history), "last": history[-1]}
    rows = [row for row in review.rows("results/overfitting.csv") if _run_of(row) == run]
    expected = 9 if history[0]["train_cross_entropy"] else 0
    review.findings.same(run.name, "results/overfitting.csv: number of lines", len(rows), expected)
    for row in rows:
        where = f"results/overfitting.csv: {run.name} {row['measure']} {row['at']}"
        of_step = steps[row["at"]]
        review.findings.same(run.name, f"{where}: step", row["step"], of_step["step"])
        train, val = (_loss(of_step, split, row["measure"]) for split in ("train", "val"))
        for column, value in (("train", train), ("val", val), ("gap", val - train)):
            number = Number(f"{where}: {column}", run.name, row[column], DIGITS)
            review.findings.compare(number, Value(value, lambda: 0.0))


def _run_of(row: dict[str, str]) -> Run:
    return Run(row["dataset"], row["model"], int(row["seed"]))


def _loss(row: dict[str, str], split: str, measure: str) -> float:
    if measure == "normalized_weighted_cross_entropy":
        return float(row[f"{split}_weighted_cross_entropy"]) / float(row[f"{split}_class_weight"])
    return float(row[f"{split}_{measure}"])
