"""What the sections of the page say. tests/product/test_page.py tests them in a browser."""

import itertools
import json

import pytest

from colorize.layout import Run
from colorize.report import page
from colorize.report.evidence import gather
from colorize.report.page import curves, matrix, overview, sheet, table
from tests.report.conftest import MODELS


def evidence_of(run):
    return gather(run.inputs)


@pytest.mark.parametrize(
    ("datasets", "models", "seeds"),
    [(("a",), ("regression",), (0,)), (("a", "b", "c"), ("unet",), (0, 1)), (("places365",), MODELS, (3,))],
)
def test_every_run_has_a_page(make_run, datasets, models, seeds):
    html = page.render(evidence_of(make_run(datasets, models, seeds))).decode()
    assert ('id="calibration"' in html) == (models != ("regression",))  # a regression has no probabilities
    assert all(f'id="{name}"' in html for name in ("overview", "table", "claims", "matrix", "gallery", "sheet"))


def test_the_overview_says_that_no_model_beats_the_baselines(make_run):
    (l2, _) = overview.build(evidence_of(make_run(("a",), ("cnn",)))).values["winners"]
    assert not l2["is_winner"] and l2["dataset"] == "a"


def test_the_overview_says_whether_the_best_model_is_certain(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    run.write_metrics("a", "unet", "a", l2=0.25)
    (l2, _) = overview.build(evidence_of(run)).values["winners"]
    assert (l2["model"], l2["is_winner"], l2["is_certain"]) == ("Unet", True, True)
    run.write_metrics("a", "cnn", "a", l2=0.25)
    assert not overview.build(evidence_of(run)).values["winners"][0]["is_certain"]


def test_table_1_shows_the_marks_of_the_ranking(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    run.write_metrics("a", "unet", "a", l2=0.25)
    run.write_metrics("a", "cnn", "a", l2=0.75)
    rows = {row["title"]: row["cells"][0] for row in table.build(evidence_of(run)).values["quadrants"][0]["rows"]}
    assert (rows["Unet"]["is_best"], rows["Unet"]["is_worse"]) == (True, False)
    assert (rows["CNN"]["is_best"], rows["CNN"]["is_worse"]) == (False, True)


def test_the_overview_counts_a_union_and_its_members_as_own_data(make_run):
    run = make_run(("a", "b", "both"), ("cnn",))
    run.unions = {"both": ("a", "b")}
    for source, target in itertools.product(run.datasets, run.datasets):
        run.write_metrics(source, "cnn", target, l2=0.9)  # worse than the baselines
    (model,) = overview.build(evidence_of(run)).values["failures"]
    others = {(place["source"], place["target"]) for place in model["places"] if not place["is_own"]}
    own = {(place["source"], place["target"]) for place in model["places"] if place["is_own"]}
    assert others == {("a", "b"), ("b", "a")}
    assert {("a", "a"), ("a", "both"), ("both", "b")} < own


def test_the_overview_says_what_class_weights_change(make_run):
    run = make_run(("a",), ("cnn", "cnn_weighted"))
    run.write_metrics("a", "cnn_weighted", "a", colorfulness=50.0, l2=0.75)
    run.write_per_image("a", "cnn_weighted", "a", colorfulness=50 + 2 * run.noise, l2=0.75 + 2 * run.noise)
    (found,) = overview.build(evidence_of(run)).values["weights"]
    assert (found["color"], found["cost"]) == ("more colorful than", "higher")
    assert found["color_text"].startswith("+20.0 [")


def test_the_overview_names_where_a_model_is_worse_than_a_baseline(make_run):
    run = make_run(("a", "b"), ("cnn",))
    run.write_metrics("a", "cnn", "b", l2=0.75)
    (found,) = overview.build(evidence_of(run)).values["failures"]
    (place,) = [place for place in found["places"] if "L2" in place["measures"].split(", ")]
    assert (place["source"], place["target"], place["is_own"]) == ("a", "b", False)


def test_table_1_has_the_papers_numbers_and_the_differences(make_run):
    run = make_run(("places365",), ("cnn",))
    rows = table.build(evidence_of(run)).values["quadrants"][0]["rows"]
    cnn = next(row for row in rows if row["title"] == "CNN")
    assert cnn["cells"][0]["paper"] and cnn["cells"][0]["difference"][0] in "+\N{MINUS SIGN}"
    assert cnn["cells"][0]["limits"].startswith("[0.4")


def test_the_matrix_has_every_measure_of_every_pair(make_run):
    data = matrix.build(evidence_of(make_run(("a", "b"), ("cnn",)))).data
    assert [name for name, *_ in data["measures"]][:2] == ["l2", "l1"]
    assert data["pairs"] == [["a", "a"], ["b", "b"], ["a", "b"], ["b", "a"]]
    assert [cell[1] for cell in data["values"]["l2"]["mean"][0]] == ["0.5000"] * 4
    assert data["values"]["accuracy"]["mode"][1] == [None] * 4  # gray predicts no distribution


def test_curves_have_mean_and_range_over_the_seeds(make_run):
    run = make_run(("a",), ("cnn",), seeds=(0, 1))
    text = run.folders.history(Run("a", "cnn", 1)) / "history.csv"
    text.write_text(text.read_text().replace("10,1.5,1.75,", "10,1.5,1.25,"))
    (found,) = curves.build(evidence_of(run)).data["curves"][0]
    assert found["steps"] == [0, 10]
    assert found["val_loss"][1] == [1.5, 1.25, 1.75]
    assert found["best"] == [10, 10]


def test_the_data_sheet_names_what_differs_from_the_paper(make_run):
    run = make_run(("a",), ("cnn",))
    path = run.folder("a", "cnn", "a") / "details.json"
    model = {"parameters": {"train": {"lr": 0.1, "beta1": 0.9}}, "size": 64, "weights_sha256": "f" * 64}
    evaluated = {"model": model, "code": "c" * 64, "test_manifest_sha256": "d" * 64}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"evaluated": evaluated}))
    values = sheet.build(evidence_of(run)).values
    assert {one["name"]: one["differs"] for one in values["parameters"]} == {
        "size": False, "train.lr": True, "train.beta1": False,
    }  # fmt: skip
    assert values["runs"][0]["weights"] == "f" * 64 and values["data"][0]["hashes"]["test"] == "d" * 64
    assert [name for name, *_ in values["packages"]] == ["uPlot", "sortable-tablesort"]


def test_a_sheet_of_an_older_evaluation_says_that_nothing_is_recorded(make_run):
    html = page.render(evidence_of(make_run(("a",), ("cnn",)))).decode()
    assert "not recorded" in html.partition('id="sheet"')[2]
