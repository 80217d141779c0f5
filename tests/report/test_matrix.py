"""The matrix of trainings and test sets: numbers and marks of Table 1, and names of rows and columns."""

import numpy as np

from colorize.report import matrix, table

DAGGER = "\N{DAGGER}"


def test_numbers_and_marks_are_those_of_table_1(make_run):
    run = make_run(("a", "b"), ("regression", "cnn"))
    run.write_metrics("a", "cnn", "b", l2=0.3)
    run.write_metrics("b", "regression", "a", l2=0.7)
    l2, cross_entropy = matrix.plot_matrix(table.read_table(run.inputs)).axes
    shown = [{text.get_position(): text.get_text() for text in axes.texts} for axes in (l2, cross_entropy)]
    assert shown[0] | {(1, 1): "0.3000*", (0, 2): f"0.7000{DAGGER}"} == shown[0]
    assert shown[0][0, 0] == "0.5000"
    assert [shown[1][0, row] for row in range(4)] == ["-", "3.000", "-", "3.000"]
    values = l2.images[0].get_array()
    assert values.shape == (4, 2) and (values[1, 1], values[2, 0]) == (0.3, 0.7)
    assert np.isnan(np.ma.filled(cross_entropy.images[0].get_array(), np.nan)).sum() == 4


def test_rows_and_columns_are_named_and_the_own_data_set_has_a_frame(make_run):
    run = make_run(("objects", "scenes"), ("cnn", "unet"))
    axes = matrix.plot_matrix(table.read_table(run.inputs)).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Objects", "Scenes"]
    assert [text.get_text() for text in axes.get_yticklabels()] == 2 * ["CNN", "Unet"]
    sources = [text for text in axes.texts if text.get_text().startswith("trained on")]
    assert [(text.get_text(), text.xy[1]) for text in sources] == [
        ("trained on\nObjects", 0.5),
        ("trained on\nScenes", 2.5),
    ]
    frames = [(patch.get_xy(), patch.get_width(), patch.get_height()) for patch in axes.patches]
    assert frames == [((-0.5, -0.5), 1, 2), ((0.5, 1.5), 1, 2)]
