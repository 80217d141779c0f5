"""The style of all plots: fonts of the PDF, equal bytes, and texts that are readable in print and lie in the figure."""

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from colorize.report import curves, decodings, diagram, dots, matrix, style, table, temperature, tradeoff

LONG = "A title with $\\frac$, many words, and Averyveryverylongwordwithoutanyspace that does not end here"


def plots_of(inputs) -> dict[str, Figure]:
    table1 = table.read_table(inputs)
    return {
        "curves": curves.plot_curves(inputs),
        "figure1": diagram.plot_networks(inputs),
        "matrix": matrix.plot_matrix(table1),
        "table1": dots.plot_table(table1),
        "temperature": temperature.plot_curves(inputs),
        "tradeoff": tradeoff.plot_tradeoff(inputs, decodings.read_decoded(inputs)),
    }


def names_in(figure: Figure) -> list[Text]:
    """All texts but the numbers of the axes: matplotlib keeps some beyond the limits, which are not drawn."""
    axes = figure.axes
    texts = [text for one in axes for text in (*one.texts, one._left_title, one.xaxis.label, one.yaxis.label)]
    return [*texts, *figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]


@style.applied()
def small_figure() -> Figure:
    figure = style.new_figure(1)
    figure.subplots().set_title("$ 1 †")
    return figure


def test_the_pdf_has_truetype_fonts_and_nothing_of_the_time_or_the_program():
    files = style.encode("x", small_figure())
    assert list(files) == ["x.png", "x.pdf"]
    assert files["x.pdf"].startswith(b"%PDF") and b"/FontFile2" in files["x.pdf"]
    assert not [word for word in (b"/Type3", b"Date", b"Producer", b"Creator") if word in files["x.pdf"]]


def test_equal_figures_give_equal_bytes_whatever_the_settings_of_the_user(monkeypatch):
    expected = style.encode("x", small_figure())
    for name, value in {"font.size": 20.0, "axes.facecolor": "red", "pdf.fonttype": 3, "savefig.dpi": 30}.items():
        monkeypatch.setitem(mpl.rcParams, name, value)
    assert style.encode("x", small_figure()) == expected
    assert mpl.rcParams["font.size"] == 20  # as before


def test_looks_differ_without_their_colors():
    assert len({look.marker for look in style.LOOKS}) == len(style.LOOKS)
    assert len({str(look.dash) for look in style.LOOKS}) == len(style.LOOKS)
    assert list(style.looks(["a", "b"])) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [("one two", 2, "one two"), ("one two three", 2, "one two\nthree"), ("one two three four", 2, "one two\nthree f…"),
     ("onetwothreefour", 1, "onetwot…"), ("", 1, "")],
)  # fmt: skip
def test_a_text_is_broken_and_cut_to_its_width(text, lines, expected):
    found = style.wrap(text, style.text_width("12345678", style.TITLE_FONT) + 0.001, lines)
    assert found.replace(" f…", "…") == expected.replace(" f…", "…")


def test_every_text_of_every_plot_is_readable_in_print_and_inside_the_figure(make_run):
    run = make_run(("tiny_imagenet", "b", "c"), ("regression", "cnn"), seeds=(0, 1))
    run.write_titles("".join(f"{name}: '{LONG}'\n" for name in run.datasets))
    for name, figure in plots_of(run.inputs).items():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        assert figure.get_figwidth() == style.TEXT_WIDTH, name
        width, height = canvas.get_width_height()
        texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
        assert len(texts) > 10 and min(text.get_fontsize() for text in texts) >= 7, name
        for text in (text for text in names_in(figure) if text.get_text()):
            box = text.get_window_extent(canvas.get_renderer())
            is_inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width + 1 and box.y1 <= height + 1
            assert is_inside, (name, text)
