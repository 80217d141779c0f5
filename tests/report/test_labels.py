"""What is only shown: titles, colors and decimals, where they lie, and how any text of a title is shown."""

import html
import io
import re
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from rich.console import Console

from colorize.layout import BASELINES, UNTRAINED, Cell
from colorize.report import curves, figures, gallery, labels, style, table
from colorize.report.labels import MetricLabel, ModelLabel
from colorize.runtime import ParameterError

REPO = Path(__file__).parents[2]
HOSTILE = r"""$\frac$ & B_1 <i>*~^ | {#%} "q" \ `c` [x](y) &amp; ~~z~~ Été Женя"""


def printed(found: table.Table) -> str:
    console = Console(width=300, file=io.StringIO(), record=True)
    console.print(table.to_rich(found, 300))
    return console.export_text()


def markdown_cells(found: table.Table) -> list[list[str]]:
    """The texts of the rows of the first pipe table, as a reader of the rendered page sees them."""
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(table.to_markdown(found))
    rows = re.findall("<tr>(.*?)</tr>", page.split("</table>")[0], re.DOTALL)
    cells = [re.findall("<t[hd].*?>(.*?)</t[hd]>", row) for row in rows]
    return [[html.unescape(re.sub("</?strong>", "", cell)) for cell in row] for row in cells]


# --- titles of data sets ----------------------------------------------------------------------------------------------


def test_a_data_set_without_an_entry_is_shown_under_its_own_name(make_run):
    run = make_run(("objects", "my_photos"), ("cnn",))
    assert run.inputs.titles == {"objects": "Objects", "my_photos": "my_photos"}
    (run.root / labels.TITLES).unlink()
    assert run.inputs.titles == {"objects": "objects", "my_photos": "my_photos"}


def test_titles_of_other_data_sets_may_be_in_the_file():
    assert {"objects", "scenes", "tiny_imagenet", "places365"} <= labels.read_titles(REPO / labels.TITLES).keys()


@pytest.mark.parametrize(
    ("text", "word"),
    [("objects: 3\n", "'objects': 3"), ("objects:\n", "'objects': None"), ("objects: ' '\n", "' '"),
     ("7: x\n", "7: 'x'"), ("objects: [Objects]\n", "['Objects']"), ('objects: "two\\nlines"\n', r"two\nlines"),
     ('a: "\\x1b[31m"\n', "x1b"),
     ("scenes: Scenes\nobjects: true\n", "'objects': True"), ("objects: A\nobjects: B\n", "twice"),
     ("- objects\n", "list"), ("objects: [\n", "YAML"), ("", "NoneType")],
)  # fmt: skip
def test_a_damaged_file_of_titles_is_one_line_that_names_it(make_run, text, word, expect_one_line):
    run = make_run(("objects",), ("cnn",))
    run.write_titles(text)
    with expect_one_line(ParameterError, run.root / labels.TITLES, word):
        table.read_table(run.inputs)


def test_every_character_of_a_title_is_shown_as_it_is(make_run):
    run = make_run(("objects",), ("cnn",))
    run.write_titles(yaml.safe_dump({"objects": HOSTILE}, allow_unicode=True))
    found = table.read_table(run.inputs)
    assert markdown_cells(found)[0][1] == f"{HOSTILE} → {HOSTILE}"
    assert f"Trained on {HOSTILE} Evaluated on" in " ".join(printed(found).split())
    page = gallery.render_gallery(run.inputs)["index.html"].decode()
    assert f"<h2>{html.escape(HOSTILE).replace('&quot;', '&#34;')} <span>" in page
    (group,) = figures.named(run.inputs, Cell("objects", "cnn", "objects"), [10])
    assert group.title == f"CNN trained on {HOSTILE}, images of {HOSTILE}"
    assert style.encode("curves", curves.plot_curves(run.inputs))  # as a formula, \frac without arguments is an error
    (axes,) = curves.plot_curves(run.inputs).axes
    assert axes.get_ylabel().startswith(HOSTILE[:13])  # the rest does not fit


def test_latex_escapes_every_special_character():
    assert table.escape_latex(r"\ ~ ^ < > | & % $ # _ { } Été") == (
        r"\textbackslash{} \textasciitilde{} \textasciicircum{} \textless{} \textgreater{} \textbar{} "
        r"\& \% \$ \# \_ \{ \} Été"
    )


def test_markdown_escapes_the_dollar_that_begins_a_formula_on_github():
    assert table.escape_markdown("$x$ & y_1") == r"\$x\$ \& y\_1"


def test_titles_stand_escaped_in_the_latex_table(make_run):
    run = make_run(("objects", "scenes"), ("cnn",))
    run.write_titles("objects: A & B\nscenes: 50%\n")
    assert r"{Trained on A \& B, evaluated on 50\%}" in table.to_latex(table.read_table(run.inputs))


# --- models and metrics -----------------------------------------------------------------------------------------------


def test_a_model_without_an_entry_is_shown_under_its_own_name(make_run, monkeypatch):
    monkeypatch.delitem(labels.MODEL_LABELS, "unet")
    inputs = make_run(("objects",), ("cnn", "unet")).inputs
    assert [row.title for row in table.read_table(inputs).method_rows([("objects", "objects")])[0]][-3:] == [
        "CNN",
        "unet",
        "Oracle",
    ]
    (group,) = figures.same_domain(inputs, "objects", 2)
    assert [row.label for row in group.rows] == ["input", "CNN", "unet", "ground truth"]
    (legend,) = curves.plot_curves(inputs).legends
    assert [text.get_text() for text in legend.get_texts()[:2]] == ["CNN", "unet"]


def test_an_entry_gives_a_model_its_title(make_run, monkeypatch):
    monkeypatch.setitem(labels.MODEL_LABELS, "cnn", ModelLabel("My CNN"))
    (legend,) = curves.plot_curves(make_run(("objects",), ("cnn",)).inputs).legends
    assert legend.get_texts()[0].get_text() == "My CNN"


@pytest.fixture
def with_ssim(monkeypatch):
    """Table 1 has a further metric."""
    monkeypatch.setattr(labels, "TABLE1_METRICS", (*labels.TABLE1_METRICS, "ssim_8"))


def write_ssim(run) -> table.Table:
    for i, model in enumerate((*BASELINES, "cnn", "unet")):
        run.write_metrics("objects", model, "objects", ssim_8=i / 16)
    return table.read_table(run.inputs)


def test_a_metric_without_an_entry_is_shown_under_its_own_name_and_has_no_best(make_run, with_ssim):
    found = write_ssim(make_run(("objects",), ("cnn", "unet")))
    cells = markdown_cells(found)[:-1]  # without the oracle
    assert cells[1][-2:] == ["Accuracy", "ssim_8"]
    assert [row[-1] for row in cells[2:]] == [f"{i / 16:.4f}" for i in range(8)]
    assert found.best("objects", "objects", "ssim_8") == set()
    assert r"ssim\_8 \\" in table.to_latex(found)
    assert "ssim_8" in printed(found)
    assert "objects,objects,unet,ssim_8,0.4375,,," in table.to_csv(found)


def test_an_entry_gives_a_metric_its_title_decimals_and_best_value(make_run, with_ssim, monkeypatch):
    monkeypatch.setitem(labels.METRIC_LABELS, "ssim_8", MetricLabel("SSIM", "S.", decimals=2, better="higher"))
    found = write_ssim(make_run(("objects",), ("cnn", "unet")))
    cells = markdown_cells(found)[:-1]  # without the oracle
    assert [row[-1] for row in cells[1:]] == ["SSIM", *(f"{i / 16:.2f}" for i in range(8))]
    assert found.best("objects", "objects", "ssim_8") == {"unet"}
    assert " S." in printed(found)


def test_a_metric_that_no_model_has_is_a_column_of_dashes(make_run, with_ssim, monkeypatch):
    monkeypatch.setitem(labels.METRIC_LABELS, "ssim_8", MetricLabel("SSIM"))
    cells = markdown_cells(table.read_table(make_run(("objects",), ("cnn",)).inputs))
    assert [row[-1] for row in cells[1:]] == ["SSIM", *["-"] * (len(UNTRAINED) + 1)]


def test_numbers_have_the_decimals_of_their_metric_and_a_true_minus():
    assert labels.format_number(0.0125, "l2") == "0.0125"
    assert labels.format_number(3.14159, "cross_entropy") == "3.142"
    assert labels.format_number(-20.2431, "weighted_cross_entropy", sign="+") == "\N{MINUS SIGN}20.243"
    assert labels.format_number(0.5, "accuracy", decimals=3, sign="+") == "+0.500"
    assert labels.format_number(None, "accuracy") == "-"


# --- what depends on them ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [labels.TITLES, Path(labels.__file__).relative_to(REPO)], ids=str)
def test_only_the_report_depends_on_what_is_only_shown(path):
    stages = yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"]
    assert len(stages) > 1
    deps = {name: stage.get("do", stage)["deps"] for name, stage in stages.items()}
    depending = [name for name, paths in deps.items() if any(path.is_relative_to(dep) for dep in paths)]
    assert depending == ["report"]


def test_titles_are_in_no_other_file_of_the_sources():
    for path in sorted((REPO / "sources").glob("*.yaml")):
        assert path.name == labels.TITLES.name or "title" not in yaml.safe_load(path.read_text()), path.name
