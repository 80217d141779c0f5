"""The sections with charts: what their data and tables contain. tests/product/test_page.py tests them in a browser."""

import dataclasses

import numpy as np
import pytest

from colorize.report import page
from colorize.report.evidence import gather
from colorize.report.page import calibration, curves, prior, tradeoff
from tests.report.conftest import HISTORY_HEADER

REST = "0.2,,2.25,4.5,0.75,2.5,6.0,1.25"


def html_of(section) -> str:
    return page.assemble([section], "title")


def write_losses(run, model: str, seed: int, *losses: float) -> None:
    """A history of a classifier with these validation losses, 10 steps apart."""
    rows = [f"{10 * n},{1.5 if n else ''},{loss},0.1,0.02,{REST}" for n, loss in enumerate(losses)]
    run.write_history("a", model, seed, "\n".join([HISTORY_HEADER, *rows]) + "\n")


@pytest.fixture
def two_seeds(make_run):
    """A run whose seeds have different validation losses; each has its lowest one twice or at another step."""
    run = make_run(("a",), ("cnn",), (0, 7))
    write_losses(run, "cnn", 0, 3.0, 2.0, 2.0)
    write_losses(run, "cnn", 7, 5.0, 4.0, 1.0)
    return run


def test_a_curve_is_the_mean_over_the_seeds_with_its_range(two_seeds):
    data = curves.build(gather(two_seeds.inputs)).data
    assert data["curves"][0][0]["val_loss"] == [[4, 3, 5], [3, 2, 4], [1.5, 1, 2]]
    assert data["curves"][0][0]["train_loss"][0] is None  # step 0 has no training loss


def test_the_best_step_is_the_first_one_with_the_lowest_validation_loss(two_seeds):
    section = curves.build(gather(two_seeds.inputs))
    assert section.data["curves"][0][0]["best"] == [10, 20]
    assert [(row["seed"], row["step"], row["last"]) for row in section.values["best"]] == [(0, 10, 20), (7, 20, 20)]
    assert section.values["best"][0]["values"] == ["2.500", "0.0200", "0.2000"]
    assert '<td class="number">10</td><td class="number">20</td><td class="number">2.500</td>' in html_of(section)


def test_only_quantities_that_a_model_has_can_be_chosen(make_run):
    quantities = dict(curves.build(gather(make_run(("a",), ("regression",)).inputs)).data["quantities"])
    assert "val_l2" in quantities
    assert not any("accuracy" in name or "entropy" in name for name in quantities)


def test_a_run_without_classifiers_has_no_section_on_calibration(make_run):
    assert calibration.build(gather(make_run(("a",), ("regression",)).inputs)) is None


def test_the_table_of_the_calibration_names_the_best_temperature(make_run):
    section = calibration.build(gather(make_run(("a",), ("cnn",)).inputs))
    [row] = section.values["rows"]
    assert (row["error"], row["likelihood"], row["temperature"], row["best_likelihood"]) == (
        "0.100",
        "2.500",
        "1.00",
        "2.500",
    )
    assert '<td class="number">0.100</td>' in html_of(section)


def test_the_reliability_has_the_share_of_the_pixels_in_each_interval(make_run):
    [[rows]] = calibration.build(gather(make_run(("a",), ("cnn",)).inputs)).data["reliability"]
    assert rows[0] == [0.0, 0.0667, None, 0.0]
    assert rows[14] == [0.9333, 1.0, 0.7, round(14 / 105, 4)]
    assert sum(row[3] for row in rows) == pytest.approx(1, abs=1e-3)


def points_of(run, model: int):
    return [one for one in tradeoff.build(gather(run.inputs)).data["plots"][0]["points"] if one["model"] == model]


def test_a_point_has_its_value_and_the_limits_of_its_interval(make_run):
    run = make_run(("a",), ("regression",))
    [point] = points_of(run, 0)
    value, text, low, high = point["l2"]
    assert value == 0.5 and low < 0.5 < high
    assert text == f"0.5000 [{low:.4f}, {high:.4f}]"


def test_a_value_that_is_not_finite_is_left_out(make_run):
    run = make_run(("a",), ("regression", "cnn"))
    run.write_metrics("a", "regression", "a", psnr=20.0)
    run.write_per_image("a", "regression", "a", psnr=np.full(run.images, np.inf, dtype=np.float32))
    run.write_metrics("a", "cnn", "a", psnr=20.0)
    assert "psnr" not in points_of(run, 0)[0]
    assert points_of(run, 1)[0]["psnr"][0] == 20


def test_the_line_of_the_true_colorfulness_is_that_of_the_test_images(make_run):
    run = make_run(("a", "b"), ("cnn",))
    for source in run.datasets:
        run.write_metrics(source, "cnn", "a", true_colorfulness=41.25)
        run.write_metrics(source, "cnn", "b", true_colorfulness=12.5)
    data = tradeoff.build(gather(run.inputs)).data
    truths = {pair: plot["truth"] for pair, plot in zip(data["pairs"], data["plots"], strict=True)}
    assert truths == {"a → a": 41.25, "a → b": 12.5, "b → a": 41.25, "b → b": 12.5}


def test_without_colorfulness_there_is_no_trade_off(make_run):
    evidence = gather(make_run(("a",), ("cnn",)).inputs)
    rest = [line for line in evidence.measures if line.measure != "colorfulness"]
    assert tradeoff.build(dataclasses.replace(evidence, measures=rest)) is None


def test_the_most_frequent_bins_are_in_a_table(make_run):
    section = prior.build(gather(make_run(("a",), ("cnn",)).inputs))
    [(title, near_gray, rows)] = section.values["tables"]
    assert title == "a" and near_gray == "100" and len(rows) == 9
    assert rows[0] == {"a": "0", "b": "0", "share": "92.0", "sum": "92.0", "weight": "0.5"}
    assert rows[-1]["sum"] == "100.0"
    assert '<td class="number">92.0</td>' in html_of(section)
    assert section.data["values"][0][4] == [0.92, 0.5]


def test_the_share_near_gray_counts_bins_up_to_20_units_away(make_run):
    run = make_run(("a",), ("cnn",))
    lines = ["a,b,red,green,blue,prior,weight"]
    lines += [f"{a},{b},128,128,128,{p},1" for a, b, p in ((0, 0, 0.4), (0, -20, 0.2), (20, 10, 0.3), (30, 0, 0.1))]
    (run.folders.prior("a") / "bins.csv").write_text("\n".join(lines) + "\n")
    section = prior.build(gather(run.inputs))
    assert section.values["tables"][0][1] == "60"
    assert "at most 20 units away from it: <bdi>a</bdi> 60 %." in html_of(section)
