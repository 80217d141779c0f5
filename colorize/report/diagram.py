"""Figure 1: the networks, drawn from the layer lists that training writes.

A block is a group of slabs, one slab per convolution. The height of a slab shows the size of the feature map. The width
of a slab grows with the square root of the number of channels, so that both 2 and 512 channels are visible. A thin
dark slab at the end of a block is its BatchNorm. Lines above the blocks are skip connections; their feature maps are
summed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from colorize.report import style
from colorize.report.inputs import Inputs, spec_of
from colorize.report.labels import model_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Layers = dict[str, Any]  # layer list of one network, the result of training/describe.py

HEIGHT = 1.3  # inches, for the largest feature map
SKEW = (0.07, 0.05)  # inches: shift of the back of a slab of full height, to the right and up
SLAB_MIN, SLAB_ROOT = 0.11, 0.0045  # inches: width = SLAB_MIN + SLAB_ROOT sqrt(channels)
SLAB_GAP, BLOCK_GAP, NORM_WIDTH = 0.025, 0.16, 0.04
LABEL_GAP, LABEL, LINE, LEVEL = 0.05, 0.27, 0.13, 0.11  # inches: below a slab, a label, a text line, a skip level
HEAD, LEFT = 0.42, 0.1  # inches: title and subtitle of a network, left margin
COLORS = {"encoder": "#e9c46a", "decoder": "#8ab6d6", "head": "#b7a3d0", "norm": "#5c6b73", "end": "#e6e6e3"}
INK, FAINT, SKIP_COLOR, EDGE = "#222222", "#666666", "#b5453a", "#444444"


@dataclass(frozen=True)
class Slab:
    """One box. Lengths are in inches; `x` is the distance from the left edge of the network."""

    x: float
    width: float
    height: float
    color: str
    label: str


@dataclass(frozen=True)
class SlabGroup:
    """The slabs of one block, and the texts that are shown below them."""

    name: str
    slabs: tuple[Slab, ...]
    size: int  # side of the feature map, pixels

    @property
    def left(self) -> float:
        """Left edge of the first slab, inches."""
        return self.slabs[0].x

    @property
    def right(self) -> float:
        """Right edge of the last slab, inches."""
        return self.slabs[-1].x + self.slabs[-1].width

    @property
    def height(self) -> float:
        """Height of the slabs, inches."""
        return self.slabs[0].height


@style.applied()
def plot_networks(inputs: Inputs) -> Figure:
    """Every distinct architecture among the models of the first data set, one below the other."""
    from matplotlib.figure import Figure

    architectures = distinct_architectures(inputs)
    drawings = [arrange_blocks(layers) for layers, _ in architectures]
    heights = [_network_height(layers) for layers, _ in architectures]
    width = max(style.TEXT_WIDTH, *(groups[-1].right + LEFT + 0.15 for groups in drawings))
    figure = Figure(figsize=(width, sum(heights) + 0.35), dpi=style.DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-LEFT, width - LEFT), ylim=(-sum(heights) - 0.35, 0))
    axes.axis("off")
    top = 0.0
    for (layers, models), groups, height in zip(architectures, drawings, heights, strict=True):
        _draw_network(axes, layers, models, groups, top)
        top -= height
    _draw_legend(axes, top - 0.08, has_skips=any(layers["skips"] for layers, _ in architectures))
    return figure


def distinct_architectures(inputs: Inputs) -> list[tuple[Layers, list[str]]]:
    """The distinct layer lists, each with the models that have it, in the order of `models`."""
    found: list[tuple[Layers, list[str]]] = []
    for model in inputs.models:
        layers = inputs.layers(inputs.runs(inputs.datasets[0], model)[0])
        for known, models in found:
            if (known["blocks"], known["skips"]) == (layers["blocks"], layers["skips"]):
                models.append(model)
                break
        else:
            found.append((layers, [model]))
    return found


def arrange_blocks(layers: Layers) -> list[SlabGroup]:
    """Place the blocks from left to right: the input L, the blocks, the output ab."""
    channels, size = layers["input"][0], layers["input"][1]
    smallest = min(block["size"] for block in layers["blocks"])
    groups, is_decoder = [_end_group("L", 0.0, size, channels, size)], False
    for block in layers["blocks"]:
        kind = "head" if block["name"] == "head" else "decoder" if is_decoder else "encoder"
        groups.append(_block_group(block, groups[-1].right + BLOCK_GAP, size, kind))
        is_decoder = is_decoder or block["size"] == smallest
    groups.append(_end_group("ab", groups[-1].right + BLOCK_GAP, size, 2, size))
    return groups


def slab_width(channels: int) -> float:
    """Width in inches of a slab with this number of channels."""
    return SLAB_MIN + SLAB_ROOT * math.sqrt(channels)


def slab_height(size: int, input_size: int) -> float:
    """Height in inches of the slabs of a feature map.

    The height is proportional to size^0.75 instead of size, so that the smallest slabs have room for their labels.
    """
    return HEIGHT * (size / input_size) ** 0.75


def _end_group(name: str, x: float, size: int, channels: int, input_size: int) -> SlabGroup:
    slab = Slab(x, slab_width(channels), slab_height(size, input_size), COLORS["end"], str(channels))
    return SlabGroup(name, (slab,), size)


def _block_group(block: dict[str, Any], x: float, input_size: int, kind: str) -> SlabGroup:
    height, slabs = slab_height(block["size"], input_size), []
    for _, channels in block["convolutions"]:
        slabs.append(Slab(x, slab_width(channels), height, COLORS[kind], str(channels)))
        x = slabs[-1].x + slabs[-1].width + SLAB_GAP
    if block["batch_norm"]:
        slabs.append(Slab(x, NORM_WIDTH, height, COLORS["norm"], ""))
    return SlabGroup(block["name"], tuple(slabs), block["size"])


def _network_height(layers: Layers) -> float:
    return HEAD + LEVEL * len(layers["skips"]) + HEIGHT + SKEW[1] + LABEL_GAP + LABEL + 2 * LINE + 0.15


def _draw_network(axes: Axes, layers: Layers, models: list[str], groups: list[SlabGroup], top: float) -> None:
    middle = top - HEAD - LEVEL * len(layers["skips"]) - SKEW[1] - HEIGHT / 2
    _write(axes, 0, top - 0.12, network_title(models), fontsize=style.TITLE_FONT, ha="left")
    _write(axes, 0, top - 0.27, network_subtitle(layers, models), color=FAINT, ha="left")
    for left, right in pairwise(groups):
        _draw_arrow(axes, left, right, middle)
    for group in groups:
        _draw_group(axes, group, middle)
    _draw_skips(axes, layers["skips"], groups, middle)


def network_title(models: list[str]) -> str:
    """Titles of the models that have this network. Models with and without class weights have the same network."""
    return ", ".join(model_title(model) for model in models)


def network_subtitle(layers: Layers, models: list[str]) -> str:
    """Text with the number of parameters, the width and the meaning of the output."""
    output = f"{layers['blocks'][-1]['out_channels']} ab " + (
        "bins" if spec_of(models[0]).is_classifier else "channels"
    )
    shared = "; these models differ only in the loss" if len(models) > 1 else ""
    return f"{layers['parameters']:,} parameters at width {layers['width']:g}, output: {output} per pixel{shared}"


def _draw_group(axes: Axes, group: SlabGroup, middle: float) -> None:
    for slab in group.slabs:
        _draw_slab(axes, slab, middle)
    bottom, center = middle - group.height / 2 - LABEL_GAP, (group.left + group.right) / 2
    for slab in group.slabs:
        if slab.label:
            _write(axes, slab.x + slab.width / 2, bottom, slab.label, va="top", rotation=90)
    name = group.name.removeprefix("block")
    _write(axes, center, bottom - LABEL - LINE / 2, name)
    _write(axes, center, bottom - LABEL - 1.5 * LINE, f"{group.size}²", color=FAINT)


def _write(axes: Axes, x: float, y: float, text: str, **look: Any) -> None:
    axes.text(x, y, text, **({"ha": "center", "va": "center", "color": INK} | look))


def _draw_slab(axes: Axes, slab: Slab, middle: float) -> None:
    from matplotlib.patches import Polygon

    depth = slab.height / HEIGHT
    dx, dy = SKEW[0] * depth, SKEW[1] * depth
    x0, x1, y0, y1 = slab.x, slab.x + slab.width, middle - slab.height / 2, middle + slab.height / 2
    faces = {
        1.0: [(x0, y0), (x1, y0), (x1, y1), (x0, y1)],
        1.12: [(x0, y1), (x1, y1), (x1 + dx, y1 + dy), (x0 + dx, y1 + dy)],
        0.82: [(x1, y0), (x1 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1, y1)],
    }
    for brightness, corners in faces.items():
        fill = _shade(slab.color, brightness)
        axes.add_patch(Polygon(corners, facecolor=fill, edgecolor=EDGE, linewidth=0.4, joinstyle="round"))


def _draw_arrow(axes: Axes, left: SlabGroup, right: SlabGroup, middle: float) -> None:
    start = left.right + SKEW[0] * left.height / HEIGHT
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 4}
    axes.annotate("", (right.left, middle), (start, middle), arrowprops=style)


def _draw_skips(axes: Axes, skips: dict[str, str], groups: list[SlabGroup], middle: float) -> None:
    """Draw the skip connections above the blocks, the shortest one lowest. A plus marks the sum of the feature maps."""
    by_name = {group.name: group for group in groups}
    spans = sorted((by_name[a].left - by_name[b].right, a, b) for a, b in skips.items())
    base = middle + HEIGHT / 2 + SKEW[1]
    for i, (_, into, out_of) in enumerate(sorted(spans, key=lambda span: abs(span[0]))):
        start, end = by_name[out_of], by_name[into]
        x0 = (start.slabs[-1].x + start.right + SKEW[0] * start.height / HEIGHT) / 2
        x1 = end.slabs[0].x + end.slabs[0].width / 2 + SKEW[0] * end.height / HEIGHT / 2
        y0, y1 = (middle + g.height / 2 + SKEW[1] * g.height / HEIGHT / 2 for g in (start, end))
        level = base + 0.12 + LEVEL * i
        axes.plot(
            [x0, x0, x1, x1], [y0, level, level, y1 + 0.05], color=SKIP_COLOR, linewidth=0.9, solid_joinstyle="round"
        )
        _draw_plus(axes, x1, y1 + 0.05)


def _draw_plus(axes: Axes, x: float, y: float) -> None:
    axes.plot(
        [x], [y], marker="o", markersize=6, markerfacecolor="white", markeredgecolor=SKIP_COLOR, markeredgewidth=0.9
    )
    axes.plot([x], [y], marker="+", markersize=4, color=SKIP_COLOR, markeredgewidth=0.9)


def _draw_legend(axes: Axes, y: float, has_skips: bool) -> None:
    entries = [
        ("encoder", "convolution, encoder"),
        ("decoder", "convolution, decoder"),
        ("head", "1x1 convolution, head"),
        ("norm", "BatchNorm"),
    ]
    x = 0.0
    for key, text in entries:
        axes.plot(
            [x + 0.05], [y], marker="s", markersize=6, color=COLORS[key], markeredgecolor=EDGE, markeredgewidth=0.4
        )
        _write(axes, x + 0.14, y, text, ha="left")
        x += 0.3 + style.text_width(text, style.FONT)
    if has_skips:
        _draw_plus(axes, x + 0.05, y)
        _write(axes, x + 0.14, y, "summed skip", ha="left")
    note = "below each block: channels of each convolution, number or name of the block, side in pixels"
    _write(axes, 0, y - 0.15, note, ha="left")


def _shade(color: str, brightness: float) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    red, green, blue = (min(1.0, channel * brightness) for channel in to_rgb(color))
    return red, green, blue
