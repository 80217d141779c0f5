"""Training curves of every run: one CSV file for DVC's plots, and the figure of the paper's appendix."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any

from colorize.report import labels
from colorize.report.grid import encode_plot
from colorize.report.inputs import HISTORY_COLUMNS, Inputs, spec_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

CSV_COLUMNS = ("run", "dataset", "model", "seed", *HISTORY_COLUMNS)
DASHED = (0, (4, 2))


def to_csv(inputs: Inputs) -> str:
    """CSV with the histories of all runs, one after the other; the numbers are those that training wrote."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for dataset in inputs.datasets:
        for run in (run for model in inputs.models for run in inputs.runs(dataset, model)):
            for row in inputs.history(run):
                writer.writerow([run.name, *run, *(row[name] for name in HISTORY_COLUMNS)])
    return text.getvalue()


def panel_of(model: str) -> str:
    """The panel that shows a model's curves, a key of `labels.PANELS`. Each kind of loss has its own panel."""
    spec = spec_of(model)
    return "regression" if not spec.is_classifier else "weighted" if spec.is_weighted else "classifier"


def draw_curves(inputs: Inputs) -> bytes:
    """PNG of the loss curves of the first seed, with one panel per kind of loss.

    Training lines are solid, and validation lines are dashed.
    """
    return encode_plot(plot_curves(inputs))


def plot_curves(inputs: Inputs) -> Figure:
    """The figure that `draw_curves` encodes."""
    from matplotlib.figure import Figure

    panels = [panel for panel in labels.PANELS if any(panel_of(model) == panel for model in inputs.models)]
    figure = Figure(figsize=(4.3 * len(panels), 3.9), dpi=150, layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for i, dataset in enumerate(inputs.datasets):
            for model in (model for model in inputs.models if panel_of(model) == panel):
                label = f"{labels.model_title(model)}, {inputs.titles[dataset]}"
                _draw_run(axes, inputs.history(inputs.runs(dataset, model)[0]), labels.curve_color(i, model), label)
        _finish(axes, labels.PANELS[panel])
    if inputs.seed_note:
        figure.suptitle(inputs.seed_note, fontsize=10)
    figure.legend(handles=_line_styles(), loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    return figure


def _draw_run(axes: Axes, history: list[dict[str, str]], color: str, label: str) -> None:
    steps = [int(float(row["step"])) for row in history]
    axes.plot(steps, _numbers(history, "train_loss"), color=color, linewidth=1.4, label=label)
    axes.plot(steps, _numbers(history, "val_loss"), color=color, linewidth=1.4, linestyle=DASHED)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10, weight="bold", loc="left")
    axes.set_xlabel("step", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    # the legend is below the axes, so that it does not hide the curves
    legend = axes.legend(fontsize=7.5, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    for text in legend.get_texts():
        text.set_parse_math(False)  # a title may contain $


def _line_styles() -> list[Line2D]:
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"color": "#444444", "linewidth": 1.4}
    return [Line2D([], [], label="training", **look), Line2D([], [], linestyle=DASHED, label="validation", **look)]


def _numbers(history: list[dict[str, str]], name: str) -> list[float]:
    return [float(row[name]) if row[name] else math.nan for row in history]
