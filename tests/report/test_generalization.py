"""results/generalization.csv: 0 is as good as the model of the data set itself, 1 is as bad as the baseline."""

import csv
import io
import math

import numpy as np
import pytest

from colorize.report import generalization
from colorize.report.generalization import ratio_of
from colorize.report.intervals import Groups

GROUPS = Groups.single(24)


def csv_rows(run) -> list[dict[str, str]]:
    text = generalization.to_csv(generalization.generalizations(run.inputs))
    return list(csv.DictReader(io.StringIO(text)))


def noise(seed: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).normal(scale=0.01, size=24)


@pytest.mark.parametrize(("cross", "ratio"), [(2.0, 0.0), (2.5, 0.25), (4.0, 1.0), (5.0, 1.5)])
def test_the_ratio_goes_from_the_model_of_the_data_set_to_the_baseline(cross, ratio):
    found = ratio_of(GROUPS, "l2", 2.0 + noise(1), cross + noise(2), 4.0 + noise(3))
    assert found.value == pytest.approx(ratio, abs=0.02)
    assert found.low < ratio < found.high
    assert found.num_groups == 24


def test_a_higher_accuracy_is_better():
    found = ratio_of(GROUPS, "accuracy", 0.8 + noise(1), 0.7 + noise(2), 0.4 + noise(3))
    assert found.value == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("measure", "reference"), [("l2", 1.0), ("l2", 2.0), ("accuracy", 3.0)])
def test_without_a_model_that_is_better_than_the_baseline_there_is_no_ratio(measure, reference):
    found = ratio_of(GROUPS, measure, 2.0 + noise(1), 2.5 + noise(2), reference + noise(3))
    assert all(math.isnan(number) for number in (found.value, found.low, found.high))


def test_images_of_one_group_count_as_one():
    values = [np.repeat(mean + 9 * noise(n), 10) for n, mean in enumerate((2.0, 2.5, 4.0))]
    alone, grouped = (ratio_of(groups, "l2", *values) for groups in (Groups.single(240), Groups(np.arange(240) // 10)))
    assert alone.value == pytest.approx(grouped.value)
    assert grouped.high - grouped.low > 2.5 * (alone.high - alone.low)


def test_a_union_is_not_compared_with_its_own_parts(make_run):
    """Neither with a union that has a part in common with it; the data sets that it does not contain are compared."""
    run = make_run(("a", "b", "c", "ab", "bc"), ("regression",))
    run.unions = {"ab": ("a", "b"), "bc": ("b", "c")}
    pairs = {(row["source"], row["target"]) for row in csv_rows(run)}
    plain = {(a, b) for a in "abc" for b in "abc" if a != b}
    assert pairs == plain | {("ab", "c"), ("c", "ab"), ("bc", "a"), ("a", "bc")}


def test_csv_compares_with_the_model_and_the_baseline_of_the_target(make_run):
    run = make_run(("a", "b"), ("regression", "cnn"))
    every, cells = np.arange(12) / 1000, {("a", "b"): 2.5, ("b", "b"): 2.0, ("a", "a"): 3.0, ("b", "a"): 3.5}
    for (source, target), mean in cells.items():
        for model, more in {"gray": 2.0, "prior": 4.0, "regression": 0.0, "cnn": 0.0}.items():
            values = {"group": None, "l2": (mean + more + every).astype(np.float32), "cross_entropy": None}
            if model in ("prior", "cnn"):
                values["cross_entropy"] = values["l2"] * 2
            run.write_per_image(source, model, target, **values | {"group": np.array([str(i) for i in range(12)])})
    rows = csv_rows(run)
    rows = [row for row in rows if row["measure"] in ("l2", "cross_entropy")]
    assert [(row["source"], row["target"], row["model"], row["measure"]) for row in rows] == [
        (*pair, model, measure)
        for pair in (("a", "b"), ("b", "a"))
        for model, measure in (("regression", "l2"), ("cnn", "l2"), ("cnn", "cross_entropy"))
    ]
    numbers = [[float(rows[i][name]) for name in ("own", "cross", "reference", "ratio")] for i in (0, 2)]
    mean = every.mean()
    assert numbers[0] == pytest.approx([2 + mean, 2.5 + mean, 4 + mean, 0.25], abs=1e-4)  # gray of b
    assert numbers[1] == pytest.approx([4 + 2 * mean, 5 + 2 * mean, 12 + 2 * mean, 0.125], abs=1e-4)  # prior of b


def test_a_ratio_that_is_not_defined_is_empty(make_run):
    row = csv_rows(make_run(("a", "b"), ("cnn",)))[0]
    assert (row["own"], row["ratio"], row["low"], row["high"]) == ("0.50000", "", "", "")
