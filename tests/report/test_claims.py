"""results/claims.md: every verdict follows from intervals, and says what would decide it."""

import numpy as np
import pytest

from colorize.report import claims, claims_page, generalization, overfitting
from colorize.report.claims import Verdict
from colorize.report.labels import MINUS
from colorize.report.table import read_table
from tests.report.conftest import HISTORY_HEADER

REGRESSION, WEIGHTS, LOSS, UNET, OVERFITTING, GENERALIZES, COLORFUL = range(7)
GROUPS = np.array([f"g{i}" for i in range(12)])
CLASSIFIER = {"l2": 0.5, "l1": 0.25, "accuracy": 0.125, "cross_entropy": 3.0, "colorfulness": 30.0}
MEANS = {  # with `colorfulness`, which the default values of the fixture lack
    "regression": {"l2": 0.5, "l1": 0.25, "colorfulness": 30.0},
    "cnn": CLASSIFIER,
    "cnn_weighted": CLASSIFIER,
    "unet": CLASSIFIER,
    "unet_weighted": CLASSIFIER,
}
NOISE = {model: np.random.Generator(np.random.PCG64(n)).normal(size=12) for n, model in enumerate(MEANS)}
NOISE = {model: noise - noise.mean() for model, noise in NOISE.items()}


def put(run, dataset, model, seed=0, spread=1e-4, **means):
    """The values of one model on its own data set; `spread` is the size of noise between the groups."""
    values = MEANS[model] | means
    run.write_metrics(dataset, model, dataset, seed, **values)
    arrays = {name: value + run.noise + spread * NOISE[model] for name, value in values.items()}
    run.write_per_image(dataset, model, dataset, seed, group=GROUPS, **arrays)


@pytest.fixture
def run(make_run):
    """One data set; all models are equal."""
    made = make_run(("a",))
    for model in MEANS:
        put(made, "a", model)
    return made


def judge(run):
    inputs = run.inputs
    return claims.judge(inputs, overfitting.gaps(inputs), generalization.generalizations(inputs))


def page(run):
    return claims_page.to_markdown(read_table(run.inputs), judge(run))


def judged(run, number):
    return judge(run)[number]


@pytest.mark.parametrize(
    ("l2", "spread", "verdict"), [(0.4, 1e-4, Verdict.HOLDS), (0.6, 1e-4, Verdict.FAILS), (0.4, 0.5, Verdict.OPEN)]
)
def test_the_regression_is_best_if_it_is_better_than_every_classifier(run, l2, spread, verdict):
    put(run, "a", "regression", l2=l2, l1=0.2, spread=spread)
    assert judged(run, REGRESSION).verdict is verdict


def test_one_better_classifier_is_enough_against_the_regression(run):
    put(run, "a", "regression", l2=0.4, l1=0.2)
    put(run, "a", "unet", l2=0.3)
    claim = judged(run, REGRESSION)
    assert claim.verdict is Verdict.FAILS
    assert [one.what for one in claim.findings if one.verdict is Verdict.FAILS] == ["Baseline Regression minus Unet"]


def test_the_regression_is_also_compared_with_the_mean(run):
    put(run, "a", "regression", l2=0.4, l1=0.2)
    for model in ("cnn", "cnn_weighted", "unet_weighted"):
        run.write_decoding("a", model, "a", "mean", l2=0.45)
    run.write_decoding("a", "unet", "a", "mean", l2=0.35)
    (note,) = judged(run, REGRESSION).notes
    assert "worse than that of Unet on a;" in note
    assert "better than that of CNN on a, CNN with Weights on a, Unet with Weights on a," in note


@pytest.mark.parametrize(
    ("l2", "spread", "verdict"),
    [
        (0.501, 1e-4, Verdict.HOLDS),
        (0.51, 1e-4, Verdict.FAILS),
        (0.49, 1e-4, Verdict.FAILS),
        (0.501, 0.1, Verdict.OPEN),
    ],
)
def test_negligible_means_within_the_margin(run, l2, spread, verdict):
    put(run, "a", "cnn_weighted", l2=l2, spread=spread)
    assert judged(run, WEIGHTS).verdict is verdict


def test_the_margins_are_the_largest_differences_in_the_papers_table():
    assert claims.paper_margins() == pytest.approx({"l2": 0.002, "l1": 0.008, "accuracy": 0.043})


@pytest.mark.parametrize(
    ("value", "spread", "verdict"), [(2.5, 1e-4, Verdict.HOLDS), (3.5, 1e-4, Verdict.FAILS), (2.9, 2, Verdict.OPEN)]
)
def test_weights_raise_only_the_loss_if_the_plain_cross_entropy_is_lower(run, value, spread, verdict):
    for model in ("cnn_weighted", "unet_weighted"):
        put(run, "a", model, cross_entropy=value, spread=spread)
    assert judged(run, LOSS).verdict is verdict


BETTER = {"l2": 0.4, "l1": 0.2, "cross_entropy": 2.5, "accuracy": 0.5}


@pytest.mark.parametrize(
    ("changed", "spread", "verdict"),
    [({}, 1e-4, Verdict.HOLDS), ({"accuracy": 0.1}, 1e-4, Verdict.FAILS), ({}, 2, Verdict.OPEN)],
)
def test_the_unet_is_best_if_it_is_better_in_every_measure(run, changed, spread, verdict):
    put(run, "a", "unet", **BETTER | changed, spread=spread)
    assert judged(run, UNET).verdict is verdict


@pytest.mark.parametrize(
    ("value", "spread", "verdict"), [(20.0, 1e-4, Verdict.HOLDS), (40.0, 1e-4, Verdict.FAILS), (29.0, 9, Verdict.OPEN)]
)
def test_the_regression_is_least_colorful_if_every_classifier_is_more_colorful(run, value, spread, verdict):
    put(run, "a", "regression", colorfulness=value, spread=spread)
    assert judged(run, COLORFUL).verdict is verdict


def test_a_difference_whose_sign_depends_on_the_seed_is_open(make_run):
    run = make_run(("a",), seeds=(0, 1))
    for seed, model in ((seed, model) for seed in (0, 1) for model in MEANS):
        put(run, "a", model, seed)
    put(run, "a", "regression", 0, colorfulness=10.0)
    put(run, "a", "regression", 1, colorfulness=20.0)
    assert judged(run, COLORFUL).verdict is Verdict.HOLDS
    put(run, "a", "regression", 1, colorfulness=31.0)
    claim = judged(run, COLORFUL)
    assert claim.verdict is Verdict.OPEN
    assert all(one.missing.startswith("the seeds disagree") for one in claim.findings)
    assert all(one.interval.high < 0 for one in claim.findings)


def grown(run, dataset, model, seed, growth):
    """A history whose gap grows from 0.5 by `growth`."""
    rows = ["0,,9,0.1,0.02,0.2,,3.0,6.0,0.5,3.5,8.0,2.0", f"9,1,7,0.1,0.02,0.2,,1.0,2.0,0.5,{1.5 + growth},7.5,2.0"]
    run.write_history(dataset, model, seed, text="\n".join([HISTORY_HEADER, *rows]) + "\n")


@pytest.mark.parametrize(
    ("more", "verdict"), [((0.2, 0.2, 0.2, 0.2), Verdict.HOLDS), ((0.4, -0.4, 0.4, -0.4), Verdict.OPEN)]
)
def test_overfitting_has_an_interval_over_seeds(make_run, more, verdict):
    run = make_run(("a",), ("cnn", "unet"), seeds=(0, 1, 2, 3))
    for seed, extra in enumerate(more):
        growths = {"cnn": 1 + extra + seed / 100, "unet": 1.0}
        for model, growth in growths.items():
            put(run, "a", model, seed)
            grown(run, "a", model, seed, growth)
    assert judged(run, OVERFITTING).verdict is verdict


def test_more_overfitting_of_the_unet_does_not_hold(make_run):
    run = make_run(("a",), ("cnn", "unet"), seeds=(0, 1, 2, 3))
    for seed in range(4):
        for model, growth in {"cnn": 1.0, "unet": 1.3 + seed / 100}.items():
            put(run, "a", model, seed)
            grown(run, "a", model, seed, growth)
    assert judged(run, OVERFITTING).verdict is Verdict.FAILS


def test_overfitting_of_one_seed_cannot_be_told(run):
    claim = judged(run, OVERFITTING)
    assert claim.verdict is Verdict.OPEN
    assert {one.missing for one in claim.findings} == {"at least 3 seeds; here 1"}


@pytest.mark.parametrize(
    ("there", "back", "verdict"), [(2.2, 2.8, Verdict.HOLDS), (2.8, 2.2, Verdict.FAILS), (2.5, 2.5, Verdict.OPEN)]
)
def test_generalization_compares_relative_losses(make_run, there, back, verdict):
    run = make_run(("a", "b"), ("regression",))
    every = 0.01 * np.resize([1, -1, 2, 0, -2], 12)
    for target in ("a", "b"):
        run.write_per_image(target, "gray", target, group=GROUPS, l2=3.0 + every)
        run.write_per_image(target, "regression", target, group=GROUPS, l2=2.0 + every[::-1])
    run.write_per_image("a", "regression", "b", group=GROUPS, l2=there + np.roll(every, 3))
    run.write_per_image("b", "regression", "a", group=GROUPS, l2=back + np.roll(every, 5))
    assert judged(run, GENERALIZES).verdict is verdict


def test_claims_without_their_models_or_a_second_data_set_are_not_tested(make_run):
    run = make_run(("a",), ("cnn",))
    put(run, "a", "cnn")
    assert {claim.verdict for claim in judge(run)} == {Verdict.UNTESTED}
    text = page(run)
    assert "**not tested**: params.yaml does not name two data sets." in text


def test_the_page_names_winners_ties_and_what_they_are_compared_with(run):
    put(run, "a", "unet", **BETTER)
    put(run, "a", "cnn", l2=0.401, spread=0.1)
    lines = [line for line in page(run).splitlines() if line.startswith("| a")]
    l2, accuracy = lines[0], lines[3]
    assert "**Unet** 0.4000, not clearly better than CNN" in l2
    assert f"{MINUS}0.1000 [{MINUS}0.1001, {MINUS}0.0999], Gray" in l2
    assert "**Unet** 0.5000 " in accuracy
    assert "+0.3750 [+0.374" in accuracy


def test_no_winner_where_no_model_beats_the_baselines(run):
    lines = [line for line in page(run).splitlines() if line.startswith("| a")][:4]
    assert all("no winner: no model beats the baselines" in line for line in lines)


def test_an_open_finding_says_how_many_groups_would_decide_it(run):
    put(run, "a", "regression", l2=0.4, l1=0.2, spread=0.5)
    missing = {one.missing for one in judged(run, REGRESSION).findings}
    assert all(text.startswith("about ") and text.endswith(" times as many groups of test images") for text in missing)


def test_three_seeds_are_enough_for_an_interval(make_run):
    run = make_run(("a",), ("cnn", "unet"), seeds=(0, 1, 2))
    for seed, growth in enumerate((1.1, 1.2, 1.3)):
        for model, of_model in {"cnn": growth, "unet": 1.0}.items():
            put(run, "a", model, seed)
            grown(run, "a", model, seed, of_model)
    (finding,) = judged(run, OVERFITTING).findings
    assert finding.interval.value == pytest.approx(-0.2)
    assert finding.interval.low == pytest.approx(-0.2 - 4.302653 * 0.1 / 3**0.5)
