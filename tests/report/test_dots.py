"""Table 1 as a dot plot: the numbers and intervals are those of Table 1."""

import numpy as np
import pytest
from matplotlib.axes import Axes

from colorize.layout import Cell
from colorize.report import dots, table
from colorize.report.measures import Method


def intervals_in(axes: Axes) -> dict[int, list[float]]:
    """The limits of the interval of each row that has one."""
    lines = [line for line in axes.lines if line.get_marker() == "None" and len({*line.get_ydata()}) == 1]
    return {int(line.get_ydata()[0]): list(line.get_xdata()) for line in lines}


def markers_in(axes: Axes) -> dict[int, list[tuple[float, bool]]]:
    """The value of each marker of a row, and whether the marker is filled."""
    found: dict[int, list[tuple[float, bool]]] = {}
    for line in axes.lines:
        if line.get_marker() != "None":
            filled = line.get_markerfacecolor() != "white"
            found.setdefault(int(line.get_ydata()[0]), []).append((line.get_xdata()[0], filled))
    return found


@pytest.fixture
def run(make_run):
    """Two groups of models: the CNN is the best, the regression is worse than the median."""
    run = make_run(("a", "places365"), ("regression", "cnn"))
    run.write_metrics("a", "median_ab", "a", l2=0.4)
    run.write_metrics("a", "cnn", "a", l2=0.2)
    return run


def test_rows_have_the_values_intervals_and_marks_of_table_1(run):
    found = table.read_table(run.inputs)
    axes = dots.plot_table(found).axes[0]
    ranking = found.rankings["a", "a", "l2"]
    methods = [Method("regression", ""), Method("cnn", "mode"), Method("median_ab", "")]
    assert ranking.baseline == methods[-1]
    assert markers_in(axes) == {
        0: [(pytest.approx(0.5), False)], 1: [(pytest.approx(0.2), True)], 2: [(pytest.approx(0.4), True)],
    }  # fmt: skip
    limits = [[ranking.intervals[method].low, ranking.intervals[method].high] for method in methods]
    assert np.ptp(limits, axis=1).min() > 0
    assert [intervals_in(axes)[row] for row in range(3)] == limits
    assert axes.get_xlabel() == "Median ab"


def test_a_panel_per_measure_and_data_set_and_no_point_where_a_model_has_no_measure(run):
    figure = dots.plot_table(table.read_table(run.inputs))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:4] == ["a\nL2 (lower is better)", "places365\nL2", "L1 (lower is better)", "L1"]
    assert titles[-2:] == ["Accuracy (higher is better)", "Accuracy"]
    assert set(markers_in(figure.axes[-2])) == {1, 2}  # a regression has no accuracy
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["Baseline Regression", "CNN", "best baseline"]


def test_the_papers_numbers_are_only_shown_for_its_data_sets_and_measures(make_run):
    found = table.read_table(make_run(("a", "places365"), ("cnn", "cnn_weighted")).inputs)
    figure = dots.plot_table(found)
    of_paper = {
        (metric, dataset): [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "|"]
        for axes, (metric, dataset) in zip(
            figure.axes, ((metric, name) for metric in found.metrics for name in found.datasets), strict=True
        )
    }
    paper = found.cells[Cell("places365", "cnn", "places365")].paper
    assert {key for key, values in of_paper.items() if values} == {(name, "places365") for name in paper}
    assert of_paper["cross_entropy", "places365"] == [paper["cross_entropy"]]  # not that of the model with weights
    assert "the paper's number" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_limits_that_the_groups_do_not_bound_are_not_drawn(make_run):
    run = make_run(("a",), ("cnn",))
    for model in ("gray", "mean_ab", "median_ab", "prior", "target_prior", "lightness", "cnn"):
        run.write_per_image("a", model, "a", group=np.array(["one"] * 12))
    axes = dots.plot_table(table.read_table(run.inputs)).axes[0]
    assert set(markers_in(axes)) == {0, 1} and intervals_in(axes) == {}
