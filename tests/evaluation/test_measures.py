"""The paper's measures of predictions whose values are known by hand, and the value of a split."""

import math
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from colorize.color import gamut, targets
from colorize.evaluation import measuring, paper
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Compared, Kind, Measure, Prediction, Truth
from colorize.models.output import is_distribution

OPTIONS = targets.Options(10, 5.0, "pixel")
ONES = torch.ones(gamut.NUM_BINS)


@pytest.fixture(scope="module")
def ab_norm() -> torch.Tensor:
    """(3, 2, 4, 4): colors of which some are nearly gray."""
    return (torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0)) - 0.5) * 0.4


def per_image(output, ab_norm, weights, options) -> dict[str, torch.Tensor]:
    """All measures that a prediction has."""
    measures = {**paper.MEASURES, "target_entropy": Measure(paper.target_entropy, Kind.DISTRIBUTIONS)}
    kind = Kind.DISTRIBUTIONS if is_distribution(output) else Kind.COLORS
    rgb = torch.zeros(len(ab_norm), *ab_norm.shape[2:], 3, dtype=torch.uint8)  # these measures do not look at it
    truth = Truth(rgb, rgb[..., 0, None].movedim(-1, 1).float(), ab_norm, options)
    compared = Compared(Prediction(output), truth, weights)
    return {name: one.function(compared) for name, one in measures.items() if one.kind <= kind}


def dense(target: targets.SoftTargets) -> torch.Tensor:
    """(B, Q, H, W) float64."""
    zeros = torch.zeros(*target.bins.shape[:3], gamut.NUM_BINS, dtype=torch.float64)
    return zeros.scatter_add(-1, target.bins, target.values.double()).movedim(-1, 1)


def random_logits(*size: int) -> torch.Tensor:
    return torch.randn(3, gamut.NUM_BINS, *size, generator=torch.Generator().manual_seed(1))


def test_a_perfect_prediction_has_no_error(ab_norm):
    found = per_image(ab_norm, ab_norm, ONES, OPTIONS)
    assert set(found) == {"l2", "l1"}  # a color is no bin, so it has no accuracy
    assert found["l2"].tolist() == found["l1"].tolist() == [0, 0, 0]


def test_errors_are_means_over_pixels_and_both_channels():
    truth, predicted = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    predicted[0, :, 0, 0] = torch.tensor([0.5, -0.25])
    found = per_image(predicted, truth, ONES, OPTIONS)
    assert found["l2"].item() == (0.25 + 0.0625) / 4
    assert found["l1"].item() == 0.75 / 4


def test_the_error_of_gray_is_the_size_of_the_colors(ab_norm):
    found = per_image(torch.zeros_like(ab_norm), ab_norm, ONES, OPTIONS)
    exact = ab_norm.double()
    torch.testing.assert_close(found["l2"], exact.square().mean(dim=(1, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(found["l1"], exact.abs().mean(dim=(1, 2, 3)), rtol=1e-6, atol=0)


def test_cross_entropy_is_that_of_the_dense_formula(ab_norm):
    logits = random_logits(4, 4)
    found = per_image(logits, ab_norm, ONES, OPTIONS)
    target = dense(targets.soft_targets(ab_norm, OPTIONS))
    expected = -(target * logits.double().log_softmax(1)).sum(1).mean(dim=(1, 2))
    torch.testing.assert_close(found["cross_entropy"], expected, rtol=1e-6, atol=0)
    assert torch.equal(found["weighted_cross_entropy"], found["cross_entropy"])


def test_weighted_cross_entropy_weighs_each_pixel_by_its_own_bin(ab_norm):
    logits, weights = random_logits(4, 4), torch.linspace(0.1, 6, gamut.NUM_BINS)
    found = per_image(logits, ab_norm, weights, OPTIONS)["weighted_cross_entropy"]
    target = dense(targets.soft_targets(ab_norm, OPTIONS))
    of_pixel = weights.double()[gamut.nearest_bin(ab_norm * 128)]
    expected = (of_pixel * -(target * logits.double().log_softmax(1)).sum(1)).mean(dim=(1, 2))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_weights_leave_the_plain_metrics_alone(ab_norm):
    weights = torch.linspace(0.1, 6, gamut.NUM_BINS)
    plain, weighted = (per_image(random_logits(4, 4), ab_norm, w, OPTIONS) for w in (ONES, weights))
    for name in ("l2", "l1", "accuracy", "cross_entropy", "target_entropy"):
        assert torch.equal(plain[name], weighted[name]), name


def test_logits_of_half_the_size_count_as_if_upsampled_by_nearest(ab_norm):
    half, weights = random_logits(2, 2), torch.linspace(0.1, 6, gamut.NUM_BINS)
    full = functional.interpolate(half, (4, 4), mode="nearest")
    small, large = (per_image(logits, ab_norm, weights, OPTIONS) for logits in (half, full))
    for name, values in large.items():
        torch.testing.assert_close(small[name], values, rtol=1e-6, atol=0, msg=name)


def test_target_entropy_is_the_floor_that_the_target_itself_reaches(ab_norm):
    target = dense(targets.soft_targets(ab_norm, OPTIONS))
    found = per_image(target.clamp_min(1e-30).log().float(), ab_norm, ONES, OPTIONS)
    torch.testing.assert_close(found["cross_entropy"], found["target_entropy"], rtol=1e-5, atol=0)
    other = per_image(random_logits(4, 4), ab_norm, ONES, OPTIONS)
    assert (other["cross_entropy"] > other["target_entropy"]).all()


def test_entropy_is_in_nats():
    between = torch.tensor([5.0, 5.0]).view(1, 2, 1, 1) / 128  # equally far from four bins
    four = targets.Options(num_neighbors=4, sigma=5.0, encode="pixel")
    found = per_image(torch.zeros(1, gamut.NUM_BINS, 1, 1), between, ONES, four)
    assert found["target_entropy"].item() == pytest.approx(math.log(4), rel=1e-6)
    assert found["cross_entropy"].item() == pytest.approx(math.log(313), rel=1e-6)


def test_accuracy_is_that_of_the_argmax_bin(ab_norm):
    truth = gamut.nearest_bin(ab_norm * 128)
    logits = functional.one_hot(truth, gamut.NUM_BINS).movedim(-1, 1).float()
    assert per_image(logits, ab_norm, ONES, OPTIONS)["accuracy"].tolist() == [1, 1, 1]
    logits[:, :, :2] = logits[:, :, :2].roll(1, dims=1)  # half of the pixels get a neighbor in the index
    assert per_image(logits, ab_norm, ONES, OPTIONS)["accuracy"].tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(("device", "at_64"), [("cpu", 4), ("cuda", 128)])
def test_larger_images_are_fewer_at_once_and_never_none(device, at_64):
    assert measuring.images_at_once(device, 64) == at_64
    assert measuring.images_at_once(device, 128) == at_64 // 4
    assert measuring.images_at_once(device, 2048) == 1


def test_the_value_of_a_split_is_the_mean_over_images_or_the_ratio_of_two_sums():
    measured = {"l2": np.array([1.0, 2.0, 6.0]), "class_weight": np.array([1.0, 1.0, 2.0])}
    measured["normalized_weighted_cross_entropy"] = np.array([2.0, 4.0, 8.0])
    found = measuring.values_of_split(measured, MEASURES)
    expected = 14 / 4  # the mean of the three ratios would be 10 / 3
    assert found == {"l2": 3, "class_weight": 4 / 3, "normalized_weighted_cross_entropy": expected}


def test_a_weight_is_a_measure_that_every_model_has():
    weights = {one.weight for one in MEASURES.values()} - {None}
    assert weights == {"class_weight", "inverse_prior"}
    assert all(MEASURES[name].kind == Kind.COLORS for name in weights)


def test_the_page_of_measures_describes_every_measure_with_its_weight(repo):
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", (repo / "docs/measures.md").read_text(encoding="utf-8"), re.MULTILINE)
    weights = {name: re.search(r"Weight: `(\w+)`", text) for name, text in rows}
    assert {name: found and found[1] for name, found in weights.items()} == {
        name: one.weight for name, one in MEASURES.items()
    }
