"""Colorfulness against L2: a figure of all models, baselines and decodings on the test images of their own data set.

Gray has a good L2 and no color. The mode of a distribution is colorful, and its L2 is worse than that of the mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from colorize.layout import BASELINES
from colorize.report import labels, style
from colorize.report.decodings import Decoded
from colorize.report.inputs import Inputs
from colorize.report.measures import methods_of
from colorize.report.temperature import MARKERS, TRUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Point = tuple[str, float, float]  # decoding, colorfulness, L2
_BASELINES = {  # hollow and gray; without the prior of the target, which is the prior on the own data set
    "gray": style.Look(style.FAINT, "x", style.SOLID),
    "mean_ab": style.Look(style.FAINT, "+", style.SOLID),
    "median_ab": style.Look(style.FAINT, "2", style.SOLID),
    "prior": style.Look(style.FAINT, "", style.SOLID),
    "lightness": style.Look(style.FAINT, "", style.DASHED),
}


@style.applied()
def plot_tradeoff(inputs: Inputs, pairs: Iterable[Decoded]) -> Figure:
    """One panel per data set, from all of `decodings.read_decoded`. A line connects the decodings of a distribution.

    A point is the mean over the seeds. The dotted line is the colorfulness of the true images.
    """
    own = [decoded for decoded in pairs if decoded.source == decoded.target]
    columns = min(len(own), 3)
    rows = -(-len(own) // columns)
    figure = style.new_figure(1.0 + 2.4 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    looks = _BASELINES | style.looks(inputs.models)
    for axes, decoded in zip(panels, own, strict=False):
        for model, look in looks.items():
            _draw(axes, points_of(decoded, model), look, is_hollow=model in BASELINES)
        for true in true_colorfulness(decoded):
            axes.axvline(true, **TRUE)
        axes.set_title(style.wrap(inputs.titles[decoded.target], style.panel_width(columns)))
        axes.set(xlabel="colorfulness", ylabel="L2")
        style.limit_ticks(axes)
    for axes in panels[len(own) :]:
        axes.set_axis_off()
    style.add_legend(figure, _legend(looks), columns=4)
    return figure


def points_of(decoded: Decoded, model: str) -> list[Point]:
    """The points of a model or baseline, one per decoding; none if its colorfulness is not known."""
    points = []
    for method in methods_of(model):
        values = decoded.values[method]
        if "colorfulness" in values:
            points.append((method.decoding, values["colorfulness"].mean, values["l2"].mean))
    return points


def true_colorfulness(decoded: Decoded) -> list[float]:
    """The colorfulness of the true images, which is the same for all methods; empty if it is not known."""
    found = (values["true_colorfulness"].mean for values in decoded.values.values() if "true_colorfulness" in values)
    return [*found][:1]


def _draw(axes: Axes, points: list[Point], look: style.Look, is_hollow: bool) -> None:
    axes.plot([x for _, x, _ in points], [y for _, _, y in points], color=look.color, linestyle=look.dash)
    for decoding, x, y in points:
        axes.plot([x], [y], **_marker(look, decoding, is_hollow))


def _marker(look: style.Look, decoding: str, is_hollow: bool) -> dict[str, Any]:
    """The marker of a decoding; a model without decodings has its own marker."""
    face = "white" if is_hollow and decoding else look.color
    order = 2 if decoding else 3  # several baselines can be at one point
    shown = {"color": look.color, "markerfacecolor": face, "zorder": order}
    return shown | {"marker": MARKERS.get(decoding, look.marker)}


def _legend(looks: dict[str, style.Look]) -> list[Line2D]:
    samples = []
    for model, look in looks.items():
        has_line = len(methods_of(model)) > 1
        shown: dict[str, Any] = {"linestyle": look.dash} if has_line else {"marker": look.marker, "linestyle": "none"}
        samples.append(style.sample(labels.model_title(model), color=look.color, **shown))
    for decoding, title in labels.DECODINGS.items():
        samples.append(style.sample(title, marker=MARKERS[decoding], linestyle="none"))
    return [*samples, style.sample("true images", **TRUE)]
