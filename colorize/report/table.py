"""Table 1: every model on every test split, in the paper's quadrants, as CSV, Markdown, LaTeX and in the terminal.

A quadrant is one (source, target) pair. Same-domain quadrants come first and two stand side by side, which for two data
sets is the paper's 2 x 2. Where the paper has the cell, its number and the difference (ours - paper) follow ours.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from colorize.layout import BASELINES
from colorize.report.inputs import Inputs, dataset_title, model_title

METRICS = ("l2", "l1", "cross_entropy", "weighted_cross_entropy", "accuracy")
METRIC_TITLES = {
    "l2": "L2",
    "l1": "L1",
    "cross_entropy": "Cross Entropy",
    "weighted_cross_entropy": "Weighted CE",
    "accuracy": "Accuracy",
}
SHORT_TITLES = METRIC_TITLES | {"cross_entropy": "CE", "weighted_cross_entropy": "w. CE", "accuracy": "Acc."}
DECIMALS = {"l2": 4, "l1": 4, "cross_entropy": 3, "weighted_cross_entropy": 3, "accuracy": 4}
IS_HIGHER_BETTER = {"accuracy"}
PAPER_TABLE = Path(__file__).with_name("paper_table.csv")
MINUS = "\N{MINUS SIGN}"  # never reads as the dash of an absent value
CSV_COLUMNS = ("source", "target", "model", "metric", "value", "paper", "difference")
CAPTION = (
    "L2 and L1 of ab / 128, cross entropy in nats (plain, and weighted with the class weights of the training data) "
    "and accuracy of the most probable bin, all on the test splits. The best model of each column is bold; the two "
    "baselines are left out of this comparison."
)


@dataclass(frozen=True)
class Cell:
    """One model in one quadrant; metrics that do not apply are absent from the dicts."""

    source: str
    target: str
    model: str
    ours: dict[str, float]
    paper: dict[str, float]

    def differences(self) -> dict[str, float]:
        """Ours minus the paper's, for the metrics that both have."""
        return {name: self.ours[name] - value for name, value in self.paper.items() if name in self.ours}


@dataclass(frozen=True)
class Row:
    """One printed line of a quadrant: texts by metric, those that win their column, and whose line it is."""

    title: str
    texts: dict[str, str]
    best: frozenset[str] = frozenset()
    is_note: bool = False  # the paper's line or the difference, under our own


@dataclass(frozen=True)
class Table:
    """The cells of Table 1 with the order of data sets and models."""

    datasets: list[str]
    models: list[str]
    cells: dict[tuple[str, str, str], Cell]

    def bands(self) -> list[list[tuple[str, str]]]:
        """Quadrants as printed: rows of at most two, same-domain before cross-domain."""
        same = [(name, name) for name in self.datasets]
        cross = [(a, b) for a in self.datasets for b in self.datasets if a != b]
        return [group[i : i + 2] for group in (same, cross) for i in range(0, len(group), 2)]

    def quadrant(self, source: str, target: str) -> list[Cell]:
        """Cells of one quadrant: the baselines, then the models in order."""
        return [self.cells[source, model, target] for model in (*BASELINES, *self.models)]

    def best(self, source: str, target: str, metric: str) -> set[str]:
        """The models (several at a tie) that win a column of a quadrant; baselines do not compete."""
        values = {c.model: c.ours[metric] for c in self.quadrant(source, target)[len(BASELINES) :] if metric in c.ours}
        if not values:
            return set()
        winner = max(values.values()) if metric in IS_HIGHER_BETTER else min(values.values())
        return {model for model, value in values.items() if value == winner}

    def rows(self, band: list[tuple[str, str]]) -> list[list[Row]]:
        """Printed lines of each quadrant of a band, equally many, as they stand side by side.

        The paper's line and the difference follow a model everywhere if the paper has it in one quadrant of the band.
        """
        quadrants = [self.quadrant(source, target) for source, target in band]
        in_paper = {cell.model for cells in quadrants for cell in cells if cell.paper}
        return [self._quadrant_rows(cells, in_paper) for cells in quadrants]

    def _quadrant_rows(self, cells: list[Cell], in_paper: set[str]) -> list[Row]:
        rows = []
        for cell in cells:
            best = frozenset(m for m in METRICS if cell.model in self.best(cell.source, cell.target, m))
            rows.append(Row(model_title(cell.model), {m: _number(cell.ours, m) for m in METRICS}, best))
            if cell.model in in_paper:
                differences = cell.differences()
                rows.append(Row("paper", {m: _number(cell.paper, m, places=3) for m in METRICS}, is_note=True))
                rows.append(Row("difference", {m: _number(differences, m, sign="+") for m in METRICS}, is_note=True))
        return rows


def read_table(inputs: Inputs) -> Table:
    """Collect every cell.

    Raises:
        DataError: a cell's metrics are missing or damaged; names the file and the stage to run.
    """
    paper = read_paper()
    cells = {}
    for source in inputs.datasets:
        for target in inputs.datasets:
            for model in (*BASELINES, *inputs.models):
                values = inputs.metrics(source, model, target)
                ours = {name: float(values[name]) for name in METRICS if values.get(name) is not None}
                cells[source, model, target] = Cell(source, target, model, ours, paper.get((source, model, target), {}))
    return Table(inputs.datasets, inputs.models, cells)


def read_paper() -> dict[tuple[str, str, str], dict[str, float]]:
    """Table 1 of Olah and Yang; the cross entropies of its weighted rows are weighted ones."""
    with PAPER_TABLE.open(newline="", encoding="utf-8") as file:
        return {
            (row["source"], row["model"], row["target"]): {name: float(row[name]) for name in METRICS if row[name]}
            for row in csv.DictReader(file)
        }


def to_csv(table: Table) -> str:
    """Tidy: one line a number, full precision, the paper's columns empty where it has none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for source, target in (pair for band in table.bands() for pair in band):
        for cell in table.quadrant(source, target):
            differences = cell.differences()
            for name in (m for m in METRICS if m in cell.ours):
                paper, difference = cell.paper.get(name, ""), differences.get(name)
                rounded = "" if difference is None else round(difference, 4)
                writer.writerow([source, target, cell.model, name, cell.ours[name], paper, rounded])
    return text.getvalue()


def to_markdown(table: Table) -> str:
    """Two quadrants side by side a pipe table; `A → B` reads trained on A, evaluated on B."""
    blocks = [f"**Table 1.** {CAPTION} A → B: trained on A, evaluated on B."]
    for band in table.bands():
        titles = [f"{_md(dataset_title(s))} → {_md(dataset_title(t))}" for s, t in band]
        header = ["", *(text for title in titles for text in (title, *[""] * (len(METRICS) - 1)))]
        names = ["**Method**", *([f"**{METRIC_TITLES[m]}**" for m in METRICS] * len(band))]
        lines = [header, [":---", *["---:"] * (len(header) - 1)], names]
        for rows in zip(*table.rows(band), strict=True):
            title = f"· *{rows[0].title}*" if rows[0].is_note else _md(rows[0].title)
            texts = [_bold(row, m, "**{}**") for row in rows for m in METRICS]
            lines.append([title, *texts])
        blocks.append(_aligned(lines))
    return "\n\n".join(blocks) + "\n"


def to_latex(table: Table) -> str:
    r"""A `table*` for booktabs and amsmath-free LaTeX; needs only `\usepackage{booktabs}`."""
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table*}", r"\centering\small\setlength{\tabcolsep}{4pt}"]
    for i, band in enumerate(table.bands()):
        lines += [r"\medskip"] if i else []
        lines += [
            rf"\begin{{tabular}}{{l{'r' * len(METRICS) * len(band)}}}",
            r"\toprule",
            *_latex_head(band),
            r"\midrule",
        ]
        for rows in zip(*table.rows(band), strict=True):
            title = rf"\quad\emph{{{_tex(rows[0].title)}}}" if rows[0].is_note else _tex(rows[0].title)
            texts = [_bold(row, m, r"\textbf{{{}}}").replace(MINUS, "$-$") for row in rows for m in METRICS]
            lines.append(" & ".join([title, *texts]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", ""]
    caption = _tex(CAPTION)
    return "\n".join([*lines[:-1], rf"\caption{{{caption}}}", r"\label{tab:results}", r"\end{table*}", ""])


def to_rich(table: Table, width: int):
    """A rich renderable; the quadrants of a band are stacked where `width` is less than they need side by side."""
    from rich.console import Console, Group
    from rich.table import Table as RichTable

    blocks = []
    for band in table.bands():
        quadrants = list(zip(band, table.rows(band), strict=True))
        side_by_side = RichTable.grid(padding=(0, 2))
        for _ in band:
            side_by_side.add_column(vertical="bottom")  # a title of three lines must not shift its rows
        side_by_side.add_row(*(_rich_quadrant(*quadrant, with_method=i == 0) for i, quadrant in enumerate(quadrants)))
        if Console(width=1000).measure(side_by_side).maximum <= width:
            blocks += [side_by_side, ""]
        else:
            blocks += [part for quadrant in quadrants for part in (_rich_quadrant(*quadrant, with_method=True), "")]
    return Group(*blocks[:-1])


def _rich_quadrant(pair: tuple[str, str], rows: list[Row], with_method: bool):
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    source, target = pair
    title = Text(f"Trained on {dataset_title(source)}\nEvaluated on {dataset_title(target)}", style="bold")
    quadrant = RichTable(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    if with_method:
        quadrant.add_column("Method", no_wrap=True)
    for name in METRICS:
        quadrant.add_column(SHORT_TITLES[name], justify="right", no_wrap=True, min_width=6)
    for row in rows:
        style = "dim" if row.is_note else ""
        label = [Text(f"  {row.title}" if row.is_note else row.title, style)] if with_method else []
        quadrant.add_row(*label, *(Text(row.texts[m], "bold green" if m in row.best else style) for m in METRICS))
    return quadrant


def _latex_head(band: list[tuple[str, str]]) -> list[str]:
    titles = [rf"Trained on {_tex(dataset_title(s))}, evaluated on {_tex(dataset_title(t))}" for s, t in band]
    spans = [(2 + i * len(METRICS), 1 + (i + 1) * len(METRICS)) for i in range(len(band))]
    return [
        " & ".join(["", *(rf"\multicolumn{{{len(METRICS)}}}{{c}}{{{title}}}" for title in titles)]) + r" \\",
        " ".join(rf"\cmidrule(lr){{{first}-{last}}}" for first, last in spans),
        " & ".join(["Method", *[_tex(METRIC_TITLES[m]) for m in METRICS] * len(band)]) + r" \\",
    ]


def _number(values: dict[str, float], metric: str, places: int | None = None, sign: str = "") -> str:
    if metric not in values:
        return "-"
    text = f"{values[metric]:{sign}.{DECIMALS[metric] if places is None else places}f}"
    return text.replace("-", MINUS)


def _bold(row: Row, metric: str, template: str) -> str:
    text = row.texts[metric]
    return template.format(text) if metric in row.best else text


def _aligned(lines: list[list[str]]) -> str:
    """A pipe table whose raw text is legible too: the columns are padded."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "| " + " | ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _md(text: str) -> str:
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>|#" else c for c in text)


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    return "".join(special.get(c, c) for c in text)
