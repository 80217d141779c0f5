"""Compare results/table1.csv, table1.md, table1.tex and table2.md with our numbers and marks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import yaml

from colorize.layout import BASELINES, REFERENCES
from tools.review.printed import Number
from tools.review.ranking import TABLE1, rank
from tools.review.tables import DIGITS, NOTHING, OTHER, Method, Review

DECIMALS = {"cross_entropy": 3, "weighted_cross_entropy": 3, "psnr": 2, "ciede2000": 2, "colorfulness": 1}
DECIMALS |= {"true_colorfulness": 1}  # all others have 4
TABLE2 = ("l2", "l1", "psnr", "ciede2000", "colorfulness", "true_colorfulness")
IN_TABLE2 = ("gray", "lightness")  # baselines
DAGGER = "\N{DAGGER}"
_BORDERS = re.compile(r"(?<!\\)\|")  # of the cells of a Markdown table
Texts = dict[tuple[Method, str], str]  # what a table prints for a measure of a method


class Entry(NamedTuple):
    """A printed number."""

    mean: str
    sd: str  # empty if there is none
    is_bold: bool
    is_worse: bool


def check(review: Review) -> None:
    """Compare the four files."""
    rows = {pair: review.modes(*pair, (*BASELINES, *review.models, *REFERENCES)) for pair in review.pairs}
    of_models = {pair: review.modes(*pair, review.models) for pair in review.pairs}
    _check_csv(review, rows, of_models)
    for name, texts in (("table1.md", _table1_markdown(review, rows)), ("table1.tex", _table1_latex(review, rows))):
        for pair in review.pairs:
            _check_texts(review, name, texts, rows[pair], of_models[pair], TABLE1)
    texts = _table2(review)
    for source, target in review.pairs:
        models = [method for name in review.models for method in review.methods(source, name, target)]
        _check_texts(
            review, "table2.md", texts, [*models, *_baselines_of_table2(review, source, target)], models, TABLE2
        )


def _check_texts(
    review: Review, file: str, texts: Texts, rows: list[Method], models: list[Method], measures: tuple[str, ...]
) -> None:
    """Compare the numbers and marks of one pair of data sets."""
    for measure in measures:
        ranking = rank(review, measure, tuple(models))
        for method in rows:
            entry = _entry(texts.get((method, measure), ""))
            where = f"results/{file}: {method.title} {method.decoding} {measure}"
            if measure not in review.measured(method).values:
                review.findings.same(method.title, where, entry.mean, "-")
                continue
            mean, deviation = review.value(method, measure)
            digits = DECIMALS.get(measure, 4)
            review.findings.compare(Number(where, method.title, entry.mean, digits), mean)
            review.findings.compare(Number(f"{where}: sd", method.title, entry.sd, digits), deviation or NOTHING)
            marks = method in ranking.best, method in ranking.worse
            review.findings.same(method.title, f"{where}: (bold, worse)", entry[2:], marks)


def _entry(text: str) -> Entry:
    mean, _, sd = text.strip("*").removesuffix(DAGGER).partition(" ± ")
    return Entry(mean, sd, text.startswith("**"), text.endswith(DAGGER))


def _check_csv(review: Review, rows: dict, of_models: dict) -> None:
    key = ("source", "target", "model", "metric")
    found = {tuple(row[name] for name in key): row for row in review.rows("results/table1.csv")}
    for pair in review.pairs:
        for measure in TABLE1:
            ranking = rank(review, measure, tuple(of_models[pair]))
            for method in (method for method in rows[pair] if measure in review.measured(method).values):
                where = f"results/table1.csv: {method.title} {measure}"
                if row := found.pop((*pair, method.model, measure), None):
                    values = review.value(method, measure)
                    for column, value in zip(("value", "sd"), values, strict=True):
                        number = Number(f"{where}: {column}", method.title, row[column], DIGITS)
                        review.findings.compare(number, value or NOTHING)
                    mark = "best" if method in ranking.best else "worse" if method in ranking.worse else ""
                    review.findings.same(method.title, f"{where}: mark", row["mark"], mark)
                else:
                    review.findings.deviation(method.title, f"{where}: this line is missing")
    review.findings.same(OTHER, "results/table1.csv: lines that are too many", list(found), [])


def _names(review: Review) -> dict[str, str]:
    """Title of a data set -> its name."""
    titles = yaml.safe_load((review.root / "sources" / "titles.yaml").read_text(encoding="utf-8"))
    return {titles.get(name, name): name for name in review.datasets}


def _of_bands(review: Review, rows: dict, bands: Iterator[tuple[list[tuple[str, str]], list[list[str]]]]) -> Texts:
    """Tables with one or two pairs of data sets side by side -> their texts."""
    names, found = _names(review), {}
    for titles, lines in bands:
        pairs = [tuple(names[title] for title in pair) for pair in titles]
        for n, texts in enumerate(lines):
            methods = [rows[pair][n] for pair in pairs for _ in TABLE1]
            found |= dict(zip(zip(methods, TABLE1 * len(pairs), strict=True), texts, strict=True))
    return found


def _table1_markdown(review: Review, rows: dict) -> Texts:
    def bands() -> Iterator:
        for block in (review.root / "results" / "table1.md").read_text(encoding="utf-8").split("\n\n")[1:]:
            header, _, _, *lines = map(_split, block.splitlines())
            pairs = [tuple(text.split(" → ")) for text in header if text]
            yield pairs, [texts for label, *texts in lines if not label.startswith("·")]

    return _of_bands(review, rows, bands())


def _split(line: str) -> list[str]:
    """The texts of a line of a Markdown table."""
    return [text.strip() for text in _BORDERS.split(line)[1:-1]]


def _table1_latex(review: Review, rows: dict) -> Texts:
    def bands() -> Iterator:
        text = (review.root / "results" / "table1.tex").read_text(encoding="utf-8")
        for table in re.findall(r"\\begin{tabular}(.*?)\\end{tabular}", text, re.DOTALL):
            pairs = re.findall(r"{Trained on (.*?), evaluated on (.*?)}", table)
            body = table.split(r"\midrule")[1].replace(r"\rlap{$^\dagger$}", DAGGER).replace(r"$\pm$", "±")
            body = re.sub(r"\\textbf{(.*?)}", r"**\1**", body)
            lines = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if "&" in line]
            yield pairs, [texts for label, *texts in lines if not label.startswith(r"\quad")]

    return _of_bands(review, rows, bands())


def _table2(review: Review) -> Texts:
    names, found = _names(review), {}
    blocks = (review.root / "results" / "table2.md").read_text(encoding="utf-8").strip().split("\n\n")[1:]
    for heading, table in zip(blocks[::2], blocks[1::2], strict=True):
        source, target = (
            names[one] for one in re.fullmatch(r"\*\*Trained on (.*), evaluated on (.*)\*\*", heading).groups()
        )
        methods = [method for name in review.models for method in review.methods(source, name, target)]
        methods += _baselines_of_table2(review, source, target)
        for method, (_, _, *texts) in zip(methods, map(_split, table.splitlines()[2:]), strict=True):
            found |= {(method, measure): text for measure, text in zip(TABLE2, texts, strict=True)}
    return found


def _baselines_of_table2(review: Review, source: str, target: str) -> list[Method]:
    return [method for name in IN_TABLE2 for method in review.methods(source, name, target)]
