"""The temperature curves of all classifiers: results/calibration.csv, and a figure of colorfulness against PSNR."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from colorize import runtime
from colorize.report import labels, style
from colorize.report.inputs import MARKED_TEMPERATURES, TEMPERATURE_COLUMNS, Inputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

CSV_COLUMNS = ("source", "target", "model", "seed", *TEMPERATURE_COLUMNS)
MARKERS = {"mode": "s", "annealed_mean": "o", "mean": "^"}  # of each decoding
TRUE: dict[str, Any] = {"color": style.FAINT, "linewidth": 0.9, "linestyle": (0, (1, 1))}
_DECODINGS = dict(zip(MARKED_TEMPERATURES, MARKERS, strict=True))


def to_csv(inputs: Inputs) -> str:
    """CSV with the curves of all classifiers, one after the other; the numbers are those that evaluation wrote."""
    rows = (
        [source, target, run.model, run.seed, *(row[name] for name in TEMPERATURE_COLUMNS)]
        for source, target in itertools.product(inputs.datasets, inputs.datasets)
        for model in inputs.classifiers
        for run in inputs.runs(source, model)
        for row in inputs.temperature_curve(run, target)
    )
    return runtime.comma_separated(CSV_COLUMNS, rows)


@style.applied()
def plot_curves(inputs: Inputs) -> Figure:
    """One panel per source and test set, and one line per classifier from its mode to its mean.

    A point of a line is the mean over the seeds.
    """
    side = len(inputs.datasets)
    figure, looks = style.new_figure(0.7 + 4.8 * min(side, 2) / 2 if side < 3 else 7.5), style.looks(inputs.models)
    panels = figure.subplots(side, side, squeeze=False)
    for axes, (source, target) in zip(panels.flat, itertools.product(inputs.datasets, inputs.datasets), strict=True):
        for model in inputs.classifiers:
            _draw(axes, [inputs.temperature_curve(run, target) for run in inputs.runs(source, model)], looks[model])
        titles = f"Trained on {inputs.titles[source]}", f"tested on {inputs.titles[target]}"
        axes.set_title("\n".join(style.wrap(title, style.panel_width(side), lines=1) for title in titles))
        style.limit_ticks(axes)
    for axes in panels[-1]:
        axes.set_xlabel("colorfulness")
    for axes in panels[:, 0]:
        axes.set_ylabel("PSNR (dB)")
    lines = [_sample(model, looks[model]) for model in inputs.classifiers]
    style.add_legend(figure, [*lines, *_marks()], columns=4)
    return figure


def _draw(axes: Axes, curves: list[list[dict[str, str]]], look: style.Look) -> None:
    """Draw one classifier from the mode to the mean; a temperature above 1 has no mark, so its colors are left out."""
    points: dict[float, list[tuple[float, float]]] = {}
    for row in itertools.chain(*curves):
        points.setdefault(float(row["temperature"]), []).append((float(row["colorfulness"]), float(row["psnr"])))
    means = {temperature: np.mean(of_seeds, axis=0) for temperature, of_seeds in points.items() if temperature <= 1}
    axes.plot(*np.transpose([*means.values()]), color=look.color, linestyle=look.dash)
    for temperature, decoding in _DECODINGS.items():
        axes.plot(*means[temperature][:, None], color=look.color, marker=MARKERS[decoding], linestyle="none")
    axes.axvline(float(curves[0][0]["true_colorfulness"]), **TRUE)


def _sample(model: str, look: style.Look) -> Line2D:
    return style.sample(labels.model_title(model), color=look.color, linestyle=look.dash)


def _marks() -> list[Line2D]:
    marks = [
        style.sample(label, marker=MARKERS[_DECODINGS[temperature]], linestyle="none")
        for temperature, label in MARKED_TEMPERATURES.items()
    ]
    return [*marks, style.sample("colorfulness of the true images", **TRUE)]
