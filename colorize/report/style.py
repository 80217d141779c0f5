"""The style of all plots, for print: sizes, fonts, colors, and the encoding as PNG and PDF.

A plot is as wide as the text of a two-column paper. No text of a plot is smaller than 7 pt at this width. Models differ
in color and in marker or dash pattern, so a plot can be read without colors. The colors are those of Okabe and Ito
(2008), which people with color blindness can tell apart.

There is no bold text, because each further font of a PDF takes time. STIX is embedded three times as fast as DejaVu.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

TEXT_WIDTH = 6.9  # inches, both columns of a paper
FONT, TITLE_FONT, DPI = 8.0, 9.5, 150  # points, points, pixels per inch of the PNG
INK, FAINT, GRID = "#222222", "#595959", "#e4e4e4"
SOLID, DASHED = "solid", (0, (4, 2))
_CHARACTER = 0.48  # mean width of a character, as a part of the font size
_RC: dict[str, Any] = {
    "font.family": ["STIXGeneral", "DejaVu Sans"],  # a character that the first one lacks is taken from the second
    "font.size": FONT,
    "axes.titlesize": TITLE_FONT,
    "axes.titlelocation": "left",
    "axes.labelsize": FONT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.0,
    "legend.fontsize": FONT,
    "legend.title_fontsize": FONT,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "text.parse_math": False,  # a title may contain $
    "pdf.fonttype": 42,  # TrueType; many publishers refuse the default, Type 3
}


class Look(NamedTuple):
    """How a plot shows one model."""

    color: str
    marker: str
    dash: Any  # line style of matplotlib


LOOKS = (  # of the models, in the order of params.yaml; they repeat if there are more models
    Look("#000000", "D", (0, (5, 1.2, 1, 1.2, 1, 1.2))),
    Look("#0072b2", "o", SOLID),
    Look("#56b4e9", "s", (0, (5, 1.5))),
    Look("#d55e00", "^", (0, (1.2, 1.2))),
    Look("#e69f00", "v", (0, (6, 1.5, 1.2, 1.5))),
    Look("#009e73", "P", (0, (3, 1, 3, 1, 1, 1))),
    Look("#cc79a7", "X", (0, (8, 2))),
)


def looks(models: Sequence[str]) -> dict[str, Look]:
    """The look of each of all models. It is the same in all plots."""
    return {model: LOOKS[i % len(LOOKS)] for i, model in enumerate(models)}


@contextmanager
def applied() -> Iterator[None]:
    """Use this style, and nothing of the user's own matplotlib settings, inside a `with` or a decorated function."""
    import matplotlib

    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, **_RC}
    with matplotlib.rc_context({name: value for name, value in settings.items() if not name.startswith("backend")}):
        yield


def new_figure(height: float) -> Figure:
    """An empty figure of the width of the text; `height` is in inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.06)  # inches; with less, the numbers below two panels can touch
    return Figure(figsize=(TEXT_WIDTH, height), dpi=DPI, layout=layout)


def panel_width(columns: int) -> float:
    """Width in inches of one of several panels side by side, without the numbers on its axis."""
    return TEXT_WIDTH / columns - 0.6


def wrap(text: str, width: float, lines: int = 2, size: float = TITLE_FONT) -> str:
    """Break a text to fit into `width` inches; what does not fit into the lines becomes "…"."""
    length = max(4, int(width / text_width(".", size)))
    found = textwrap.wrap(text, length)
    if len(found) > lines:
        found = [*found[: lines - 1], found[lines - 1][: length - 1] + "…"]
    return "\n".join(found)


def text_width(text: str, size: float) -> float:
    """Width of a text in inches, estimated from its number of characters."""
    return len(text) * _CHARACTER * size / 72


def add_legend(figure: Figure, handles: list[Line2D], columns: int, title: str = "") -> None:
    """A legend below all panels, so that it does not hide a point."""
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, title=title or None)


def sample(label: str, **look: Any) -> Line2D:
    """A line or a marker in a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **({"color": INK} | look))


def limit_ticks(axes: Axes, x: int = 4, y: int = 5) -> None:
    """At most this many intervals between the numbers on the axes."""
    axes.locator_params(axis="x", nbins=x)
    axes.locator_params(axis="y", nbins=y)


@applied()
def encode(name: str, figure: Figure) -> dict[str, bytes]:
    """The files `<name>.png` and `<name>.pdf` of a figure. Equal figures give equal bytes."""
    return {f"{name}.png": _png(figure), f"{name}.pdf": _pdf(figure)}


def _png(figure: Figure) -> bytes:
    """PNG with a palette. A drawing has few colors, so a palette saves two thirds of the bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    stream = io.BytesIO()
    picture.quantize(128, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _pdf(figure: Figure) -> bytes:
    """PDF without a date, with the layout that `_png` has computed."""
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    figure.set_layout_engine("none")
    stream = io.BytesIO()
    metadata = {"CreationDate": None, "Creator": None, "Producer": None}  # also without the version of matplotlib
    FigureCanvasPdf(figure).print_pdf(stream, metadata=metadata)  # `savefig` would draw the figure twice
    return stream.getvalue()
