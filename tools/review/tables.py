"""Read the printed results, and compare every number in them with ours."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from colorize.layout import BASELINES, Cell
from tools.review.distributions import MODE
from tools.review.intervals import Groups
from tools.review.measures import PAPER, WEIGHTS, Measured
from tools.review.printed import Findings, Number, Value
from tools.review.recompute import Results

DIGITS = 5  # of all files except table1.md and table1.tex
FLOAT32 = 1e-6  # relative error of the printed numbers
FLOAT32_OF_PRIOR = 2e-5  # of a small prior, which is a sum of small float32 numbers
LIMITS = 3  # how much larger the relative error of a limit is than that of the values
NOTHING = Value(float("nan"), lambda: 0.0)  # an empty column


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
    return mean, Value(
        float(np.std(numbers, ddof=1)), lambda: 2 * error(), round(float(np.std(rounded, ddof=1)), DIGITS)
    )


def interval(groups: Groups, measured: Measured, name: str) -> list[Value]:
    """The value of a split and the limits of its interval."""
    values, doubt = measured.values[name], measured.doubt.get(name, np.zeros_like(measured.values[name]))
    weight = measured.values[WEIGHTS[name]] if name in WEIGHTS else None
    limits = np.array(groups.interval(values, weight))

    @functools.cache
    def errors() -> np.ndarray:
        """Sum over the groups of the changes that the doubt of one group makes."""
        changed = [groups.interval(values + doubt * is_in, weight) for is_in in groups.members() if doubt[is_in].any()]
        return sum((np.abs(np.array(one) - limits) for one in changed), LIMITS * relative_error(name) * np.abs(limits))

    return [Value(float(limit), lambda n=n: float(errors()[n])) for n, limit in enumerate(limits)]


class Review:
    """Ours and the printed results of a repository.

    Args:
        root: the repository.
        results: our values.
    """

    def __init__(self, root: Path, results: Results) -> None:
        self.root, self.results, self.findings = root, results, Findings()
        self.datasets, self.models = results.params["datasets"], [*BASELINES, *results.params["models"]]
        self.groups = {name: Groups(split.group) for name, split in results.test.items()}

    def cells(self) -> Iterator[Cell]:
        """All cells of Table 1."""
        for source in self.datasets:
            for target in self.datasets:
                yield from (Cell(source, model, target) for model in self.models)

    def measured(self, cell: Cell) -> Measured:
        """All measures of a cell for each image: the means over the seeds."""
        of_seeds = [self.results.measured[run, cell.target][MODE] for run in cell.runs(self.results.params["seeds"])]
        return Measured(*(
            {name: np.mean([of_seed[name] for of_seed in found], axis=0) for name in found[0]}
            for found in zip(*of_seeds, strict=True)
        ))  # fmt: skip

    def value(self, cell: Cell, name: str) -> tuple[Value, Value | None]:
        """Mean and standard deviation over the seeds of the value of a split."""
        runs = cell.runs(self.results.params["seeds"])
        return over_seeds([value_of_split(self.results.measured[run, cell.target][MODE], name) for run in runs])

    def rows(self, name: str) -> list[dict[str, str]]:
        """The lines of a CSV file of the repository."""
        with (self.root / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def check_metrics(self) -> None:
        """Compare results/metrics/*/*.json."""
        for cell in self.cells():
            path = f"results/metrics/{cell.source}-{cell.model}/{cell.target}.json"
            names = [name for name in PAPER if name in self.measured(cell).values]
            values = {name: self.value(cell, name)[0] for name in names}
            self._check_values(title(cell), path, json.loads((self.root / path).read_text(encoding="utf-8")), values)

    def check_details(self) -> None:
        """Compare data/evaluations/*/*/details.json, which has the values of each seed and decoding."""
        for (run, target), found in self.results.measured.items():
            cell, path = (
                title(Cell(run.dataset, run.model, target)),
                f"data/evaluations/{run.name}/{target}/details.json",
            )
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
        expected = {(cell, name) for cell in self.cells() for name in self.measured(cell).values}
        for row in self.rows("results/measures.csv"):
            cell, name = Cell(row["source"], row["model"], row["target"]), row["measure"]
            where = f"results/measures.csv: {title(cell)} {name}"
            if (cell, name) not in expected:
                self.findings.deviation(title(cell), f"{where}: this line is one too many")
                continue
            expected.remove((cell, name))
            count = len(cell.runs(self.results.params["seeds"]))
            numbers = [row["groups"], row["seeds"]]
            self.findings.same(
                title(cell), f"{where}: groups, seeds", numbers, [str(self.groups[cell.target].count), str(count)]
            )
            limits = interval(self.groups[cell.target], self.measured(cell), name)
            deviation = self.value(cell, name)[1] or NOTHING
            for column, value in zip(("value", "low", "high", "sd"), (*limits, deviation), strict=True):
                self.findings.compare(Number(f"{where}: {column}", title(cell), row[column], DIGITS), value)
        for cell, name in expected:
            self.findings.deviation(title(cell), f"results/measures.csv: {title(cell)} {name}: this line is missing")


def title(cell: Cell) -> str:
    """The name of a cell in the summary."""
    return f"{cell.source} -> {cell.target}  {cell.model}"
