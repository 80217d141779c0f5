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
FLOAT32 = 1e-6  # relative error of our numbers, or of the printed ones


def value_of_split(measured: Measured, name: str) -> Value:
    """The value of a measure over a split: the mean over its images, or the ratio of two sums."""
    weight = measured.values[WEIGHTS[name]] if name in WEIGHTS else np.ones_like(measured.values[name])
    value = float(measured.values[name].sum() / weight.sum())
    doubt = float(measured.doubt[name].sum() / weight.sum()) if name in measured.doubt else 0.0
    return Value(value, lambda: doubt + FLOAT32 * abs(value))


def interval(groups: Groups, measured: Measured, name: str) -> list[Value]:
    """The value of a split and the limits of its interval."""
    values, doubt = measured.values[name], measured.doubt.get(name, np.zeros_like(measured.values[name]))
    weight = measured.values[WEIGHTS[name]] if name in WEIGHTS else None
    limits = np.array(groups.interval(values, weight))

    @functools.cache
    def errors() -> np.ndarray:
        """Sum over the groups of the changes that the doubt of one group makes."""
        changed = [groups.interval(values + doubt * is_in, weight) for is_in in groups.members() if doubt[is_in].any()]
        return sum((np.abs(np.array(one) - limits) for one in changed), FLOAT32 * np.abs(limits))

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

    def cells(self) -> Iterator[Cell]:
        """All cells of Table 1."""
        for source in self.datasets:
            for target in self.datasets:
                yield from (Cell(source, model, target) for model in self.models)

    def measured(self, cell: Cell) -> Measured:
        """All measures of a cell for each image."""
        return self.results.measured[cell.run, cell.target][MODE]

    def check_metrics(self) -> None:
        """Compare results/metrics/*/*.json."""
        for cell in self.cells():
            path = self.root / "results" / "metrics" / f"{cell.source}-{cell.model}" / f"{cell.target}.json"
            printed, ours = json.loads(path.read_text(encoding="utf-8")), self.measured(cell)
            names = [name for name in PAPER if name in ours.values]
            where = str(path.relative_to(self.root))
            self.findings.same(title(cell), f"{where}: the measures", sorted(printed), sorted(names))
            for name in (name for name in names if name in printed):
                number = Number(f"{where}: {name}", title(cell), str(printed[name]), DIGITS)
                self.findings.compare(number, value_of_split(ours, name))

    def check_measures(self) -> None:
        """Compare results/measures.csv."""
        with (self.root / "results" / "measures.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        groups = {name: Groups(split.group) for name, split in self.results.test.items()}
        expected = {(*cell, name) for cell in self.cells() for name in self.measured(cell).values}
        found = [(row["source"], row["model"], row["target"], row["measure"]) for row in rows]
        for missing in sorted(expected - set(found)):
            self.findings.deviation(title(Cell(*missing[:3])), f"results/measures.csv: no line {' '.join(missing)}")
        for row, (*of_cell, name) in zip(rows, found, strict=True):
            cell = Cell(*of_cell)
            where = f"results/measures.csv: {' '.join(of_cell)} {name}"
            if (*cell, name) not in expected:
                self.findings.deviation(title(cell), f"{where}: this measure does not exist")
                continue
            limits = interval(groups[cell.target], self.measured(cell), name)
            self.findings.same(title(cell), f"{where}: groups", row["groups"], str(groups[cell.target].count))
            for column, value in zip(("value", "low", "high"), limits, strict=True):
                self.findings.compare(Number(f"{where}: {column}", title(cell), row[column], DIGITS), value)


def title(cell: Cell) -> str:
    """The name of a cell in the summary."""
    return f"{cell.source} -> {cell.target}  {cell.model}"
