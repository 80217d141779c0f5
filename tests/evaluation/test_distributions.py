"""Measures of predicted bins and distributions: agreement with loops over pixels in numpy, and known values."""

import weakref

import numpy as np
import pytest
import torch

from colorize.color import gamut
from colorize.evaluation import distributions, measuring, paper
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Compared

BINS = gamut.NUM_BINS
WEIGHTS = torch.linspace(0.1, 6, BINS)
INVERSE_PRIOR = torch.linspace(300, 1, BINS)
LOGITS = weakref.WeakKeyDictionary()  # of the batches of `predicted`


@pytest.fixture(params=[1, 2], ids=["logits", "logits of half the size"])
def predicted(request, rgb, compare) -> Compared:
    """Random logits, in which the true bin often is among the first."""
    count, height, width, _ = rgb.shape
    small = (height // request.param, width // request.param)
    logits = torch.randn(count, BINS, *small, generator=torch.Generator().manual_seed(2))
    near = compare(rgb).true_bins[:, :: request.param, :: request.param]
    logits += 2 * torch.nn.functional.one_hot(near, BINS).movedim(-1, 1)
    batch = compare(rgb, logits, WEIGHTS, INVERSE_PRIOR)
    LOGITS[batch] = logits
    return batch


def probabilities(batch: Compared) -> np.ndarray:
    """(B, H, W, Q) float64, each pixel with the distribution of its logits."""
    logits = LOGITS[batch].movedim(1, -1).double().numpy()
    for axis in (1, 2):
        logits = logits.repeat(batch.stride, axis=axis)
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def soft_targets(batch: Compared) -> np.ndarray:
    """(B, H, W, Q) float64: Gaussian weights on the bins that the targets name, from distances to their centers."""
    ab = batch.ab_norm.movedim(1, -1).double().numpy() * 128
    dense = np.exp(-np.square(ab[..., None, :] - gamut.GAMUT_AB).sum(axis=-1) / 50)
    keep = np.zeros(dense.shape)
    np.put_along_axis(keep, batch.targets.bins.numpy(), 1, axis=-1)
    return dense * keep / (dense * keep).sum(axis=-1, keepdims=True)


def test_top5_accuracy_is_that_of_sorted_bins(predicted):
    first = np.argsort(-probabilities(predicted), axis=-1)[..., :5]
    is_among = (first == predicted.true_bins.numpy()[..., None]).any(axis=-1)
    found = distributions.top5_accuracy(predicted)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(is_among.mean(axis=(1, 2)).tolist(), abs=1e-12)


@pytest.mark.parametrize(("above", "expected"), [(0, 1), (4, 1), (5, 0), (312, 0)])
def test_the_fifth_bin_counts_and_the_sixth_does_not(compare, above, expected):
    rgb = np.full((1, 16, 16, 3), (200, 40, 40), dtype=np.uint8)
    true_bin = compare(rgb).true_bins[0, 0, 0]
    others = [number for number in range(BINS) if number != true_bin]
    logits = torch.zeros(1, BINS, 16, 16)
    logits[:, others[:above]] = 1
    logits[:, others[above:]] = -1
    assert distributions.top5_accuracy(compare(rgb, logits)).item() == expected


def test_kl_divergence_is_that_of_the_dense_formula(predicted):
    target, p = soft_targets(predicted), probabilities(predicted)
    terms = np.where(target > 0, target * np.log(np.maximum(target, 1e-300) / p), 0)
    found = distributions.kl_divergence(predicted)
    assert (found > 0).all()
    np.testing.assert_allclose(found.numpy(), terms.sum(axis=-1).mean(axis=(1, 2)), rtol=1e-5, atol=1e-5)


def test_kl_divergence_of_the_targets_themselves_is_zero(compare):
    rgb = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    logits = torch.from_numpy(np.log(np.maximum(soft_targets(compare(rgb)), 1e-30))).float().movedim(-1, 1)
    assert distributions.kl_divergence(compare(rgb, logits)).abs().max() < 1e-5


def value_of_split(name: str, batch: Compared) -> float:
    """Of the images of one batch."""
    names = (name, MEASURES[name].weight)
    return measuring.values_of_split({one: MEASURES[one].function(batch).numpy() for one in names}, MEASURES)[name]


def test_normalized_weighted_cross_entropy_is_the_mean_over_pixels_by_class_weight(predicted):
    cross_entropy = -(soft_targets(predicted) * np.log(probabilities(predicted))).sum(axis=-1)
    weights = WEIGHTS.double().numpy()[predicted.true_bins.numpy()]
    expected = (weights * cross_entropy).sum() / weights.sum()
    assert value_of_split("normalized_weighted_cross_entropy", predicted) == pytest.approx(expected, rel=1e-5)


def test_equal_weights_leave_the_normalized_cross_entropy_plain(rgb, compare):
    logits = torch.randn(len(rgb), BINS, *rgb.shape[1:3], generator=torch.Generator().manual_seed(2))
    batch = compare(rgb, logits, weights=torch.full((BINS,), 7.0))
    plain = paper.cross_entropy(batch).mean().item()
    assert value_of_split("normalized_weighted_cross_entropy", batch) == pytest.approx(plain, rel=1e-6)


def test_rebalanced_accuracy_is_the_mean_over_pixels_by_inverse_prior(predicted):
    true_bins = predicted.true_bins.numpy()
    is_right = predicted.predicted_bins.numpy() == true_bins
    weights = INVERSE_PRIOR.double().numpy()[true_bins]
    expected = (weights * is_right).sum() / weights.sum()
    assert value_of_split("rebalanced_accuracy", predicted) == pytest.approx(expected, rel=1e-6)


def test_rebalanced_accuracy_by_the_splits_own_prior_is_the_mean_over_bins_that_occur(compare):
    rgb = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    truth = compare(rgb)
    counts = torch.bincount(truth.true_bins.flatten(), minlength=BINS)
    wrong = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0)) < 0.3 + truth.ab_norm[:, :1]
    batch = compare(rgb, torch.where(wrong, 0.0, truth.ab_norm), inverse_prior=1 / counts)
    is_right = (batch.predicted_bins == batch.true_bins).flatten().double()
    hits = torch.bincount(batch.true_bins.flatten(), is_right, BINS)
    expected = (hits / counts)[counts > 0].mean().item()
    assert 0 < expected < 1
    assert value_of_split("rebalanced_accuracy", batch) == pytest.approx(expected, rel=1e-5)
