"""Training curves of every run: one CSV file for DVC's plots, and the figure of the paper's appendix.

The figure shows the losses of fixed training and validation images, both measured in evaluation mode. The distance
between the two curves of a model at step 0 is a difference between these images. Over-fitting makes it grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from colorize.report import comma_separated, labels, overfitting
from colorize.report.grid import encode_plot
from colorize.report.inputs import HISTORY_COLUMNS, Inputs, spec_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

CSV_COLUMNS = ("run", "dataset", "model", "seed", *HISTORY_COLUMNS)
DASHED = (0, (4, 2))
_LOSSES = {  # panel: measure
    "classifier": "cross_entropy",
    "weighted": "normalized_weighted_cross_entropy",  # the weighted one is not comparable between sets of images
    "regression": "l2",
}
_CAPTION = "Both lines: losses of fixed images, measured in evaluation mode"


def to_csv(inputs: Inputs) -> str:
    """CSV with the histories of all runs, one after the other; the numbers are those that training wrote."""
    runs = [run for dataset in inputs.datasets for model in inputs.models for run in inputs.runs(dataset, model)]
    rows = ([run.name, *run, *(row[name] for name in HISTORY_COLUMNS)] for run in runs for row in inputs.history(run))
    return comma_separated.to_csv(CSV_COLUMNS, rows)


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
                history = inputs.history(inputs.runs(dataset, model)[0])
                _draw_run(axes, history, _LOSSES[panel], labels.curve_color(i, model), label)
        _finish(axes, labels.PANELS[panel])
        if panel == "regression":
            axes.set_yscale("log")  # its loss at step 0 is several times its last one
    if inputs.seed_note:
        figure.suptitle(inputs.seed_note, fontsize=10)
    style: dict[str, Any] = {"frameon": False, "fontsize": 8.5, "title_fontsize": 8.5}
    figure.legend(handles=_line_styles(), title=_CAPTION, loc="outside lower center", ncols=2, **style)
    return figure


def _draw_run(axes: Axes, history: list[dict[str, str]], measure: str, color: str, label: str) -> None:
    steps = [int(float(row["step"])) for row in history]
    train, val = ([overfitting.loss(row, split, measure) for row in history] for split in ("train", "val"))
    axes.plot(steps, train, color=color, linewidth=1.4, label=label)
    axes.plot(steps, val, color=color, linewidth=1.4, linestyle=DASHED)


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
    train, val = "training images", "validation images"
    return [Line2D([], [], label=train, **look), Line2D([], [], linestyle=DASHED, label=val, **look)]
