"""Marks of the best models, and results/differences.csv: paired differences to the best model and the best baseline."""

import csv
import io

import numpy as np
import pytest

from colorize.layout import Cell
from colorize.report import differences, table
from colorize.report.differences import rank
from colorize.report.intervals import Groups, compare
from colorize.report.measures import Method, methods_of, read_measured

EVERY = np.arange(12)
NOISE = np.where(EVERY % 2, 0.05, -0.05)  # of mean 0, and within each of the eight groups different from image to image
MEANS = {"median_ab": 0.4, "cnn": 0.2, "unet": 0.25, "regression": 0.45}
MEASURES = ("l2", "l1", "cross_entropy")


def rankings(run):
    return table.read_table(run.inputs).rankings.values()


def csv_rows(run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(differences.to_csv(rankings(run)))))


def marks(run, metric: str) -> tuple[set[str], set[str]]:
    """The models in bold and those with a dagger, of a table with one data set."""
    found = table.read_table(run.inputs)
    return found.best("a", "a", metric), found.worse("a", "a", metric)


def write(run, model: str, metric: str, mean: float, noise: np.ndarray | float = 0.0) -> None:
    """A measure of the images: the `noise` differs from model to model, so it does not cancel in a difference."""
    run.write_metrics("a", model, "a", **{metric: mean})
    run.write_per_image("a", model, "a", **{metric: (mean + noise + np.zeros(12)).astype(np.float32)})


def test_a_model_that_cannot_be_told_apart_from_the_best_one_is_bold_too(make_run):
    run = make_run(("a",), ("cnn", "unet", "unet_weighted"))
    write(run, "cnn", "l2", 0.2)
    write(run, "unet", "l2", 0.201, NOISE)  # 0.001 worse, with a noise of 0.05
    write(run, "unet_weighted", "l2", 0.201, NOISE / 1000)  # as much worse, and clearly so
    assert marks(run, "l2") == ({"cnn", "unet"}, set())


def test_a_higher_accuracy_is_better(make_run):
    run = make_run(("a",), ("cnn", "unet", "unet_weighted"))
    write(run, "cnn", "accuracy", 0.5)
    write(run, "unet", "accuracy", 0.499, NOISE)
    write(run, "unet_weighted", "accuracy", 0.499, NOISE / 1000)
    assert marks(run, "accuracy") == ({"cnn", "unet"}, set())


def test_a_model_below_a_baseline_shares_no_bold(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    write(run, "median_ab", "l2", 0.2005)
    write(run, "cnn", "l2", 0.2)
    write(run, "unet", "l2", 0.201, NOISE)  # not to be told apart from the CNN, but worse than the baseline
    assert marks(run, "l2") == ({"cnn"}, {"unet"})
    write(run, "median_ab", "l2", 0.1)
    assert marks(run, "l2") == (set(), {"cnn", "unet"})


@pytest.mark.parametrize("decoding", ["annealed_mean", "mean"])
def test_a_baseline_counts_with_its_best_decoding(make_run, decoding):
    run = make_run(("a",), ("cnn",))
    run.write_metrics("a", "cnn", "a", l2=0.3, l1=0.2)
    assert marks(run, "l2") == ({"cnn"}, set())
    run.write_decoding("a", "lightness", "a", decoding, l2=0.25)
    assert marks(run, "l2") == (set(), {"cnn"})
    assert marks(run, "l1") == ({"cnn"}, set())


def test_a_model_counts_with_the_mode_alone(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    run.write_metrics("a", "cnn", "a", l2=0.3)
    run.write_decoding("a", "unet", "a", "mean", l2=0.1)
    assert marks(run, "l2")[0] == {"cnn"}


def test_the_oracle_causes_no_mark(make_run):
    run = make_run(("a",), ("cnn",))
    run.write_metrics("a", "cnn", "a", l2=0.3)
    run.write_metrics("a", "oracle", "a", l2=0.001)
    assert marks(run, "l2") == ({"cnn"}, set())


def test_differences_are_the_paired_intervals_over_groups(make_run):
    run = make_run(("a",), ("cnn", "unet", "regression"))
    rng = np.random.default_rng(0)
    values = {model: rng.normal(mean, 0.02, 12).astype(np.float32) for model, mean in MEANS.items()}
    for model, array in values.items():
        write(run, model, "l2", round(float(array.mean()), 5))
        run.write_per_image("a", model, "a", l2=array)
    rows = [row for row in csv_rows(run) if row["measure"] == "l2"]
    pairs = [("cnn", "median_ab"), ("unet", "cnn"), ("unet", "median_ab"), ("regression", "cnn")]
    pairs.append(("regression", "median_ab"))
    assert [(row["model"], row["other"], row["other_decoding"]) for row in rows] == [
        (model, other, "mode" if other == "cnn" else "") for model, other in pairs
    ]
    groups = Groups(np.where(EVERY < 4, -1, EVERY % 4))
    expected = compare(groups, {name: array.astype(float) for name, array in values.items()}, pairs=pairs).differences
    for row, pair in zip(rows, pairs, strict=True):
        interval = expected[pair]
        found = [float(row[name]) for name in ("difference", "low", "high")]
        assert found == pytest.approx([interval.value, interval.low, interval.high], abs=1e-5)
        assert (row["source"], row["target"], row["groups"]) == ("a", "a", "8")
        assert interval.low < interval.value < interval.high


def test_each_measure_has_its_own_best_model_and_only_models_that_have_it(make_run):
    run = make_run(("a", "b"), ("regression", "cnn"))
    run.write_metrics("a", "regression", "b", l2=0.1)
    run.write_metrics("a", "cnn", "b", l1=0.1)
    found = [one for ranking in rankings(run) for one in ranking.differences if (one.source, one.target) == ("a", "b")]
    models = {measure: {one.method.model for one in found if one.measure == measure} for measure in MEASURES}
    others = {measure: {one.other.model for one in found if one.measure == measure} for measure in MEASURES}
    assert models == {"l2": {"regression", "cnn"}, "l1": {"regression", "cnn"}, "cross_entropy": {"cnn"}}
    assert others == {"l2": {"regression", "gray"}, "l1": {"cnn", "gray"}, "cross_entropy": {"prior"}}


def test_with_two_groups_no_model_can_be_told_apart_from_the_best(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    groups = np.array(["one", "two"] * 6)
    for model, l2 in {"gray": 0.5, "cnn": 0.1, "unet": 0.4}.items():
        run.write_metrics("a", model, "a", l2=l2)
        array = 0.1 + EVERY / 100 if model == "cnn" else 0.4 + EVERY**2 / 1000
        run.write_per_image("a", model, "a", l2=array.astype(np.float32), group=groups)
    assert marks(run, "l2")[0] == {"cnn", "unet"}
    rows = csv_rows(run)
    row = next(row for row in rows if (row["measure"], row["model"], row["other"]) == ("l2", "unet", "cnn"))
    assert (row["low"], row["high"], row["groups"]) == ("", "", "2") and row["difference"]


def test_a_measure_with_a_weight_is_compared_as_a_ratio(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    weight, products = 1.0 + EVERY % 3, {"cnn": EVERY / 10 + 1, "unet": EVERY**2 / 50 + 2}
    for model, values in products.items():
        run.write_metrics("a", model, "a", weighted=round(float(values.sum() / weight.sum()), 5))
        run.write_per_image("a", model, "a", weighted=values.astype(np.float32))
    measured = read_measured(run.inputs, "a", "a")
    cnn, unet = (methods_of(model)[0] for model in run.models)
    found = measured.compare("weighted", [cnn, unet], [(unet, cnn)]).differences[unet, cnn]
    assert found.value == pytest.approx((products["unet"] - products["cnn"]).sum() / weight.sum())
    groups = run.inputs.per_image(Cell("a", "cnn", "a")).images.groups
    ratios = {model: values / weight for model, values in products.items()}
    expected = compare(groups, ratios, weight, [("unet", "cnn")]).differences["unet", "cnn"]
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], rel=1e-5)


def test_a_measure_without_a_better_direction_has_no_marks(make_run):
    run = make_run(("a",), ("cnn",))
    run.write_metrics("a", "cnn", "a", colorfulness=9.0)
    found = rank(read_measured(run.inputs, "a", "a"), "colorfulness", [Method("cnn", "mode")])
    assert (found.best, found.worse, found.differences) == (frozenset(), frozenset(), ())


def test_a_ranking_has_the_intervals_of_the_models_and_of_the_best_baseline(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    write(run, "median_ab", "l2", 0.3, NOISE)
    write(run, "cnn", "l2", 0.2, NOISE)
    measured = read_measured(run.inputs, "a", "a")
    ranking = rank(measured, "l2", [Method("cnn", "mode"), Method("unet", "mode")])
    best = Method("median_ab", "")
    assert ranking.baseline == best
    assert ranking.intervals == measured.compare("l2", [Method("cnn", "mode"), Method("unet", "mode"), best]).means
