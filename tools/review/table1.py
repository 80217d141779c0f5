"""Compare results/table1.csv, .md and .tex with our numbers and marks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import yaml

from colorize.layout import BASELINES, Cell
from tools.review.printed import Number
from tools.review.tables import DIGITS, NOTHING, Review, title

COLUMNS = {"l2": 4, "l1": 4, "cross_entropy": 3, "weighted_cross_entropy": 3, "accuracy": 4}  # decimals
HIGHER = ("accuracy",)  # higher values are better
_CELLS = re.compile(r"(?<!\\)\|")  # borders of the cells of a Markdown table
DAGGER = "\N{DAGGER}"


class Entry(NamedTuple):
    """A number of Table 1 as it is printed."""

    text: str
    sd: str  # empty if there is none
    is_bold: bool
    is_worse: bool


def check(review: Review) -> None:
    """Compare the three files."""
    _check_csv(review)
    marks = {pair: _marks(review, *pair) for pair in _pairs(review)}
    for name, found in (("table1.md", _read_markdown(review)), ("table1.tex", _read_latex(review))):
        for cell in review.cells():
            for measure, digits in COLUMNS.items():
                entry = found.pop((cell, measure), None)
                where = f"results/{name}: {title(cell)} {measure}"
                if measure not in review.measured(cell).values:
                    review.findings.same(title(cell), where, entry and entry.text, "-")
                elif entry is None:
                    review.findings.deviation(title(cell), f"{where}: this number is missing")
                else:
                    mean, deviation = review.value(cell, measure)
                    review.findings.compare(Number(where, title(cell), entry.text, digits), mean)
                    review.findings.compare(Number(f"{where}: sd", title(cell), entry.sd, digits), deviation or NOTHING)
                    expected = marks[cell.source, cell.target][cell.model, measure]
                    review.findings.same(title(cell), f"{where}: (bold, worse)", entry[2:], expected)
        for cell, measure in found:
            review.findings.deviation(
                title(cell), f"results/{name}: {title(cell)} {measure}: this number is one too many"
            )


def _pairs(review: Review) -> list[tuple[str, str]]:
    return [(source, target) for source in review.datasets for target in review.datasets]


def _marks(review: Review, source: str, target: str) -> dict[tuple[str, str], tuple[bool, bool]]:
    """(model, measure) -> whether it is the best and better than the baselines, and whether it is worse than one."""
    marks = {}
    for measure in COLUMNS:
        cells = [Cell(source, model, target) for model in review.models]
        values = {
            cell.model: round(review.value(cell, measure)[0].value, DIGITS) * (-1 if measure in HIGHER else 1)
            for cell in cells
            if measure in review.measured(cell).values
        }
        of_models = [value for model, value in values.items() if model not in BASELINES]
        baseline = min((value for model, value in values.items() if model in BASELINES), default=float("inf"))
        for model, value in values.items():
            is_model = model not in BASELINES
            is_best = is_model and value == min(of_models) and value < baseline
            marks[model, measure] = is_best, is_model and value > baseline
    return marks


def _check_csv(review: Review) -> None:
    rows = review.rows("results/table1.csv")
    found = {(Cell(row["source"], row["model"], row["target"]), row["metric"]): row for row in rows}
    for cell in review.cells():
        for measure in (name for name in COLUMNS if name in review.measured(cell).values):
            where = f"results/table1.csv: {title(cell)} {measure}"
            if row := found.pop((cell, measure), None):
                mean, deviation = review.value(cell, measure)
                review.findings.compare(Number(where, title(cell), row["value"], DIGITS), mean)
                review.findings.compare(Number(f"{where}: sd", title(cell), row["sd"], DIGITS), deviation or NOTHING)
            else:
                review.findings.deviation(title(cell), f"{where}: this line is missing")
    for cell, measure in found:
        review.findings.deviation(
            title(cell), f"results/table1.csv: {title(cell)} {measure}: this line is one too many"
        )


def _entries(review: Review, bands: Iterator[tuple[list[tuple[str, str]], list[list[str]]]]) -> dict:
    """Tables with one or two quadrants side by side -> the entries by cell and measure."""
    titles = yaml.safe_load((review.root / "sources" / "titles.yaml").read_text(encoding="utf-8"))
    names = {titles.get(name, name): name for name in review.datasets}
    found = {}
    for pairs, rows in bands:
        for model, texts in zip(review.models, rows, strict=True):
            for n, text in enumerate(texts):
                source, target = (names[one] for one in pairs[n // len(COLUMNS)])
                mean, _, sd = text.strip("*").removesuffix(DAGGER).partition(" ± ")
                entry = Entry(mean, sd, text.startswith("**"), text.endswith(DAGGER))
                found[Cell(source, model, target), list(COLUMNS)[n % len(COLUMNS)]] = entry
    return found


def _read_markdown(review: Review) -> dict:
    def bands() -> Iterator:
        for block in (review.root / "results" / "table1.md").read_text(encoding="utf-8").split("\n\n")[1:]:
            header, _, _, *lines = ([text.strip() for text in _CELLS.split(line)[1:-1]] for line in block.splitlines())
            pairs = [tuple(text.split(" → ")) for text in header if text]
            yield pairs, [texts for label, *texts in lines if not label.startswith("·")]

    return _entries(review, bands())


def _read_latex(review: Review) -> dict:
    def bands() -> Iterator:
        text = (review.root / "results" / "table1.tex").read_text(encoding="utf-8")
        for table in re.findall(r"\\begin{tabular}(.*?)\\end{tabular}", text, re.DOTALL):
            pairs = re.findall(r"{Trained on (.*?), evaluated on (.*?)}", table)
            body = table.split(r"\midrule")[1].replace(r"\rlap{$^\dagger$}", DAGGER).replace(r"$\pm$", "±")
            body = re.sub(r"\\textbf{(.*?)}", r"**\1**", body)
            lines = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if "&" in line]
            yield pairs, [texts for label, *texts in lines if not label.startswith(r"\quad")]

    return _entries(review, bands())
