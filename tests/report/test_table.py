"""Table 1: layout, numbers, best values and errors."""

import csv
import io
import re

import numpy as np
import pytest
from rich.console import Console

from colorize.layout import BASELINES, Cell, Run
from colorize.report import labels, table
from colorize.runtime import DataError

TITLES = [labels.model_title(name) for name in BASELINES]  # the first three are colors, the others distributions


def read(run) -> table.Table:
    return table.read_table(run.inputs)


def test_two_data_sets_give_the_papers_two_by_two(make_run):
    same, cross = read(make_run(("a", "b"), ("cnn",))).bands()
    assert same == [("a", "a"), ("b", "b")]
    assert cross == [("a", "b"), ("b", "a")]


def test_three_data_sets_give_three_same_domain_and_six_cross_domain_quadrants(make_run):
    bands = read(make_run(("a", "b", "c"), ("cnn",))).bands()
    assert bands[:2] == [[("a", "a"), ("b", "b")], [("c", "c")]]
    assert [pair for band in bands[2:] for pair in band] == [
        ("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b"),
    ]  # fmt: skip


def test_markdown_of_one_quadrant_is_exact(make_run):
    run = make_run(("my_photos",), ("regression", "cnn"))
    worse = {"cross_entropy": 3.1, "accuracy": 0.1}
    run.write_metrics("my_photos", "cnn", "my_photos", l2=0.4, weighted_cross_entropy=8.0, **worse)
    lines = table.to_markdown(read(run)).splitlines()
    assert lines[0].startswith("**Table 1.** L2 and L1")
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines[2:]]
    assert [[text.strip().replace(r"\|", "|") for text in row] for row in cells] == [
        ["", r"my\_photos → my\_photos", "", "", "", ""],
        [":---", "---:", "---:", "---:", "---:", "---:"],
        ["**Method**", "**L2**", "**L1**", "**Cross Entropy**", "**Weighted CE**", "**Accuracy**"],
        *([title, "0.5000", "0.2500", "-", "-", "-"] for title in TITLES[:3]),
        *([title, "0.5000", "0.2500", "3.000", "9.000", "0.1250"] for title in TITLES[3:]),
        ["Baseline Regression", "0.5000", "0.2500", "-", "-", "-"],
        ["CNN", "**0.4000**", "0.2500", "3.100\N{DAGGER}", "**8.000**", "0.1000\N{DAGGER}"],
        ["Oracle", "0.5000", "0.2500", "-", "-", "-"],
    ]
    assert len({len(line) for line in lines[2:]}) == 1  # the raw text is aligned


def test_csv_has_full_precision_and_one_number_per_line(make_run):
    run = make_run(("a",), ("cnn",))
    run.write_metrics("a", "cnn", "a", l2=0.0123)
    values = ("l2,0.5", "l1,0.25", "cross_entropy,3.0", "weighted_cross_entropy,9.0", "accuracy,0.125")
    assert table.to_csv(read(run)).splitlines() == [
        "source,target,model,metric,value,sd,paper,difference,mark",
        *(f"a,a,{name},{value},,,," for name in BASELINES[:3] for value in ("l2,0.5", "l1,0.25")),
        *(f"a,a,{name},{value},,,," for name in BASELINES[3:] for value in values),
        "a,a,cnn,l2,0.0123,,,,best",
        "a,a,cnn,l1,0.25,,,,",
        "a,a,cnn,cross_entropy,3.0,,,,",
        "a,a,cnn,weighted_cross_entropy,9.0,,,,",
        "a,a,cnn,accuracy,0.125,,,,",
        "a,a,oracle,l2,0.5,,,,",
        "a,a,oracle,l1,0.25,,,,",
    ]


def test_papers_numbers_and_differences_stand_beside_ours(make_run):
    run = make_run(("tiny_imagenet", "places365"), ("unet_weighted",))
    run.write_metrics("places365", "unet_weighted", "tiny_imagenet", l2=0.0151)
    rows = list(csv.DictReader(io.StringIO(table.to_csv(read(run)))))
    cell = [
        row
        for row in rows
        if (row["source"], row["target"], row["model"]) == ("places365", "tiny_imagenet", "unet_weighted")
    ]
    found = {row["metric"]: (row["value"], row["paper"], row["difference"]) for row in cell}
    assert found["l2"] == ("0.0151", "0.017", "-0.0019")
    assert found["cross_entropy"] == ("3.0", "15.383", "")  # not known to be the plain one
    assert found["weighted_cross_entropy"] == ("9.0", "", "")
    (rows,) = read(run).method_rows([("places365", "tiny_imagenet")])
    assert [row.title for row in rows] == [*TITLES, "Unet with Weights", "paper", "difference", "Oracle"]


def test_a_model_without_weights_has_a_difference_of_cross_entropies(make_run):
    run = make_run(("tiny_imagenet", "places365"), ("cnn", "cnn_weighted"))
    differences = [read(run).cells[Cell("places365", model, "places365")].differences() for model in run.models]
    assert differences[0]["cross_entropy"] == pytest.approx(3.0 - 2.917)
    assert set(differences[0]) - set(differences[1]) == {"cross_entropy"}


@pytest.mark.parametrize(("dataset", "is_explained"), [("places365", True), ("objects", False)])
def test_the_caption_explains_the_papers_numbers_where_they_are_shown(make_run, dataset, is_explained):
    found = read(make_run((dataset,), ("cnn_weighted",)))
    for text in (table.to_markdown(found), table.to_latex(found)):
        assert "Compare weighted cross entropies only within one pair" in text
        assert ("The paper does not say which cross entropy" in text) == is_explained


def test_other_data_sets_show_no_paper(make_run):
    (rows,) = read(make_run(("objects",), ("unet",))).method_rows([("objects", "objects")])
    assert [row.title for row in rows] == [*TITLES, "Unet", "Oracle"]


def test_a_quadrant_that_the_paper_lacks_has_empty_lines_beside_one_that_it_has(make_run):
    ours, others = read(make_run(("tiny_imagenet", "holidays"), ("cnn",))).method_rows(
        [("tiny_imagenet", "tiny_imagenet"), ("holidays", "holidays")]
    )
    assert [row.title for row in ours] == [row.title for row in others]
    assert [row.title for row in others] == [*TITLES, "CNN", "paper", "difference", "Oracle"]
    assert ours[len(TITLES) + 1].texts["l2"] == "0.016"
    assert {text for row in others[len(TITLES) + 1 : -1] for text in row.texts.values()} == {"-"}


@pytest.mark.parametrize("datasets", [("tiny_imagenet", "holidays"), ("tiny_imagenet", "places365", "holidays")])
def test_data_sets_of_the_paper_mix_with_others(make_run, datasets):
    found = read(make_run(datasets, ("regression", "cnn")))
    notes = 2 * sum(any(cell.paper for pair in band for cell in found.quadrant(*pair)) for band in found.bands())
    assert table.to_markdown(found).count("*paper*") == notes
    assert table.to_latex(found).count(r"\emph{paper}") == notes
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(table.to_rich(found, 200))
    lines = console.export_text().splitlines()
    values = {len(line.split()) for line in lines if line.strip().startswith("paper")}
    assert values <= {1 + 5, 1 + 10}  # each such line runs through every quadrant of its band
    assert sum(line.strip().startswith("paper") for line in lines) == notes


def test_papers_table_is_complete():
    paper = table.read_paper()
    assert len(paper) == 20
    cell = paper[Cell("tiny_imagenet", "cnn", "places365")]
    assert cell == {"l2": 0.013, "l1": 0.072, "cross_entropy": 3.195, "accuracy": 0.299}
    assert paper[Cell("places365", "cnn_weighted", "tiny_imagenet")]["cross_entropy"] == 25.243
    sums = {name: round(sum(values.get(name, 0) for values in paper.values()), 3) for name in labels.TABLE1_METRICS}
    assert sums == {  # added up by hand from the paper
        "l2": 0.286,
        "l1": 1.564,
        "cross_entropy": 141.327,
        "weighted_cross_entropy": 0,
        "accuracy": 4.465,
    }


def test_best_is_highest_accuracy_and_lowest_error(make_run):
    run = make_run(("a",), ("cnn", "unet", "unet_weighted"))
    run.write_metrics("a", "unet", "a", l2=0.1, accuracy=0.9)
    run.write_metrics("a", "unet_weighted", "a", l2=0.1, weighted_cross_entropy=5.0)
    found = read(run)
    assert found.best("a", "a", "l2") == {"unet", "unet_weighted"}
    assert found.best("a", "a", "accuracy") == {"unet"}
    assert found.best("a", "a", "weighted_cross_entropy") == {"unet_weighted"}


def test_no_model_is_best_that_is_not_better_than_each_baseline(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    run.write_metrics("a", "gray", "a", l2=0.1, accuracy=0.9)
    run.write_metrics("a", "unet", "a", l2=0.2, accuracy=0.9)
    found = read(run)
    assert found.best("a", "a", "l2") == set()
    assert found.best("a", "a", "accuracy") == set()  # as good as a baseline
    assert found.worse("a", "a", "l2") == {"cnn", "unet"}
    assert found.worse("a", "a", "accuracy") == {"cnn"}
    assert found.worse("a", "a", "cross_entropy") == set()


def test_the_caption_names_the_data_sets_with_few_groups(make_run):
    run = make_run(("my_photos", "b"), ("cnn",), images=40)
    for source in run.datasets:
        for model in (*BASELINES, "cnn"):  # the first one has the groups
            run.write_per_image(source, model, "b", group=np.array([str(i) for i in range(40)]))
    found = read(run)
    assert found.num_groups == {"my_photos": 8, "b": 40}
    assert "Few groups of test images (8 for my_photos): with fewer than 30," in found.caption
    assert r"(8 for my\_photos)" in table.to_markdown(found) and r"(8 for my\_photos)" in table.to_latex(found)


def test_with_many_groups_the_caption_says_nothing_of_them(make_run):
    run = make_run(("a",), ("cnn",), images=40)
    run.write_per_image("a", "gray", "a", group=np.array([str(i) for i in range(40)]))
    assert "ew groups" not in read(run).caption


def test_the_terminal_leaves_out_some_baselines_which_still_cause_marks(make_run):
    run = make_run(("a",), ("cnn",))
    run.write_metrics("a", "median_ab", "a", l2=0.1)
    run.write_metrics("a", "cnn", "a", l1=0.2)
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(table.to_rich(read(run), 120))
    text = console.export_text()
    shown = [title for title in (*TITLES, "CNN", "Oracle") if f"\n {title} " in f"\n {text}".replace("\n", "\n ")]
    assert shown == ["Gray", "Constant Prior", "p(ab | L)", "CNN", "Oracle"]
    assert "0.5000\N{DAGGER}" in text and "\N{DAGGER}: worse than a baseline" in text


def test_csv_has_the_marks(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    run.write_metrics("a", "cnn", "a", l2=0.1, accuracy=0.05)
    rows = csv.DictReader(io.StringIO(table.to_csv(read(run))))
    found = {(row["model"], row["metric"]): row["mark"] for row in rows if row["mark"]}
    assert found == {("cnn", "l2"): "best", ("cnn", "accuracy"): "worse"}


def test_latex_is_balanced_and_escaped(make_run):
    run = make_run(("a", "b"), ("cnn", "unet"))
    run.write_metrics("a", "cnn", "b", l2=0.3)
    run.write_metrics("a", "unet", "b", l2=0.9)
    text = table.to_latex(read(run))
    assert r"\textbf{0.3000}" in text and r"0.9000\rlap{$^\dagger$}" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 3
    rows = [line for line in text.splitlines() if line.startswith(("CNN", "Method", "Gray"))]
    assert len(rows) == 6
    assert {line.count("&") for line in rows} == {10}
    assert table.escape_latex(r"50% & a_b\c") == r"50\% \& a\_b\textbackslash{}c"


@pytest.mark.parametrize("width", [120, 80])
def test_terminal_table_fits(make_run, width):
    run = make_run(("tiny_imagenet", "places365"))
    run.write_metrics("places365", "cnn", "tiny_imagenet", cross_entropy=23.669)  # difference +20.000
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table.to_rich(read(run), width))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    assert sum("CNN with Weights" in line for line in lines) == (2 if width == 120 else 4)


@pytest.mark.parametrize(("model", "stage"), [("cnn", "evaluate@objects-cnn-0"), ("gray", "baseline@objects")])
def test_missing_cell_names_the_file_and_the_stage(make_run, model, stage):
    run = make_run()
    path = run.folders.evaluation(Run("objects", model, 0 if model == "cnn" else None), "scenes") / "details.json"
    path.unlink()
    with pytest.raises(DataError) as error:
        read(run)
    assert str(error.value) == f"{path} is missing: run `dvc repro {stage}`"


@pytest.mark.parametrize("text", ["{", "[]", '{"measures": {"l2": 1.0}}'])
def test_damaged_cell_is_refused_by_name(make_run, text):
    run = make_run(("a",), ("cnn",))
    (run.folders.evaluation(Run("a", "cnn", 0), "a") / "details.json").write_text(text)
    with pytest.raises(DataError, match=r"a-cnn-0/a/details\.json.*verify --repair .* && dvc repro evaluate@a-cnn-0"):
        read(run)
