"""The matrix of trainings and test sets: a heat map of one measure of all models, with its numbers and marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from colorize.layout import Cell
from colorize.report import labels, style
from colorize.report.labels import format_number
from colorize.report.table import WORSE, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = ("l2", "cross_entropy")
_MAP = "cividis_r"  # dark is bad: lower values of both measures are better
_ROW, _BLOCK, _HEAD = 0.17, 0.9, 1.2  # inches: a row, at least the rows of one data set, the rest
BEST = "*"


@style.applied()
def plot_matrix(table1: Table) -> Figure:
    """One panel per measure; rows: data set of the training and model; columns: data set of the test images.

    An asterisk marks the models that are bold in Table 1, and a dagger those that are worse than a baseline. A frame
    marks the test images of the own data set.
    """
    figure = style.new_figure(_HEAD + _block_height(table1) * len(table1.datasets))
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    for axes, measure in zip(panels, MEASURES, strict=True):
        _draw(axes, table1, measure)
        _name_columns(axes, table1)
        axes.set_title(labels.metric_title(measure))
    _name_rows(panels[0], table1)
    note = f"{BEST}: best, or not shown to be worse    {WORSE}: worse than a baseline    frame: own data set"
    figure.supxlabel(note, fontsize=style.FONT)
    return figure


def values_of(table1: Table, measure: str) -> np.ndarray:
    """(data sets x models, data sets) float64; NaN if a model does not have the measure."""
    cells = [
        [table1.cells[Cell(source, model, target)].ours.get(measure, np.nan) for target in table1.datasets]
        for source in table1.datasets
        for model in table1.models
    ]
    return np.array(cells, dtype=np.float64)


def _draw(axes: Axes, table1: Table, measure: str) -> None:
    values = values_of(table1, measure)
    image = axes.imshow(values, cmap=_MAP, aspect="auto", interpolation="nearest")
    axes.grid(False)
    for (row, column), value in np.ndenumerate(values):
        source, model = _row_of(table1, row)
        pair = source, table1.datasets[column], measure
        is_missing = bool(np.isnan(value))
        text = labels.ABSENT if is_missing else format_number(float(value), measure)
        red, green, blue, _ = (1, 1, 1, 1) if is_missing else image.cmap(image.norm(value))
        is_light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5
        axes.text(
            column,
            row,
            text + BEST * (model in table1.best(*pair)) + WORSE * (model in table1.worse(*pair)),
            color=style.INK if is_light else "white",
            ha="center",
            va="center",
        )
    _frame_own(axes, table1)


def _row_of(table1: Table, row: int) -> tuple[str, str]:
    """The source and the model of a row."""
    source, model = divmod(row, len(table1.models))
    return table1.datasets[source], table1.models[model]


def _frame_own(axes: Axes, table1: Table) -> None:
    from matplotlib.patches import Rectangle

    count = len(table1.models)
    for i in range(len(table1.datasets)):
        place = (i - 0.5, i * count - 0.5)
        axes.add_patch(Rectangle(place, 1, count, fill=False, edgecolor=style.INK, linewidth=1.4, clip_on=False))


def _block_height(table1: Table) -> float:
    """Height of the rows of one data set, inches."""
    return max(_BLOCK, _ROW * len(table1.models))


def _name_columns(axes: Axes, table1: Table) -> None:
    width = 0.3 * style.TEXT_WIDTH / len(table1.datasets)
    names = [style.wrap(table1.titles[name], width, lines=3, size=style.FONT) for name in table1.datasets]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("tested on")
    axes.tick_params(length=0)


def _name_rows(axes: Axes, table1: Table) -> None:
    """The models, and left of them the data sets of the training."""
    count = len(table1.models)
    models = [style.wrap(labels.model_title(model), 1.4, lines=1, size=style.FONT) for model in table1.models]
    axes.set_yticks(range(count * len(table1.datasets)), models * len(table1.datasets))
    distance = style.text_width(max(models, key=len), style.FONT)
    for i, dataset in enumerate(table1.datasets):
        name = style.wrap(table1.titles[dataset], _block_height(table1), size=style.FONT)
        axes.annotate(
            f"trained on\n{name}",
            (0, i * count + (count - 1) / 2),
            (-72 * distance - 8, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="center",
            multialignment="center",
        )
