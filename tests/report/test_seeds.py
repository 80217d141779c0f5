"""Several seeds: means and standard deviations, which models are shown, and results that params.yaml does not name."""

import csv
import io
import json
import shutil

import numpy as np
import pytest

from colorize import report
from colorize.layout import Cell, Run
from colorize.report import curves, figures, gallery, measures, table
from colorize.report.seeds import over_seeds
from colorize.runtime import DataError

pytestmark = pytest.mark.usefixtures("without_plots")

CELL = Cell("a", "cnn", "a")


@pytest.fixture
def three(make_run):
    """One data set and model with three seeds, whose L2 is 0.1, 0.2 and 0.6."""
    run = make_run(("a",), ("cnn",), seeds=(0, 5, 7))
    for seed, l2 in zip(run.seeds, (0.1, 0.2, 0.6), strict=True):
        run.write_metrics("a", "cnn", "a", seed, l2=l2)
    return run


def test_the_mean_of_one_value_is_the_value_and_has_no_deviation():
    assert over_seeds([0.12345]) == (0.12345, None)


def test_the_deviation_divides_by_one_less_than_the_number_of_seeds():
    assert over_seeds([1.0, 2.0, 6.0]) == (3.0, 2.64575)  # sqrt((4 + 1 + 9) / 2)


def test_values_are_those_of_each_seed_and_a_baseline_has_a_single_one(three):
    assert three.inputs.values_by_seed(CELL)["l2"] == [0.1, 0.2, 0.6]
    assert three.inputs.values_by_seed(Cell("a", "gray", "a"))["l2"] == [0.5]


def test_seeds_with_other_measures_are_refused(three, expect_one_line):
    three.write_metrics("a", "cnn", "a", 7, new_measure=1.0)
    with expect_one_line(DataError, "a-cnn-7/a", "its measures differ from those of seed 0", "evaluate@a-cnn-7"):
        three.inputs.values_by_seed(CELL)


def test_table_1_shows_mean_and_deviation_and_its_caption_explains_them(three):
    found = table.read_table(three.inputs)
    markdown, latex = table.to_markdown(found), table.to_latex(found)
    assert "**0.3000 ± 0.2646**" in markdown and r"\textbf{0.3000 $\pm$ 0.2646}" in latex
    assert "| Gray                | 0.5000 " in markdown  # a baseline has no seed
    assert "3 random seeds" in markdown and "±" not in latex and "after $\\pm$ is" in latex
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(table.to_csv(found))) if row["metric"] == "l2"}
    assert (rows["cnn"]["value"], rows["cnn"]["sd"], rows["gray"]["sd"]) == ("0.3", "0.26458", "")


def test_with_one_seed_the_table_says_nothing_of_seeds(make_run):
    text = table.to_markdown(table.read_table(make_run(("a",), ("cnn",)).inputs))
    assert "±" not in text and "was trained with" not in text


def test_metrics_are_the_means_of_the_measures_of_table_1(three):
    stale = three.root / "results/metrics/old-cnn/a.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    for seed in three.seeds:
        three.write_metrics("a", "cnn", "a", seed, psnr=20.0, l1=0.1 + seed / 100)
    report.write_report(three.settings, three.root)
    found = json.loads((three.root / "results/metrics/a-cnn/a.json").read_text())
    assert found == {"l2": 0.5, "l1": 0.14, "cross_entropy": 3.0, "weighted_cross_entropy": 9.0, "accuracy": 0.125}
    assert json.loads((three.root / "results/metrics/a-gray/a.json").read_text()) == {"l2": 0.5, "l1": 0.25}
    assert not stale.parent.exists()


def test_measures_csv_has_the_number_of_seeds_and_the_deviation(three):
    rows = csv.DictReader(io.StringIO(measures.to_csv(measures.lines(three.inputs))))
    found = {(row["model"], row["decoding"]): (row["seeds"], row["sd"]) for row in rows if row["measure"] == "l2"}
    assert found["cnn", "mode"] == ("3", "0.26458") and found["cnn", "mean"] == ("3", "0.00000")
    assert {found[key] for key in found if key[0] != "cnn"} == {("1", "")}


def test_measures_of_an_image_are_the_means_over_the_seeds(three):
    every = np.arange(12)
    for seed in three.seeds:
        three.write_per_image("a", "cnn", "a", seed, l2=(every + seed).astype(np.float32))
    found = three.inputs.per_image(CELL)
    np.testing.assert_allclose(found.measures["l2"], every + 4)
    np.testing.assert_allclose(found.measures["weight"], 1 + every % 3)
    assert found.measures["l2"].dtype == np.float32 and found.images.key.tolist() == (every * 10).tolist()


@pytest.mark.parametrize(
    "arrays",
    [
        {"weight": np.full(12, 2, np.float32)},
        {"key": np.arange(12)},
        {"group": np.array(["x"] * 12)},
        {"extra": np.ones(12, np.float32)},
    ],
)
def test_seeds_with_other_weights_images_groups_or_measures_have_no_mean(three, expect_one_line, arrays):
    three.write_per_image("a", "cnn", "a", 7, **arrays)
    with expect_one_line(DataError, "a-cnn-7/a", "differ from those of seed 0", "evaluate@a-cnn-7"):
        three.inputs.per_image(CELL)


def test_figures_and_gallery_show_the_first_seed_and_say_so(three):
    inputs = three.inputs
    three.write_predictions("a", "cnn", "a", 5, predicted=np.full((12, 8, 8, 3), 99, np.uint8))
    assert inputs.predictions(CELL).predicted.max() == 20  # of seed 0
    titles = [figures.same_domain(inputs, "a", 2), figures.worst(inputs, "a", ["cnn"], 2)]
    titles += [figures.named(inputs, CELL, [10])]
    assert [group.title for (group,) in titles] == [
        "Models trained with seed 0",
        "CNN, trained on a (seed 0)",
        "CNN trained on a, images of a (seed 0)",
    ]
    assert "those of seed 0." in gallery.render_gallery(inputs)["index.html"].decode()


def test_with_one_seed_figures_and_gallery_say_nothing_of_it(make_run):
    inputs = make_run(("a",), ("cnn",)).inputs
    (group,) = figures.worst(inputs, "a", ["cnn"], 2)
    assert group.title == "CNN, trained on a"
    assert b"seed" not in gallery.render_gallery(inputs)["index.html"]


def test_the_curves_of_each_seed_are_in_the_csv(three):
    rows = list(csv.DictReader(io.StringIO(curves.to_csv(three.inputs))))
    assert [(row["run"], row["seed"]) for row in rows[::2]] == [("a-cnn-0", "0"), ("a-cnn-5", "5"), ("a-cnn-7", "7")]


@pytest.mark.parametrize(
    "folder", ["evaluations/a-cnn-1", "evaluations/a-cnn-0/b", "evaluations/b-gray", "histories/a-unet-0"]
)
def test_results_that_params_yaml_does_not_name_are_refused(three, expect_one_line, folder):
    (three.root / "data" / folder / "pictures").mkdir(parents=True)
    with expect_one_line(DataError, f"params.yaml: {three.root / 'data' / folder}; run `dvc checkout`", "delete"):
        report.write_report(three.settings, three.root)
    shutil.rmtree(three.root / "data" / folder)
    report.write_report(three.settings, three.root)


def test_each_leftover_folder_is_named_once(three, expect_one_line):
    for name in ("evaluations/a-cnn-1/a", "evaluations/a-cnn-2/a", "histories/a-cnn-1/pictures"):
        (three.root / "data" / name).mkdir(parents=True)
    folders = [three.folders.evaluation(Run("a", "cnn", seed), "a").parent for seed in (1, 2)]
    folders.append(three.folders.history(Run("a", "cnn", 1)))
    with expect_one_line(DataError, f": {', '.join(map(str, folders))}; run"):
        report.write_report(three.settings, three.root)
