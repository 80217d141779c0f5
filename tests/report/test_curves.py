"""Training curves: the CSV, the appendix's figure and the template of DVC's plots."""

import csv
import io
import json
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from colorize.layout import Run
from colorize.report import curves, inputs, labels
from colorize.runtime import DataError
from colorize.training import history
from tests.report.conftest import HISTORY_HEADER

TEMPLATE = Path(__file__).parents[2] / "stages" / "plots" / "curves.json"


def rendered(text: str, y: str) -> dict:
    """The template as filled by DVC's own classes with two revisions."""
    from dvc.render.converter.vega import VegaConverter
    from dvc_render import VegaRenderer

    points = []
    for revision in ("HEAD", "workspace"):
        rows = list(csv.DictReader(io.StringIO(text)))
        properties = {"x": "step", "y": {"results/curves.csv": y}, "template": str(TEMPLATE), "title": "curves"}
        found, filled = VegaConverter("curves", {"results/curves.csv": rows}, properties).flat_datapoints(revision)
        points += found
    return VegaRenderer(points, "curves", **filled).get_filled_template()


def test_csv_is_exact(make_run):
    assert curves.to_csv(make_run(("a",), ("regression", "cnn")).inputs).splitlines() == [
        f"run,dataset,model,seed,{HISTORY_HEADER}",
        "a-regression-0,a,regression,0,0,,2.5,0.1,0.02,,0.01,,,,,,",
        "a-regression-0,a,regression,0,10,1.5,1.75,0.1,0.02,,0.01,,,,,,",
        "a-cnn-0,a,cnn,0,0,,2.5,0.1,0.02,0.2,,2.25,4.5,0.75,2.5,6.0,1.25",
        "a-cnn-0,a,cnn,0,10,1.5,1.75,0.1,0.02,0.2,,2.25,4.5,0.75,2.5,6.0,1.25",
    ]


def test_each_kind_of_loss_has_a_panel_per_data_set(make_run):
    figure = curves.plot_curves(make_run().inputs)
    titles = [axes.get_title(loc="left").replace("\n", " ") for axes in figure.axes]
    assert titles == [*labels.PANELS.values(), "", "", ""]
    assert [axes.get_ylabel() for axes in figure.axes] == ["Objects", "", "", "Scenes", "", ""]
    assert [len(axes.lines) for axes in figure.axes] == 2 * [4, 4, 2]  # models, each training and validation
    solid, dashed = figure.axes[0].lines[:2]
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")


def test_both_lines_of_a_model_show_the_same_measure_of_fixed_images(make_run):
    figure = curves.plot_curves(make_run(("a",)).inputs)
    shown = [[line.get_ydata()[0] for line in axes.lines[:2]] for axes in figure.axes]
    assert shown == [[2.25, 2.5], [4.5 / 0.75, 6.0 / 1.25], [0.01, 0.02]]
    (legend,) = figure.legends
    assert "in evaluation mode" in legend.get_title().get_text()


def test_several_seeds_are_their_mean_and_a_band_over_the_steps_that_all_have(make_run):
    run = make_run(("a",), ("regression",), seeds=(0, 1, 2))
    for seed, loss in ((0, 0.1), (1, 0.2), (2, 0.6)):
        rows = [HISTORY_HEADER, f"0,,2.5,0.1,{loss},,{loss / 2},,,,,,", "10,1,1,0.1,0.1,,0.1,,,,,,"]
        run.write_history("a", "regression", seed, "\n".join(rows + ["20,1,1,1,1,,1,,,,,,"] * (seed == 0)) + "\n")
    figure = curves.plot_curves(run.inputs)
    (axes,) = figure.axes
    train, val = axes.lines
    assert list(val.get_xdata()) == [0, 10]
    assert [line.get_ydata()[0] for line in (train, val)] == pytest.approx([0.15, 0.3])
    assert [(box.y0, box.y1) for band in axes.collections for box in [band.get_datalim(axes.transData)]] == [
        pytest.approx((0.05, 0.3)), pytest.approx((0.1, 0.6)),
    ]  # fmt: skip
    assert "mean and range over 3 seeds" in figure.legends[0].get_title().get_text()


def test_one_seed_has_no_band(make_run):
    figure = curves.plot_curves(make_run(("a",), ("cnn",)).inputs)
    assert not figure.axes[0].collections and "seeds" not in figure.legends[0].get_title().get_text()


def test_no_legend_lies_on_the_curves(make_run):
    figure = curves.plot_curves(make_run().inputs)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (legend,) = figure.legends
    top = legend.get_window_extent(canvas.get_renderer()).y1
    assert all(axes.get_tightbbox(canvas.get_renderer()).y0 > top for axes in figure.axes)


def test_the_report_reads_the_columns_that_training_writes():
    assert inputs.HISTORY_COLUMNS == history.COLUMNS


def test_history_without_a_column_is_refused(make_run):
    run = make_run(("a",), ("cnn",))
    (run.folders.history(Run("a", "cnn", 0)) / "history.csv").write_text("step,train_loss\n")
    with pytest.raises(
        DataError,
        match=r"`val_loss` is missing; run `.*verify --repair .* && dvc repro train@a-cnn-0`",
    ):
        curves.to_csv(run.inputs)


def test_missing_history_names_the_stage(make_run):
    run = make_run(("a",), ("cnn",))
    (run.folders.history(Run("a", "cnn", 0)) / "history.csv").unlink()
    with pytest.raises(DataError, match=r"history\.csv is missing: run `dvc repro train@a-cnn-0`"):
        curves.to_csv(run.inputs)


def test_dvc_fills_the_template_completely(make_run):
    spec = rendered(curves.to_csv(make_run().inputs), "val_loss")
    assert "<DVC_METRIC" not in json.dumps(spec)
    assert len(spec["data"]["values"]) == 2 * 10 * 2  # revisions, runs, steps
    assert {"run", "rev", "model", "step", "val_loss"} <= spec["data"]["values"][0].keys()


def test_template_colors_by_data_set_and_model_dashes_by_revision_and_draws_a_line_per_seed(make_run):
    filled = rendered(curves.to_csv(make_run(seeds=(0, 1)).inputs), "val_accuracy")
    assert {"calculate": "datum.dataset + '-' + datum.model", "as": "name"} in filled["transform"]
    assert {row["run"] for row in filled["data"]["values"]} > {"objects-unet-0", "objects-unet-1"}
    spec = filled["spec"]
    assert spec["encoding"]["color"]["field"] == "name"
    assert spec["encoding"]["y"]["field"] == "val_accuracy"
    assert spec["layer"][0]["encoding"]["strokeDash"]["field"] == "rev"
    assert spec["layer"][0]["encoding"]["detail"]["field"] == "run"
