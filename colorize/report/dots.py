"""Table 1 as a dot plot: the models on the test images of their own data set, with 95 % intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from colorize.layout import Cell
from colorize.report import labels, style
from colorize.report.intervals import Interval
from colorize.report.labels import metric_title, model_title
from colorize.report.measures import Method, methods_of
from colorize.report.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_BASELINE: dict[str, Any] = {"color": style.FAINT, "linewidth": 0.8, "linestyle": style.DASHED}
_PAPER: dict[str, Any] = {"color": style.INK, "marker": "|", "markersize": 9, "markeredgewidth": 1.6}
# Inches: a row, the names of the models, between panels, the texts above and below all panels.
_ROW, _NAMES, _GAP, _COLUMN_GAP, _TOP, _BOTTOM = 0.13, 1.25, 0.58, 0.25, 0.55, 0.85


@style.applied()
def plot_table(table1: Table) -> Figure:
    """One row of panels per measure, and one column per data set.

    A panel shows all models and the best baseline, which is named below the panel. The interval is over groups of test
    images, of the mean over the seeds. The models that are bold in Table 1 have a filled marker. The paper's number is
    shown if the data set is one of the paper and the two numbers are known to be the same measure.
    """
    metrics, datasets = table1.metrics, table1.datasets
    figure, grid = _empty_panels(table1)
    width = _panel_width(table1)
    for row, metric in zip(grid, metrics, strict=True):
        for axes, dataset in zip(row, datasets, strict=True):
            _draw(axes, table1, dataset, metric)
            _name_baseline(axes, table1.rankings[dataset, dataset, metric].baseline, metric, width)
        row[0].set_title(_title_of(metric))
    for axes, dataset in zip(grid[0], datasets, strict=True):
        axes.set_title(style.wrap(table1.titles[dataset], width, lines=1) + "\n" + axes.get_title(loc="left"))
    names = [*map(model_title, table1.models), "best baseline"]
    grid[0, 0].set_yticks(range(len(names)), [style.wrap(name, _NAMES, lines=1, size=style.FONT) for name in names])
    grid[0, 0].set_ylim(len(names) - 0.5, -0.5)
    figure.legend(handles=_legend(table1), loc="lower center", ncols=3)
    return figure


def _empty_panels(table1: Table) -> tuple[Figure, np.ndarray]:
    """The figure and its panels, with a layout in inches: so many panels would make an automatic layout slow."""
    rows, columns = len(table1.metrics), len(table1.datasets)
    panel = _ROW * (1 + len(table1.models))
    height = _TOP + rows * panel + (rows - 1) * _GAP + _BOTTOM
    figure = style.new_figure(height)
    figure.set_layout_engine("none")
    layout = {"left": _NAMES / style.TEXT_WIDTH, "right": 0.98, "top": 1 - _TOP / height, "bottom": _BOTTOM / height}
    layout |= {"hspace": _GAP / panel, "wspace": _COLUMN_GAP / _panel_width(table1)}
    return figure, figure.subplots(rows, columns, squeeze=False, sharey=True, gridspec_kw=layout)


def _panel_width(table1: Table) -> float:
    """Width of a panel in inches."""
    columns = len(table1.datasets)
    return (0.98 * style.TEXT_WIDTH - _NAMES - (columns - 1) * _COLUMN_GAP) / columns


def _draw(axes: Axes, table1: Table, dataset: str, metric: str) -> None:
    """One measure of all models on one data set."""
    ranking = table1.rankings[dataset, dataset, metric]
    axes.set_title(metric_title(metric))
    for row, (model, look) in enumerate(style.looks(table1.models).items()):
        method, found = methods_of(model)[0], table1.cells[Cell(dataset, model, dataset)]
        if method in ranking.intervals:
            face = look.color if method in ranking.best else "white"
            _draw_interval(axes, row, ranking.intervals[method], look, face)
        if metric in found.differences():
            axes.plot([found.paper[metric]], [row], **_PAPER)
    if ranking.baseline is not None:
        interval = ranking.intervals[ranking.baseline]
        axes.axvline(interval.value, **_BASELINE)
        _draw_interval(axes, len(table1.models), interval, style.Look(style.FAINT, "h", ""), style.FAINT)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="y", visible=False)


def _title_of(metric: str) -> str:
    """The title of a metric, and which values are better."""
    better = labels.better_text(metric)
    return f"{metric_title(metric)} ({better})" if better else metric_title(metric)


def _name_baseline(axes: Axes, baseline: Method | None, metric: str, width: float) -> None:
    """Write the name of the best baseline below a panel, with its decoding if the metric depends on it."""
    if baseline is not None:
        decoding = labels.decoding_title(baseline.decoding, metric)
        name = ", ".join(filter(None, [labels.short_model_title(baseline.model), decoding]))
        axes.set_xlabel(style.wrap(name, width, lines=1, size=style.FONT), color=style.FAINT, loc="left", labelpad=1)


def _draw_interval(axes: Axes, row: int, interval: Interval, look: style.Look, face: str) -> None:
    """The value, and a line from the lower to the upper limit; no line if the groups do not bound the value."""
    if interval.is_bounded:
        axes.plot([interval.low, interval.high], [row, row], color=look.color)
    axes.plot([interval.value], [row], color=look.color, marker=look.marker, markerfacecolor=face)


def _legend(table1: Table) -> list[Line2D]:
    look: dict[str, Any] = {"marker": "o", "linestyle": "none"}
    samples = [
        style.sample("best model, or not shown to be worse", **look),
        style.sample("other models", markerfacecolor="white", **look),
        style.sample("best baseline, named below the panel", **_BASELINE),
        style.sample("95 % interval over groups of test images"),
    ]
    if any(found.differences() for cell, found in table1.cells.items() if cell.source == cell.target):
        samples.append(style.sample("the paper's number", linestyle="none", **_PAPER))
    return samples
