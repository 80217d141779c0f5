"""The intervals cover, agree with the formulas, and say what they do with degenerate input."""

import hashlib
import itertools
import math
import time
import tracemalloc

import numpy as np
import pytest

from colorize.report.intervals import (
    LARGE_GROUPS,
    RESAMPLES,
    Groups,
    Interval,
    compare,
    fieller_limits,
    ratio_limits,
    student_t,
)
from tests.report import coverage

HEAVY_SKEW = "mean, lognormal(1)"


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def interval_of(values, labels=None, weights=None) -> Interval:
    values = np.asarray(values, dtype=np.float64)
    groups = Groups.single(len(values)) if labels is None else Groups(np.asarray(labels))
    return compare(groups, {"a": values}, weights).means["a"]


def difference_of(first, second, labels=None, weights=None) -> Interval:
    groups = Groups.single(len(first)) if labels is None else Groups(np.asarray(labels))
    values = {"a": np.asarray(first, dtype=np.float64), "b": np.asarray(second, dtype=np.float64)}
    return compare(groups, values, weights, [("a", "b")]).differences["a", "b"]


def limits_of(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


# Coverage: 3,000 repetitions each, with a fixed seed; all of them take about 15 s.


@pytest.mark.parametrize("kind", [kind for kind in coverage.KINDS if kind != HEAVY_SKEW])
@pytest.mark.parametrize("num_groups", coverage.NUM_GROUPS)
def test_intervals_contain_the_truth_in_93_to_97_percent(kind, num_groups):
    assert 93 <= coverage.coverage(kind, num_groups) <= 97


def test_means_of_very_skewed_values_are_covered_in_at_least_90_percent():
    assert min(coverage.coverage(HEAVY_SKEW, num_groups) for num_groups in coverage.NUM_GROUPS) >= 90


@pytest.mark.parametrize("num_groups", [20, 40])
def test_no_more_than_5_percent_of_the_ratios_with_a_weak_denominator_are_wrong(num_groups):
    assert coverage.coverage(coverage.WEAK, num_groups) >= 95


@pytest.mark.parametrize("kind", coverage.KINDS)
def test_intervals_that_ignore_the_groups_miss_the_truth(kind):
    assert coverage.coverage(kind, 20, has_groups=False) < 60


@pytest.mark.parametrize("kind", coverage.KINDS)
def test_the_page_shows_the_measured_coverage(kind, repo):
    lines = (repo / "docs" / "intervals.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if line.startswith(f"| {kind} |")]
    shown = [float(text.strip(" %")) for text in row.split("|")[2:-1]]
    assert shown == pytest.approx(coverage.percentages(kind), abs=0.15)  # three of 3,000 repetitions, and the rounding


# The formulas


def bootstrap_by_hand(s, w, counts, is_log):
    """The formula of the module, without centering and with one resample at a time."""
    num_groups = len(s)

    def estimate(c):
        total = (c * w).sum()
        m = (c * s).sum() / total
        variance = (c * s**2).sum() - 2 * m * (c * s * w).sum() + m**2 * (c * w**2).sum()
        return m, math.sqrt(variance * num_groups / (num_groups - 1)) / total

    m, error = estimate(np.ones(num_groups))
    t = []
    for c in counts.T:
        m_star, error_star = estimate(c)
        t.append(abs(math.log(m_star / m)) * m_star / error_star if is_log else abs(m_star - m) / error_star)
    half = sorted(t)[round(0.95 * (len(t) + 1)) - 1] * error
    return [m, m * math.exp(-half / m), m * math.exp(half / m)] if is_log else [m, m - half, m + half]


def made_split(num_groups=12, num_images=150):
    g = generator(1)
    labels = np.concatenate([np.arange(num_groups), g.integers(num_groups, size=num_images - num_groups)])
    return labels, g.lognormal(size=num_images), g.lognormal(size=num_images), g.random(num_images)


def test_a_mean_agrees_with_the_bootstrap_on_the_log_scale():
    labels, values, _, weights = made_split()
    groups = Groups(labels)
    expected = bootstrap_by_hand(groups.sums(weights * values), groups.sums(weights), groups.counts, True)
    assert limits_of(interval_of(values, labels, weights)) == pytest.approx(expected, rel=1e-9)


def test_a_difference_agrees_with_the_bootstrap_on_the_plain_scale():
    labels, first, second, weights = made_split()
    groups = Groups(labels)
    expected = bootstrap_by_hand(groups.sums(weights * (first - second)), groups.sums(weights), groups.counts, False)
    assert limits_of(difference_of(first, second, labels, weights)) == pytest.approx(expected, rel=1e-9)


def test_many_groups_use_student_t():
    values = generator().normal(size=LARGE_GROUPS)
    half = 1.96234146 * values.std(ddof=1) / math.sqrt(LARGE_GROUPS)
    expected = [values.mean(), values.mean() - half, values.mean() + half]
    assert limits_of(interval_of(values)) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("degrees", "expected"), [(999, 1.96234146), (5_000, 1.96043855), (328_499, 1.95997121)])
def test_quantiles_of_student_t(degrees, expected):
    assert student_t(degrees) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("degrees", "expected"), [(3, 3.1824463), (9, 2.2621572), (19, 2.0930241)])
def test_quantiles_of_student_t_for_few_groups(degrees, expected):
    assert student_t(degrees) == pytest.approx(expected, rel=0.1 / degrees**2)


def test_at_the_limits_of_a_ratio_the_difference_from_zero_is_just_clear():
    g = generator()
    s, w = g.normal(0.4, 1, size=(2, 20)), g.normal(2, 1, size=(2, 20))
    m, low, high = fieller_limits(Groups.single(20), s, w)
    assert m == pytest.approx(s.sum(-1) / w.sum(-1))
    for limit in (low, high):
        rest = s - limit[:, None] * w
        error = rest.std(axis=-1, ddof=1) / math.sqrt(20)
        assert np.abs(rest.mean(axis=-1)) == pytest.approx(student_t(19) * error)
    assert (low < m).all() and (m < high).all()


@pytest.mark.parametrize(("mean", "num_groups"), [(0.2, 20), (9.0, 3)])
def test_a_ratio_whose_denominator_may_be_zero_is_not_defined(mean, num_groups):
    s, w = generator().normal(mean, 1, size=(2, 1, num_groups))
    assert np.isnan(fieller_limits(Groups.single(num_groups), s, w)).all()


def test_both_methods_agree_where_one_replaces_the_other():
    values = np.append(generator().lognormal(size=LARGE_GROUPS - 1), np.exp(0.5))
    by_resamples, by_t = interval_of(values[:-1]), interval_of(values)
    assert by_resamples.high - by_resamples.low == pytest.approx(by_t.high - by_t.low, rel=0.05)


def test_a_difference_is_more_certain_than_its_two_means():
    labels, values, noise, _ = made_split()
    first, second = interval_of(values, labels), interval_of(values + 0.01 * noise, labels)
    difference = difference_of(values + 0.01 * noise, values, labels)
    assert second.low < first.high  # the two intervals overlap
    assert difference.excludes_zero
    assert 0 < difference.low < difference.high < second.value - first.value + 0.01


def test_the_limits_do_not_depend_on_a_large_offset():
    labels, first, second, _ = made_split()
    near, far = difference_of(first, second, labels), difference_of(first + 1e6, second, labels)
    assert [far.low - 1e6, far.high - 1e6] == pytest.approx([near.low, near.high], abs=1e-6)


# Groups, weights and resamples


def test_resamples_are_the_same_on_every_machine():
    counts = Groups.single(20).counts
    assert counts.shape == (20, RESAMPLES)
    assert (counts.sum(axis=0) == 20).all()
    assert hashlib.sha256(counts.astype(np.uint8).tobytes()).hexdigest()[:16] == "2d60c4ba2c310e7a"


def test_an_interval_does_not_depend_on_the_other_runs():
    labels, first, second, weights = made_split()
    groups = Groups(labels)
    alone = compare(groups, {"b": second}, weights).means["b"]
    together = compare(groups, {"a": first, "b": second}, weights, [("a", "b"), ("b", "a")])
    assert limits_of(together.means["b"]) == pytest.approx(limits_of(alone), rel=1e-12)
    assert limits_of(together.differences["a", "b"]) == pytest.approx(
        [-x for x in np.array(limits_of(together.differences["b", "a"]))[[0, 2, 1]]], rel=1e-12
    )


def test_more_columns_than_fit_into_one_slab_give_the_same_intervals():
    values = {str(i): x for i, x in enumerate(generator().random((1_200, 10)))}
    means = compare(Groups.single(10), values).means
    assert list(means) == list(values)
    assert limits_of(means["1100"]) == pytest.approx(limits_of(interval_of(values["1100"])), rel=1e-12)


def test_an_image_without_a_group_is_a_group_of_its_own():
    values = generator().random(9)
    with_unknown = interval_of(values, [5, -1, 5, 2, -1, 2, 7, 7, -3])
    assert with_unknown.num_groups == 6
    assert limits_of(with_unknown) == limits_of(interval_of(values, [1, 3, 1, 0, 4, 0, 2, 2, 5]))


def test_names_of_groups_do_not_matter():
    labels, values, _, _ = made_split()
    assert limits_of(interval_of(values, labels * 1_000 + 17)) == limits_of(interval_of(values, labels))


def test_weights_count_relative_to_each_other():
    labels, values, _, weights = made_split()
    expected = limits_of(interval_of(values, labels, weights))
    assert expected[0] == pytest.approx(np.average(values, weights=weights))
    assert limits_of(interval_of(values, labels, 100 * weights)) == pytest.approx(expected)


def test_the_value_of_an_image_without_weight_is_ignored():
    labels, values, _, weights = made_split()
    weights[20:] *= np.arange(20, 150) % 3 > 0
    expected = limits_of(interval_of(values, labels, weights))
    assert limits_of(interval_of(np.where(weights > 0, values, np.nan), labels, weights)) == expected


@pytest.mark.parametrize(("shift", "is_clear"), [(-0.3, True), (0.0, False), (0.3, True)])
def test_a_difference_is_clear_in_both_directions(shift, is_clear):
    noise = generator().normal(scale=0.1, size=40)
    assert difference_of(noise - noise.mean() + shift, np.zeros(40)).excludes_zero == is_clear


@pytest.mark.parametrize(("num_groups", "is_few"), [(29, True), (30, False)])
def test_few_groups_are_marked(num_groups, is_few):
    assert interval_of(generator().random(num_groups)).has_few_groups == is_few


# Degenerate input


def test_one_group_bounds_nothing():
    mean = interval_of([1.0, 2.0, 3.0], [4, 4, 4])
    assert limits_of(mean) == [2, 0, math.inf]
    difference = difference_of([1.0, 2.0], [5.0, 9.0], [4, 4])
    assert limits_of(difference) == [-5.5, -math.inf, math.inf]
    assert not difference.is_bounded and not difference.excludes_zero


@pytest.mark.parametrize("num_groups", [2, 3])
def test_two_and_three_groups_bound_nothing(num_groups):
    difference = difference_of(generator(1).random(num_groups) + 9, generator(2).random(num_groups))
    assert [difference.low, difference.high] == [-math.inf, math.inf]


def test_four_groups_have_limits():
    assert difference_of(generator(1).random(4) + 9, generator(2).random(4)).is_bounded


def test_a_measure_that_is_zero_in_almost_all_groups_has_no_limits():
    assert not interval_of([0.0] * 18 + [1.0, 2.0]).is_bounded


def test_weights_that_are_zero_in_almost_all_groups_give_no_limits():
    mean = interval_of(generator().random(20), weights=[0.0] * 18 + [1.0, 2.0])
    assert limits_of(mean)[1:] == [-math.inf, math.inf]


@pytest.mark.parametrize("num_images", [6, 1_200])
@pytest.mark.parametrize("constant", [0.1, 0.0, -0.1])
def test_a_constant_has_an_interval_of_length_zero(num_images, constant):
    mean = interval_of(np.full(num_images, constant), np.arange(num_images) // 2 * (np.arange(num_images) > 3))
    assert mean.low == mean.high == mean.value == pytest.approx(constant)


def test_two_equal_runs_cannot_be_told_apart():
    values = generator().random(40)
    difference = difference_of(values, values)
    assert limits_of(difference) == [0, 0, 0]
    assert not difference.excludes_zero


@pytest.mark.parametrize("offset", [0.0, -5.0])
def test_zeros_and_negative_values_use_the_plain_scale(offset):
    values = np.append(generator().random(40), 0.0) + offset
    mean = interval_of(values)
    assert mean.high - mean.value == pytest.approx(mean.value - mean.low)
    positive = interval_of(values + 6)
    assert positive.high / positive.value == pytest.approx(positive.value / positive.low)


@pytest.mark.parametrize("num_images", [40, 1_200])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_without_a_value_has_no_mean_and_does_not_affect_the_others(num_images, bad):
    values = generator().random((3, num_images))
    values[1], values[2, 7] = bad, bad
    runs = dict(zip("abc", values, strict=True))
    result = compare(Groups.single(num_images), runs, pairs=[("a", "b"), ("c", "a")])
    undefined = [*map(result.means.get, "bc"), *result.differences.values()]
    assert all(math.isnan(x) for interval in undefined for x in limits_of(interval))
    assert not any(interval.excludes_zero or interval.is_bounded for interval in undefined)
    assert limits_of(result.means["a"]) == pytest.approx(limits_of(interval_of(values[0])), rel=1e-12)


def test_without_any_weight_there_is_no_mean():
    assert all(math.isnan(x) for x in limits_of(interval_of([1.0, 2.0, 3.0], weights=np.zeros(3))))


@pytest.mark.parametrize("labels", [[], [[1, 2]], [0.5, 1.0], ["a", "b"]])
def test_labels_must_be_integers(labels):
    with pytest.raises(ValueError, match=r"labels: .* expected \(N,\) integers"):
        Groups(np.array(labels))


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ([1.0, 2.0], None, r"a: shape \(2,\), expected \(3,\), one value for each image"),
        ([1.0, 2.0, 3.0], [1.0], r"weights: shape \(1,\)"),
        ([1.0, 2.0, 3.0], [1.0, -1.0, 1.0], "weights: a weight is negative or not finite"),
        ([1.0, 2.0, 3.0], [1.0, np.nan, 1.0], "weights: a weight is negative or not finite"),
    ],
)
def test_wrong_arrays_are_refused_by_name(values, weights, message):
    with pytest.raises(ValueError, match=message):
        compare(Groups.single(3), {"a": np.array(values)}, weights)


def test_a_ratio_of_two_differences_can_have_negative_parts():
    """Such as the generalization (cross - own) / (gray - own)."""
    s, w = generator(1).normal(1, 1, size=(1, 100)), generator(2).normal(-4, 1, size=100)
    m, low, high = ratio_limits(Groups.single(100), s, w, allow_log=True)
    assert low[0] < m[0] < high[0] < 0
    assert m[0] == pytest.approx(s.sum() / w.sum())


# Size: one of 20 measures, over as many images as the paper's test split of Places; all measures may take 30 s


@pytest.fixture(params=[365, 328_500])
def compare_14_runs(request):
    """Compares 14 runs, and all 91 pairs of them, over 328,500 images."""
    values = {str(i): x for i, x in enumerate(generator().random((14, 328_500), dtype=np.float32))}
    labels = np.arange(328_500) % request.param
    return lambda: compare(Groups(labels), values, values["0"], itertools.combinations(values, 2))


def test_14_runs_over_328500_images_need_little_time(compare_14_runs):
    start = time.process_time()
    compare_14_runs()
    assert time.process_time() - start < 30 / 20


def test_14_runs_over_328500_images_need_little_memory(compare_14_runs):
    tracemalloc.start()
    compare_14_runs()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6
