"""Training curves of every run: one CSV file for DVC's plots, and the figure of the paper's appendix.

The figure shows the losses of fixed training and validation images, both measured in evaluation mode. The distance
between the two curves of a model at step 0 is a difference between these images. Over-fitting makes it grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from colorize import runtime
from colorize.layout import Run
from colorize.report import labels, overfitting, style
from colorize.report.inputs import HISTORY_COLUMNS, Inputs, spec_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CSV_COLUMNS = ("run", "dataset", "model", "seed", *HISTORY_COLUMNS)
_LOSSES = {  # panel: measure
    "classifier": "cross_entropy",
    "weighted": "normalized_weighted_cross_entropy",  # the weighted one is not comparable between sets of images
    "regression": "l2",
}
_CAPTION = "Both lines: losses of the same images, measured in evaluation mode"


def to_csv(inputs: Inputs) -> str:
    """CSV with the histories of all runs, one after the other; the numbers are those that training wrote."""
    rows = (
        [run.name, *run, *(row[name] for name in HISTORY_COLUMNS)]
        for run in inputs.trainings
        for row in inputs.history(run)
    )
    return runtime.comma_separated(CSV_COLUMNS, rows)


def panel_of(model: str) -> str:
    """The panel that shows a model's curves, a key of `labels.PANELS`. Each kind of loss has its own panel."""
    spec = spec_of(model)
    return "regression" if not spec.is_classifier else "weighted" if spec.is_weighted else "classifier"


@style.applied()
def plot_curves(inputs: Inputs) -> Figure:
    """One row of panels per data set, and one panel per kind of loss.

    Training lines are solid, and validation lines are dashed. With several seeds, a line is the mean over the seeds,
    and a band reaches from the smallest to the largest value.
    """
    panels = [panel for panel in labels.PANELS if any(panel_of(model) == panel for model in inputs.models)]
    figure = style.new_figure(0.9 + 1.45 * len(inputs.datasets))
    grid = figure.subplots(len(inputs.datasets), len(panels), squeeze=False, sharex="row")
    looks, width = style.looks(inputs.models), style.panel_width(len(panels))
    for dataset, row in zip(inputs.datasets, grid, strict=True):
        for axes, panel in zip(row, panels, strict=True):
            for model in (model for model in inputs.models if panel_of(model) == panel):
                _draw_model(axes, inputs, inputs.runs(dataset, model), _LOSSES[panel], looks[model])
            _finish(axes, panel)
        row[0].set_ylabel(style.wrap(inputs.titles[dataset], 1.2), fontsize=style.TITLE_FONT)
    for axes, panel in zip(grid[0], panels, strict=True):
        axes.set_title(style.wrap(labels.PANELS[panel], width))
    for axes in grid[-1]:
        axes.set_xlabel("step")
    _add_legend(figure, inputs)
    return figure


def _draw_model(axes: Axes, inputs: Inputs, runs: list[Run], measure: str, look: style.Look) -> None:
    """The two lines of a model, with bands if there are several runs."""
    histories = [{int(float(row["step"])): row for row in inputs.history(run)} for run in runs]
    steps = [step for step in histories[0] if all(step in history for history in histories)]
    for split, dash in (("train", style.SOLID), ("val", style.DASHED)):
        losses = np.array([[overfitting.loss(history[at], split, measure) for at in steps] for history in histories])
        shown: dict[str, Any] = {
            "color": look.color,
            "linestyle": dash,
            "marker": look.marker,
            "markevery": max(1, len(steps) // 8),
        }
        axes.plot(steps, losses.mean(axis=0), **shown)
        if len(runs) > 1:
            limits = losses.min(axis=0), losses.max(axis=0)
            axes.fill_between(steps, *limits, color=look.color, alpha=0.2, linewidth=0)


def _finish(axes: Axes, panel: str) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator

    if panel == "regression":
        axes.set_yscale("log", subs=[])  # its loss at step 0 is several times its last one
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")  # the formatters of a logarithmic axis write formulas
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 200k


def _add_legend(figure: Figure, inputs: Inputs) -> None:
    looks, seeds = style.looks(inputs.models), len(inputs.seeds)
    handles = [
        style.sample(labels.model_title(model), color=look.color, marker=look.marker) for model, look in looks.items()
    ]
    handles += [style.sample("training images"), style.sample("validation images", linestyle=style.DASHED)]
    note = f"; mean and range over {seeds} seeds" if seeds > 1 else ""
    style.add_legend(figure, handles, columns=4, title=_CAPTION + note)
