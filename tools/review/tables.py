"""Our values over a split, and the files that print all of them: metrics, details.json and measures.csv."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from colorize.layout import UNTRAINED, Cell
from tools.review.distributions import MODE, TEMPERATURES
from tools.review.intervals import Groups
from tools.review.measures import PAPER, WEIGHTS, Measured
from tools.review.printed import Findings, Number, Value
from tools.review.recompute import Results

DIGITS = 5  # of all files except the Markdown and LaTeX tables
FLOAT32 = 1e-6  # relative error of the printed numbers
FLOAT32_OF_PRIOR = 2e-5  # of a small prior, which is a sum of small float32 numbers
LIMITS = 3  # how much larger the relative error of a limit is than that of the values
DECODINGS = (MODE, *TEMPERATURES)  # in the order of the tables
OTHER = "other lines"  # in the summary: those that belong to no cell
NOTHING = Value(float("nan"), lambda: 0.0)  # an empty column


class Method(NamedTuple):
    """A model or baseline with one decoding, on a pair of data sets."""

    source: str
    model: str
    target: str
    decoding: str  # empty if the model predicts no distribution

    @property
    def cell(self) -> Cell:
        """The cell of Table 1, in which the decoding is the mode."""
        return Cell(self.source, self.model, self.target)

    @property
    def title(self) -> str:
        """The name in the summary, the same for all decodings."""
        return f"{self.source} -> {self.target}  {self.model}"


def value_of_split(measured: Measured, name: str) -> Value:
    """The value of a measure of one run over a split: the mean over its images, or the ratio of two sums."""
    weight = measured.values[WEIGHTS[name]] if name in WEIGHTS else np.ones_like(measured.values[name])
    value = float(measured.values[name].sum() / weight.sum())
    doubt = float(measured.doubt[name].sum() / weight.sum()) if name in measured.doubt else 0.0
    return Value(value, lambda: doubt + relative_error(name) * abs(value))


def relative_error(name: str) -> float:
    """The relative error of a measure, besides its doubt."""
    return FLOAT32_OF_PRIOR if "inverse_prior" in (name, WEIGHTS.get(name)) else FLOAT32


def over_seeds(values: list[Value]) -> tuple[Value, Value | None]:
    """Mean and standard deviation over the seeds; there is no deviation with one seed.

    The results contain those of values that were rounded to 5 decimals before.
    """
    numbers, rounded = [one.value for one in values], [round(one.value, DIGITS) for one in values]

    def error() -> float:
        return max(one.error() for one in values)

    mean = Value(float(np.mean(numbers)), error, round(float(np.mean(rounded)), DIGITS))
    if len(values) == 1:
        return mean, None
    deviation, of_rounded = (float(np.std(of, ddof=1)) for of in (numbers, rounded))
    return mean, Value(deviation, lambda: 2 * error(), round(of_rounded, DIGITS))


def interval(groups: Groups, measured: Measured, name: str, other: Measured | None = None) -> list[Value]:
    """The value of a split and the limits of its interval, or those of the difference to another method."""
    weight = measured.values[WEIGHTS[name]] if name in WEIGHTS else None
    values, sizes = measured.values[name], np.abs(measured.values[name])
    doubt = measured.doubt.get(name, np.zeros_like(values))
    if other is not None:
        values, sizes = values - other.values[name], sizes + np.abs(other.values[name])
        doubt = doubt + other.doubt.get(name, np.zeros_like(values))
    limits = np.array(groups.interval(values, weight, may_be_log=other is None))

    @functools.cache
    def errors() -> np.ndarray:
        """Sum over the groups of the changes that the doubt of one group makes."""
        changed = [
            groups.interval(values + doubt * is_in, weight, may_be_log=other is None)
            for is_in in groups.members()
            if doubt[is_in].any()
        ]
        size = sizes.sum() / (len(sizes) if weight is None else weight.sum())
        rest = relative_error(name) * (size + LIMITS * np.abs(limits))
        return sum((np.abs(np.array(one) - limits) for one in changed), rest)

    return [Value(float(limit), lambda n=n: float(errors()[n])) for n, limit in enumerate(limits)]


class Review:
    """Ours and the printed results of a repository.

    Args:
        root: the repository.
        results: our values.
    """

    def __init__(self, root: Path, results: Results) -> None:
        self.root, self.results, self.findings = root, results, Findings()
        self.datasets, self.models = results.params["datasets"], results.params["models"]
        self.unions = results.params["unions"]
        self.pairs = [(source, target) for source in self.datasets for target in self.datasets]
        self.groups = {name: Groups(split.group) for name, split in results.test.items()}
        self._cache: dict[Method, Measured] = {}

    def methods(self, source: str, model: str, target: str) -> list[Method]:
        """A model or baseline with each of its decodings, the mode first."""
        decodings = sorted(self._of_seeds(Method(source, model, target, ""))[0], key=DECODINGS.index)
        return [Method(source, model, target, name if len(decodings) > 1 else "") for name in decodings]

    def modes(self, source: str, target: str, models: tuple[str, ...] | list[str]) -> list[Method]:
        """Each of these models with the decoding of Table 1."""
        return [self.methods(source, model, target)[0] for model in models]

    def measured(self, method: Method) -> Measured:
        """All measures of a method for each image: the means over the seeds."""
        if method not in self._cache:
            of_seeds = [of_seed[method.decoding or MODE] for of_seed in self._of_seeds(method)]
            self._cache[method] = Measured(*(
                {name: np.mean([of_seed[name] for of_seed in found], axis=0) for name in found[0]}
                for found in zip(*of_seeds, strict=True)
            ))  # fmt: skip
        return self._cache[method]

    def value(self, method: Method, name: str) -> tuple[Value, Value | None]:
        """Mean and standard deviation over the seeds of the value of a split."""
        return over_seeds([value_of_split(of[method.decoding or MODE], name) for of in self._of_seeds(method)])

    def _of_seeds(self, method: Method) -> list[dict[str, Measured]]:
        runs = method.cell.runs(self.results.params["seeds"])
        return [self.results.measured[run, method.target] for run in runs]

    def rows(self, name: str) -> list[dict[str, str]]:
        """The lines of a CSV file of the repository."""
        with (self.root / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def check_metrics(self) -> None:
        """Compare results/metrics/*/*.json."""
        for source, target in self.pairs:
            for method in self.modes(source, target, [*UNTRAINED, *self.models]):
                path = f"results/metrics/{source}-{method.model}/{target}.json"
                names = [name for name in PAPER if name in self.measured(method).values]
                values = {name: self.value(method, name)[0] for name in names}
                printed = json.loads((self.root / path).read_text(encoding="utf-8"))
                self._check_values(method.title, path, printed, values)

    def check_details(self) -> None:
        """Compare data/evaluations/*/*/details.json, which has the values of each seed and decoding."""
        for (run, target), found in self.results.measured.items():
            cell = Method(run.dataset, run.model, target, "").title
            path = f"data/evaluations/{run.name}/{target}/details.json"
            details = json.loads((self.root / path).read_text(encoding="utf-8"))
            printed = {MODE: details["measures"]} | details["decodings"]
            self.findings.same(cell, f"{path}: the decodings", sorted(printed), sorted(found))
            for decoding in printed.keys() & found.keys():
                values = {name: value_of_split(found[decoding], name) for name in found[decoding].values}
                self._check_values(cell, f"{path}: {decoding}", printed[decoding], values)

    def _check_values(self, cell: str, where: str, printed: dict[str, float], ours: dict[str, Value]) -> None:
        self.findings.same(cell, f"{where}: the measures", sorted(printed), sorted(ours))
        for name in printed.keys() & ours.keys():
            self.findings.compare(Number(f"{where}: {name}", cell, str(printed[name]), DIGITS), ours[name])

    def check_measures(self) -> None:
        """Compare results/measures.csv."""
        names = [*UNTRAINED, *self.models]
        methods = [one for pair in self.pairs for name in names for one in self.methods(pair[0], name, pair[1])]
        expected = {(method, name) for method in methods for name in self.measured(method).values}
        for row in self.rows("results/measures.csv"):
            method, name = Method(row["source"], row["model"], row["target"], row["decoding"]), row["measure"]
            where = f"results/measures.csv: {method.title} {method.decoding} {name}"
            if (method, name) not in expected:
                self.findings.deviation(method.title, f"{where}: this line is one too many")
                continue
            expected.remove((method, name))
            groups = self.groups[method.target]
            counts = [str(groups.count), str(len(self._of_seeds(method)))]
            self.findings.same(method.title, f"{where}: groups, seeds", [row["groups"], row["seeds"]], counts)
            limits = interval(groups, self.measured(method), name)
            deviation = self.value(method, name)[1] or NOTHING
            for column, value in zip(("value", "low", "high", "sd"), (*limits, deviation), strict=True):
                self.findings.compare(Number(f"{where}: {column}", method.title, row[column], DIGITS), value)
        for method, name in expected:
            where = f"results/measures.csv: {method.title} {method.decoding} {name}"
            self.findings.deviation(method.title, f"{where}: this line is missing")
