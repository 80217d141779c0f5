"""Colorfulness against L2: a point for each decoding on the own data set."""

from colorize.report import decodings, tradeoff


def plot(run):
    return tradeoff.plot_tradeoff(run.inputs, decodings.read_decoded(run.inputs))


def points_in(axes) -> list[tuple[str, float, float]]:
    marks = [line for line in axes.lines if line.get_marker() != "None" and len(line.get_xdata()) == 1]
    return [(line.get_marker(), line.get_xdata()[0], line.get_ydata()[0]) for line in marks]


def test_every_decoding_is_a_point_and_the_truth_a_line(make_run):
    run = make_run(("objects", "b"), ("regression", "cnn"))
    run.write_metrics("objects", "cnn", "objects", l2=0.3, colorfulness=50.0, true_colorfulness=40.0)
    run.write_decoding("objects", "cnn", "objects", "mean", l2=0.2, colorfulness=20.0)
    run.write_metrics("objects", "gray", "objects", l2=0.6, colorfulness=0.0)
    run.write_metrics("b", "cnn", "objects", l2=0.9, colorfulness=99.0)  # of another training
    objects, other = plot(run).axes
    assert objects.get_title(loc="left") == "Objects"
    points = points_in(objects)
    assert {("s", 50.0, 0.3), ("^", 20.0, 0.2), ("x", 0.0, 0.6), ("D", 30.0, 0.5)} <= {*points}
    assert not [point for point in points if point[1] == 99]
    assert [list(line.get_xdata()) for line in objects.lines].count([40, 40]) == 1
    assert not [line for line in other.lines if list(line.get_xdata()) == [40, 40]]  # its truth is not known


def test_a_decoding_without_a_colorfulness_has_no_point(make_run):
    axes = plot(make_run(("a",), ("cnn",))).axes[0]
    assert {marker for marker, _, _ in points_in(axes)} == {"x", "+", "2", "s"}


def test_four_data_sets_take_two_rows(make_run):
    figure = plot(make_run(("a", "b", "c", "d"), ("regression",)))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b", "c", "d", "", ""]
    assert not figure.axes[-1].axison
