"""The temperature curves of all classifiers: results/calibration.csv, and a figure of colorfulness against PSNR."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from colorize.report import comma_separated, labels
from colorize.report.grid import encode_plot
from colorize.report.inputs import MARKED_TEMPERATURES, TEMPERATURE_COLUMNS, Inputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

CSV_COLUMNS = ("source", "target", "model", "seed", *TEMPERATURE_COLUMNS)
_MARKERS = dict(zip(MARKED_TEMPERATURES, ("s", "o", "^"), strict=True))
_TRUE: dict[str, Any] = {"color": "#444444", "linewidth": 1.0, "linestyle": (0, (4, 2))}


def to_csv(inputs: Inputs) -> str:
    """CSV with the curves of all classifiers, one after the other; the numbers are those that evaluation wrote."""
    rows = (
        [source, target, run.model, run.seed, *(row[name] for name in TEMPERATURE_COLUMNS)]
        for source, target in itertools.product(inputs.datasets, inputs.datasets)
        for model in inputs.classifiers
        for run in inputs.runs(source, model)
        for row in inputs.temperature_curve(run, target)
    )
    return comma_separated.to_csv(CSV_COLUMNS, rows)


def draw_curves(inputs: Inputs) -> bytes:
    """PNG with one panel per source and test set, and one line per classifier from its mode to its mean.

    A point of a line is the mean over the seeds.
    """
    return encode_plot(plot_curves(inputs))


def plot_curves(inputs: Inputs) -> Figure:
    """The figure that `draw_curves` encodes."""
    from matplotlib.figure import Figure

    side = len(inputs.datasets)
    figure = Figure(figsize=(1.2 + 3.9 * side, 1.1 + 3.2 * side), dpi=150, layout="constrained")
    panels = figure.subplots(side, side, squeeze=False)
    for axes, (source, target) in zip(panels.flat, itertools.product(inputs.datasets, inputs.datasets), strict=True):
        for position, model in enumerate(inputs.classifiers):
            curves = [inputs.temperature_curve(run, target) for run in inputs.runs(source, model)]
            _draw(axes, curves, labels.curve_color(position, model), model)
        _finish(axes, f"Trained on {inputs.titles[source]}, tested on {inputs.titles[target]}")
    lines = panels[0, 0].get_legend_handles_labels()[0]
    figure.legend(handles=[*lines, *_marks()], loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    return figure


def _draw(axes: Axes, curves: list[list[dict[str, str]]], color: str, model: str) -> None:
    """Draw one classifier from the mode to the mean; a temperature above 1 has no mark, so its colors are left out."""
    points: dict[float, list[tuple[float, float]]] = {}
    for row in itertools.chain(*curves):
        points.setdefault(float(row["temperature"]), []).append((float(row["colorfulness"]), float(row["psnr"])))
    means = {temperature: np.mean(of_seeds, axis=0) for temperature, of_seeds in points.items() if temperature <= 1}
    axes.plot(*np.transpose([*means.values()]), color=color, linewidth=1.4, label=labels.model_title(model))
    for temperature, marker in _MARKERS.items():
        axes.plot(*means[temperature][:, None], color=color, marker=marker, markersize=5, linestyle="none")
    axes.axvline(float(curves[0][0]["true_colorfulness"]), **_TRUE)


def _finish(axes: Axes, title: str) -> None:
    text = axes.set_title(title, fontsize=9, weight="bold", loc="left")
    text.set_parse_math(False)  # a title may contain $
    axes.set_xlabel("colorfulness", fontsize=9)
    axes.set_ylabel("PSNR (dB)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _marks() -> list[Line2D]:
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"color": "#444444", "linestyle": "none", "markersize": 5}
    marks = [Line2D([], [], marker=_MARKERS[at], label=label, **look) for at, label in MARKED_TEMPERATURES.items()]
    return [*marks, Line2D([], [], label="colorfulness of the true images", **_TRUE)]
