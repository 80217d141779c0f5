r"""Table 1 with 95 % intervals, as LaTeX: results/table1_intervals.tex.

It has the quadrants whose test images are those of the data set of the training. The interval is below the value.
"""

from __future__ import annotations

from colorize.layout import Cell
from colorize.report import labels
from colorize.report.intervals import Interval
from colorize.report.labels import PLUS_MINUS, format_limits, format_number, format_with_sd, metric_title, model_title
from colorize.report.measures import Method, methods_of
from colorize.report.table import (
    MARKS,
    SEEDS_CAPTION,
    WORSE,
    Table,
    escape_latex,
    few_groups_caption,
    with_latex_signs,
)

CAPTION = (
    "The models on the test images of the data set that they were trained on, with 95 % intervals over groups of test "
    "images. Measures and marks are those of Table 1. {marks} The best baseline of a column is taken with its best "
    "decoding."
)


def to_latex(table1: Table) -> str:
    r"""LaTeX of a `table*`; the document needs only `\usepackage{booktabs}`."""
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table*}", r"\centering\small\setlength{\tabcolsep}{4pt}"]
    for i, dataset in enumerate(table1.datasets):
        lines += [r"\medskip"] if i else []
        lines += [*_quadrant(table1, dataset), ""]
    sentences = [CAPTION.format(marks=MARKS), few_groups_caption(table1.num_groups, table1.titles)]
    if len(table1.seeds) > 1:
        sentences.append(SEEDS_CAPTION.format(seeds=len(table1.seeds)))
    caption = escape_latex(" ".join(filter(None, sentences)))
    caption = caption.replace(WORSE, r"$^\dagger$").replace(PLUS_MINUS, r"$\pm$")
    end = [rf"\caption{{{caption}}}", r"\label{tab:intervals}", r"\end{table*}", ""]
    return "\n".join([*lines[:-1], *end])


def _quadrant(table1: Table, dataset: str) -> list[str]:
    """The tabular of one data set."""
    count, title = len(table1.metrics), escape_latex(table1.titles[dataset])
    lines = [rf"\begin{{tabular}}{{l{'r' * count}}}", r"\toprule"]
    lines += [
        rf" & \multicolumn{{{count}}}{{c}}{{Trained and evaluated on {title}}} \\",
        rf"\cmidrule(lr){{2-{1 + count}}}",
    ]
    lines += [_line("Method", [escape_latex(metric_title(metric)) for metric in table1.metrics]), r"\midrule"]
    for model in table1.models:
        lines += _model_lines(table1, dataset, model)
    return [*lines, r"\midrule", *_baseline_lines(table1, dataset), r"\bottomrule", r"\end{tabular}"]


def _model_lines(table1: Table, dataset: str, model: str) -> list[str]:
    """One line with the values of a model, and one with their intervals."""
    found, method = table1.cells[Cell(dataset, model, dataset)], methods_of(model)[0]
    values, limits = [], []
    for metric in table1.metrics:
        text = with_latex_signs(format_with_sd(found.ours.get(metric), found.sd.get(metric), metric))
        ranking = table1.rankings[dataset, dataset, metric]
        dagger = with_latex_signs(WORSE) if method in ranking.worse else ""
        values.append(rf"\textbf{{{text}}}" if method in ranking.best else text + dagger)
        limits.append(_limits(ranking.intervals.get(method), metric))
    return [_line(escape_latex(model_title(model)), values), _line("", limits)]


def _baseline_lines(table1: Table, dataset: str) -> list[str]:
    """The value of the best baseline of each column, its interval, its name, and its decoding."""
    columns = []
    for metric in table1.metrics:
        ranking = table1.rankings[dataset, dataset, metric]
        best = ranking.baseline
        interval = ranking.intervals[best] if best else None
        value = with_latex_signs(format_number(interval.value if interval else None, metric))
        columns.append([value, _limits(interval, metric), *_name_of(best, metric)])
    titles = ("Best baseline", "", "", "")
    return [_line(title, list(texts)) for title, texts in zip(titles, zip(*columns, strict=True), strict=True)]


def _limits(interval: Interval | None, metric: str) -> str:
    """The two limits; empty if the groups do not bound the value."""
    if interval is None or not interval.is_bounded:
        return ""
    return rf"\scriptsize{with_latex_signs(format_limits(interval, metric))}"


def _name_of(baseline: Method | None, metric: str) -> tuple[str, str]:
    """The name and the decoding of a baseline."""
    if baseline is None:
        return "", ""
    title, decoding = labels.short_model_title(baseline.model), labels.decoding_title(baseline.decoding, metric)
    return rf"\scriptsize {escape_latex(title)}", rf"\scriptsize {decoding}" if decoding else ""


def _line(title: str, texts: list[str]) -> str:
    return " & ".join([title, *texts]) + r" \\"
