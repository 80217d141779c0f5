"""results/measures.csv: every measure of every cell, with its interval over groups."""

import csv
import io

import numpy as np
import pytest

from colorize.layout import BASELINES
from colorize.report import measures
from colorize.report.intervals import Groups, compare
from colorize.runtime import DataError


def rows_of(run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(measures.to_csv(run.inputs))))


def test_every_cell_has_every_measure_of_its_model(make_run):
    run = make_run(("a", "b"), ("cnn",))
    run.write_per_image("a", "cnn", "b", extra=np.ones(12, np.float32))
    rows = rows_of(run)
    models = len(BASELINES) + 1
    assert len(rows) == 2 * 2 * models * 3 + 1  # sources, targets, models, measures; the extra one
    assert [row["model"] for row in rows if row["measure"] == "extra"] == ["cnn"]


def test_value_and_limits_are_those_of_the_intervals_over_groups(make_run):
    run = make_run(("a",), ("cnn",))
    every = np.arange(12)
    groups = Groups(np.where(every < 4, -1, every % 4))  # four single images and four groups
    (row,) = (row for row in rows_of(run) if (row["model"], row["measure"]) == ("cnn", "l2"))
    expected = compare(groups, {"cnn": (every / 100).astype(np.float32).astype(float)}).means["cnn"]
    assert row["groups"] == "8"
    assert [float(row[name]) for name in ("value", "low", "high")] == pytest.approx(
        [expected.value, expected.low, expected.high], abs=1e-5
    )
    assert expected.low < expected.value < expected.high


def test_a_measure_with_a_weight_is_the_ratio_of_the_sums(make_run):
    run = make_run(("a",), ("cnn",))
    every = np.arange(12)
    weight = 1 + every % 3
    (row,) = (row for row in rows_of(run) if (row["model"], row["measure"]) == ("cnn", "weighted"))
    assert float(row["value"]) == pytest.approx((weight * every / 10).sum() / weight.sum(), abs=1e-5)


def test_a_value_that_its_groups_do_not_bound_has_no_limits(make_run):
    run = make_run(("a",), ("cnn",))
    for model in (*BASELINES, "cnn"):
        run.write_per_image("a", model, "a", group=np.array(["one"] * 12))
    row = next(row for row in rows_of(run) if row["measure"] == "l2")
    assert row["groups"] == "1" and row["value"] and row["high"] == ""


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"group": None}, "`group` is missing"),
        ({"l2": np.ones(3, np.float32)}, "`l2` is float32 of shape"),
        ({"group": np.arange(12)}, "`group` is int64"),
        ({"weight": None}, "`weights` in details.json does not name its measures"),
    ],
)
def test_a_damaged_file_is_one_line_with_the_remedy(make_run, arrays, words):
    run = make_run(("a",), ("cnn",))
    run.write_per_image("a", "cnn", "a", **arrays)
    with pytest.raises(DataError) as caught:
        rows_of(run)
    message = str(caught.value)
    assert words in message and "evaluate@a-cnn-0" in message and "\n" not in message


def test_a_missing_file_names_its_stage(make_run):
    run = make_run(("a",), ("cnn",))
    next(run.root.glob("data/evaluations/a-gray/a/per_image.npz")).unlink()
    with pytest.raises(DataError, match=r"per_image\.npz is missing: run `dvc repro baseline@a`"):
        rows_of(run)
