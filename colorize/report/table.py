"""Table 1: every model on every test split, in the paper's quadrants, as CSV, Markdown, LaTeX and in the terminal.

A quadrant has the results of one pair (source, target). A band is one or two quadrants side by side. Bands with
source = target come first. With two data sets, the table has the paper's layout of 2 x 2 quadrants. If the paper has
numbers for a cell, two lines follow our line: the paper's numbers, and the differences (ours - paper).

The paper has one column "Cross Entropy". It does not say what its numbers are for the models with weights, and neither
of our two cross entropies explains their size (docs/reproduction.md). They are shown as "Cross Entropy", as in the
paper, and without a difference.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from colorize import runtime
from colorize.layout import BASELINES, REFERENCES, Cell
from colorize.report import labels
from colorize.report.differences import Ranking, rank
from colorize.report.inputs import Inputs, spec_of
from colorize.report.intervals import FEW_GROUPS
from colorize.report.labels import (
    MINUS,
    PLUS_MINUS,
    format_number,
    format_with_sd,
    metric_title,
    model_title,
    short_metric_title,
)
from colorize.report.measures import Measured, Method, methods_of, read_measured

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable

Quadrant = tuple[str, str]  # source, target
PAPER_TABLE = Path(__file__).with_name("paper_table.csv")
CSV_COLUMNS = ("source", "target", "model", "metric", "value", "sd", "paper", "difference", "mark")
NOT_IN_TERMINAL = ("mean_ab", "median_ab", "target_prior")  # so that Table 1 fits on a screen; they count for the marks
WORSE = "\N{DAGGER}"
MARKS = (
    "The best model of a column is bold if it is better than all baselines. A further model is bold if it is better "
    "than all baselines too, and if the 95 % interval of its difference to the best model contains 0: the test images "
    "do not show which of the two is better. The interval does not contain the effect of the random seed. "
    f"{WORSE} marks a model that is worse than a baseline."
)
CAPTION = (
    "L2 and L1 of ab / 128, cross entropy in nats (plain, and weighted with the class weights of the training data) "
    f"and accuracy of the most probable bin, all on the test splits. The first {len(BASELINES)} rows are baselines "
    f"without training. {MARKS} If a row has a distribution over the bins, its L2 and L1 are those of the most "
    f"probable bin, as in the paper. But for bold and {WORSE}, a baseline counts with the best of its decodings "
    "(table2.md and measures.csv), so it can be better than its row shows. Oracle takes the bin nearest to the true "
    "color. It shows the error that the bins alone cause, and it is no baseline. Compare weighted cross entropies only "
    "within one pair of data sets."
)
NOTE = f"bold: best, or not shown to be worse than the best   {WORSE}: worse than a baseline   more: results/table1.md"
PAPER_CAPTION = (
    "The paper does not say which cross entropy its models with weights have: their numbers are shown without a "
    "difference."
)
SEEDS_CAPTION = (
    "Each model was trained with {seeds} random seeds. A number is the mean over the seeds, and the number after "
    f"{PLUS_MINUS} is the standard deviation over the seeds."
)


@dataclass(frozen=True)
class CellMetrics:
    """Our metrics and the paper's metrics of one cell, by name; metrics that the model does not have are absent."""

    cell: Cell
    ours: dict[str, float]  # means over the seeds, rounded to 5 decimals
    sd: dict[str, float]  # standard deviations over the seeds; empty for a single seed
    paper: dict[str, float]

    def differences(self) -> dict[str, float]:
        """Our value minus the paper's value, for each metric that has both, if they are known to be the same."""
        return {
            name: self.ours[name] - value
            for name, value in self.paper.items()
            if name in self.ours and not (name == "cross_entropy" and spec_of(self.cell.model).is_weighted)
        }


@dataclass(frozen=True)
class MethodRow:
    """One printed line of a quadrant: a title and one text per metric."""

    title: str
    texts: dict[str, str]
    best: frozenset[str] = frozenset()  # metrics in which the model is bold
    worse: frozenset[str] = frozenset()  # metrics in which the model is worse than a baseline
    is_note: bool = False  # True: the paper's numbers or the differences


@dataclass(frozen=True)
class Table:
    """The contents of Table 1; data sets, models and metrics in the order in which they are shown."""

    datasets: list[str]
    models: list[str]
    seeds: list[int]
    metrics: list[str]
    titles: dict[str, str]  # of the data sets
    cells: dict[Cell, CellMetrics]
    rankings: dict[tuple[str, str, str], Ranking]  # by source, target and metric
    num_groups: dict[str, int]  # of the test images of each data set

    @property
    def caption(self) -> str:
        """The caption: also on the paper's numbers, deviations over seeds and few groups, if there are any."""
        sentences = [CAPTION, few_groups_caption(self.num_groups, self.titles)]
        if any(found.paper for found in self.cells.values()):
            sentences.append(PAPER_CAPTION)
        if len(self.seeds) > 1:
            sentences.append(SEEDS_CAPTION.format(seeds=len(self.seeds)))
        return " ".join(filter(None, sentences))

    def bands(self) -> list[list[Quadrant]]:
        """Quadrants as printed: at most two per band, same-domain before cross-domain."""
        same = [(name, name) for name in self.datasets]
        cross = [(a, b) for a in self.datasets for b in self.datasets if a != b]
        return [group[i : i + 2] for group in (same, cross) for i in range(0, len(group), 2)]

    def pairs(self) -> list[Quadrant]:
        """All quadrants in the order in which they are printed."""
        return [pair for band in self.bands() for pair in band]

    def quadrant(self, source: str, target: str) -> list[CellMetrics]:
        """Cells of one quadrant: the baselines, then the models in order, then the references."""
        return [self.cells[Cell(source, model, target)] for model in (*BASELINES, *self.models, *REFERENCES)]

    def best(self, source: str, target: str, metric: str) -> set[str]:
        """The models that are bold in a column of a quadrant."""
        return {method.model for method in self.rankings[source, target, metric].best}

    def worse(self, source: str, target: str, metric: str) -> set[str]:
        """The models whose value in a column of a quadrant is worse than that of a baseline."""
        return {method.model for method in self.rankings[source, target, metric].worse}

    def method_rows(self, band: list[Quadrant], hidden: Collection[str] = ()) -> list[list[MethodRow]]:
        """Printed lines of each quadrant of a band without the `hidden` models; all have the same number of lines.

        If the paper has numbers for a model in one quadrant of the band, two lines follow the model's line in every
        quadrant. They show the paper's numbers and the differences.
        """
        quadrants = [[found for found in self.quadrant(*pair) if found.cell.model not in hidden] for pair in band]
        in_paper = {found.cell.model for quadrant in quadrants for found in quadrant if found.paper}
        return [[row for found in quadrant for row in self._rows_of(found, in_paper)] for quadrant in quadrants]

    def _rows_of(self, found: CellMetrics, in_paper: set[str]) -> list[MethodRow]:
        source, model, target = found.cell
        best, worse = (
            frozenset(metric for metric in self.metrics if model in among(source, target, metric))
            for among in (self.best, self.worse)
        )
        ours = {name: format_with_sd(found.ours.get(name), found.sd.get(name), name) for name in self.metrics}
        rows = [MethodRow(model_title(model), ours, best, worse)]
        if model in in_paper:
            rows.append(MethodRow("paper", self._texts(found.paper, labels.PAPER_DECIMALS), is_note=True))
            rows.append(MethodRow("difference", self._texts(found.differences(), sign="+"), is_note=True))
        return rows

    def _texts(self, values: dict[str, float], decimals: int | None = None, sign: str = "") -> dict[str, str]:
        return {metric: format_number(values.get(metric), metric, decimals, sign) for metric in self.metrics}


def read_table(inputs: Inputs) -> Table:
    """Read the measures of every cell of Table 1.

    Raises:
        DataError: the measures of a cell are missing or damaged; names the file and the stage to run.
    """
    paper, cells, num_groups = read_paper(), {}, {}
    rankings: dict[tuple[str, str, str], Ranking] = {}
    for source in inputs.datasets:
        for target in inputs.datasets:
            measured = read_measured(inputs, source, target, labels.TABLE1_METRICS)
            for model in (*BASELINES, *inputs.models, *REFERENCES):
                found = _metrics_of(measured, methods_of(model)[0])
                cells[found.cell] = replace(found, paper=paper.get(found.cell, {}))
            models = [methods_of(model)[0] for model in inputs.models]
            rankings |= {(source, target, name): rank(measured, name, models) for name in labels.TABLE1_METRICS}
            num_groups[target] = measured.groups.num_groups
    metrics = list(labels.TABLE1_METRICS)
    return Table(inputs.datasets, inputs.models, inputs.seeds, metrics, inputs.titles, cells, rankings, num_groups)


def _metrics_of(measured: Measured, method: Method) -> CellMetrics:
    """Our metrics of one cell."""
    found = {name: value for name, value in measured.values[method].items() if name in labels.TABLE1_METRICS}
    ours = {name: value.mean for name, value in found.items()}
    sds = {name: value.sd for name, value in found.items() if value.sd is not None}
    return CellMetrics(Cell(measured.source, method.model, measured.target), ours, sds, {})


def few_groups_caption(num_groups: dict[str, int], titles: dict[str, str]) -> str:
    """A sentence on the test splits with fewer than 30 groups; empty if there are none."""
    few = [f"{number} for {titles[name]}" for name, number in num_groups.items() if number < FEW_GROUPS]
    if not few:
        return ""
    return f"Few groups of test images ({', '.join(few)}): with fewer than {FEW_GROUPS}, an interval can be too short."


def read_paper() -> dict[Cell, dict[str, float]]:
    """The numbers in Table 1 of the paper, under the names of our metrics."""
    with PAPER_TABLE.open(newline="", encoding="utf-8") as file:
        rows = [(Cell(*(row.pop(name) for name in Cell._fields)), row) for row in csv.DictReader(file)]
    return {cell: {metric: float(text) for metric, text in row.items() if text} for cell, row in rows}


def to_csv(table: Table) -> str:
    """CSV with one line per metric of a cell; `paper` and `difference` are empty if there is no such number.

    `mark` is `best` for the numbers that Table 1 shows in bold, and `worse` for those with a dagger.
    """
    cells = (found for pair in table.pairs() for found in table.quadrant(*pair))
    return runtime.comma_separated(CSV_COLUMNS, (line for found in cells for line in _csv_lines(table, found)))


def _csv_lines(table: Table, found: CellMetrics) -> Iterator[list[object]]:
    """The lines of one cell."""
    source, model, target = found.cell
    differences = found.differences()
    for name in (metric for metric in table.metrics if metric in found.ours):
        paper, difference = found.paper.get(name, ""), differences.get(name)
        rounded = "" if difference is None else round(difference, 4)
        value, sd, mark = found.ours[name], found.sd.get(name, ""), _mark(table, found.cell, name)
        yield [source, target, model, name, value, sd, paper, rounded, mark]


def _mark(table: Table, cell: Cell, metric: str) -> str:
    source, model, target = cell
    if model in table.best(source, target, metric):
        return "best"
    return "worse" if model in table.worse(source, target, metric) else ""


def to_markdown(table: Table) -> str:
    """Markdown with one table per band; `A → B` means trained on A, evaluated on B."""
    blocks = [f"**Table 1.** {escape_markdown(table.caption)} A → B: trained on A, evaluated on B."]
    for band in table.bands():
        titles = [" → ".join(escape_markdown(table.titles[dataset]) for dataset in pair) for pair in band]
        header = ["", *(text for title in titles for text in (title, *[""] * (len(table.metrics) - 1)))]
        names = [f"**{escape_markdown(text)}**" for text in ("Method", *_headings(table, band))]
        lines = [header, [":---", *["---:"] * (len(header) - 1)], names]
        for rows in zip(*table.method_rows(band), strict=True):
            title = f"· *{rows[0].title}*" if rows[0].is_note else escape_markdown(rows[0].title)
            lines.append([title, *(marked(row, metric, "**{}**") for row in rows for metric in table.metrics)])
        blocks.append(aligned(lines))
    return "\n\n".join(blocks) + "\n"


def to_latex(table: Table) -> str:
    r"""LaTeX of a `table*`; the document needs only `\usepackage{booktabs}`."""
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table*}", r"\centering\small\setlength{\tabcolsep}{4pt}"]
    for i, band in enumerate(table.bands()):
        lines += [r"\medskip"] if i else []
        columns = "r" * len(table.metrics) * len(band)
        lines += [rf"\begin{{tabular}}{{l{columns}}}", r"\toprule", *_latex_head(table, band), r"\midrule"]
        for rows in zip(*table.method_rows(band), strict=True):
            title = rf"\quad\emph{{{escape_latex(rows[0].title)}}}" if rows[0].is_note else escape_latex(rows[0].title)
            texts = [marked(row, metric, r"\textbf{{{}}}") for row in rows for metric in table.metrics]
            lines.append(" & ".join([title, *map(with_latex_signs, texts)]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", ""]
    caption = escape_latex(table.caption).replace(WORSE, r"$^\dagger$").replace(PLUS_MINUS, r"$\pm$")
    return "\n".join([*lines[:-1], rf"\caption{{{caption}}}", r"\label{tab:results}", r"\end{table*}", ""])


def to_rich(table: Table, width: int) -> Group:
    """Tables for a terminal of `width` characters; quadrants that do not fit side by side are below each other."""
    from rich.console import Console, Group
    from rich.table import Table as RichTable
    from rich.text import Text

    blocks: list[RichTable | str] = []
    for band in table.bands():
        quadrants = list(zip(band, table.method_rows(band, NOT_IN_TERMINAL), strict=True))
        side_by_side = RichTable.grid(padding=(0, 2))
        for _ in band:
            side_by_side.add_column(vertical="bottom")  # a title of three lines must not shift its rows
        side_by_side.add_row(*(_rich_quadrant(table, *pair, with_method=i == 0) for i, pair in enumerate(quadrants)))
        if Console(width=1000).measure(side_by_side).maximum <= width:
            blocks += [side_by_side, ""]
        else:
            for pair in quadrants:
                blocks += [_rich_quadrant(table, *pair, with_method=True), ""]
    return Group(*blocks, Text(NOTE, "dim"))


def _rich_quadrant(table: Table, pair: Quadrant, rows: list[MethodRow], with_method: bool) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    source, target = (table.titles[dataset] for dataset in pair)
    title = Text(f"Trained on {source}\nEvaluated on {target}", style="bold")
    quadrant = RichTable(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    if with_method:
        quadrant.add_column("Method", no_wrap=True)
    for metric in table.metrics:
        quadrant.add_column(short_metric_title(metric), justify="right", no_wrap=True, min_width=6)
    for row in rows:
        style = "dim" if row.is_note else ""
        label = [Text(f"  {row.title}" if row.is_note else row.title, style)] if with_method else []
        texts = (Text(marked(row, m, "{}"), "bold green" if m in row.best else style) for m in table.metrics)
        quadrant.add_row(*label, *texts)
    return quadrant


def _latex_head(table: Table, band: list[Quadrant]) -> list[str]:
    pairs = [[escape_latex(table.titles[dataset]) for dataset in pair] for pair in band]
    titles = [f"Trained on {source}, evaluated on {target}" for source, target in pairs]
    count = len(table.metrics)
    spans = [(2 + i * count, 1 + (i + 1) * count) for i in range(len(band))]
    return [
        " & ".join(["", *(rf"\multicolumn{{{count}}}{{c}}{{{title}}}" for title in titles)]) + r" \\",
        " ".join(rf"\cmidrule(lr){{{first}-{last}}}" for first, last in spans),
        " & ".join(["Method", *map(escape_latex, _headings(table, band))]) + r" \\",
    ]


def _headings(table: Table, band: list[Quadrant]) -> list[str]:
    return [metric_title(metric) for _ in band for metric in table.metrics]


def with_latex_signs(text: str) -> str:
    """Replace the signs that LaTeX sets in math mode; the dagger takes no room, so that the numbers stay aligned."""
    return text.replace(MINUS, "$-$").replace(PLUS_MINUS, r"$\pm$").replace(WORSE, r"\rlap{$^\dagger$}")


def marked(row: MethodRow, metric: str, template: str) -> str:
    """The text of a cell: in the template if it is the best, with a dagger if it is worse than a baseline."""
    text = row.texts[metric]
    return template.format(text) if metric in row.best else text + WORSE * (metric in row.worse)


def aligned(lines: list[list[str]]) -> str:
    """A Markdown table with padded columns, so that its text is readable without rendering."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "| " + " | ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def escape_markdown(text: str) -> str:
    """Escape a text, so that Markdown shows it unchanged, even in a table."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>|#&~$" else c for c in text)


def escape_latex(text: str) -> str:
    """Escape a text, so that LaTeX shows it unchanged."""
    special = {"\\": "textbackslash", "~": "textasciitilde", "^": "textasciicircum"}
    special |= {"<": "textless", ">": "textgreater", "|": "textbar"}
    return "".join(f"\\{special[c]}{{}}" if c in special else f"\\{c}" if c in "&%$#_{}" else c for c in text)
