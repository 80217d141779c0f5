"""results/measures.csv: every measure of every cell, with its interval over groups."""

import csv
import io
import json

import numpy as np
import pytest

from colorize.layout import BASELINES, UNTRAINED
from colorize.report import measures
from colorize.report.intervals import Groups, compare
from colorize.report.labels import DECODINGS
from colorize.runtime import DataError


def rows_of(run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(measures.to_csv(measures.lines(run.inputs)))))


def test_every_cell_has_every_measure_of_its_model(make_run):
    run = make_run(("a", "b"), ("cnn",))
    run.write_per_image("a", "cnn", "b", extra=np.ones(12, np.float32))
    rows = rows_of(run)
    assert [(row["model"], row["decoding"]) for row in rows if row["measure"] == "extra"] == [("cnn", "mode")]
    of_pair = [row for row in rows if (row["source"], row["target"]) == ("a", "a")]
    names = ("accuracy", "l2", "weighted")
    found = {name: [row for row in of_pair if row["measure"] == name] for name in names}
    assert [row["model"] for row in found["accuracy"]] == ["prior", "target_prior", "lightness", "cnn"]
    assert [row["model"] for row in found["weighted"]] == [*UNTRAINED, "cnn"]
    assert [(row["model"], row["decoding"]) for row in found["l2"]] == [
        *((model, "") for model in ("gray", "mean_ab", "median_ab")),
        *((model, name) for model in ("prior", "target_prior", "lightness") for name in DECODINGS),
        ("oracle", ""),
        *(("cnn", name) for name in DECODINGS),
    ]


def test_each_decoding_has_its_own_values(make_run):
    run = make_run(("a",), ("cnn",))
    run.write_metrics("a", "cnn", "a", l2=0.4)
    run.write_decoding("a", "cnn", "a", "mean", l2=0.3)
    values = [row["value"] for row in rows_of(run) if (row["model"], row["measure"]) == ("cnn", "l2")]
    assert values == ["0.40000", "0.50000", "0.30000"]


@pytest.mark.parametrize("decoding", ["annealed_mean", "mean"])
def test_a_missing_decoding_names_its_stage(make_run, decoding):
    run = make_run(("a",), ("cnn",))
    (run.folder("a", "cnn", "a") / f"{decoding}.npz").unlink()
    with pytest.raises(DataError, match=rf"{decoding}\.npz is missing: run `dvc repro evaluate@a-cnn-0`"):
        rows_of(run)


def test_an_evaluation_without_decodings_is_refused(make_run, expect_one_line):
    run = make_run(("a",), ("cnn",))
    path = run.folder("a", "cnn", "a") / "details.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decodings": {}}))
    with expect_one_line(DataError, "expected `decodings.annealed_mean` with `l2` and `l1`", "evaluate@a-cnn-0"):
        rows_of(run)


def test_an_evaluation_of_other_images_is_refused(make_run, expect_one_line):
    run = make_run(("a",), ("cnn",))
    run.write_per_image("a", "cnn", "a", key=np.arange(12))
    with expect_one_line(DataError, "a-cnn and a-gray on a: their images differ"):
        rows_of(run)


def test_value_and_limits_are_those_of_the_intervals_over_groups(make_run):
    run = make_run(("a",), ("cnn",))
    every = np.arange(12)
    groups = Groups(np.where(every < 4, -1, every % 4))  # four single images and four groups
    run.write_per_image("a", "cnn", "a", l2=(every / 100).astype(np.float32))
    row = next(row for row in rows_of(run) if (row["model"], row["measure"]) == ("cnn", "l2"))  # of the mode
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


def test_only_the_named_measures_and_their_weights_are_kept(make_run):
    run = make_run(("a",), ("cnn",))
    found = measures.read_measured(run.inputs, "a", "a", ("l2", "weighted"))
    assert {*found.images[measures.Method("cnn", "mode")].measures} == {"l2", "weighted", "weight"}
    assert len({id(one.images) for one in found.images.values()}) == 1
