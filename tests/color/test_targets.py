"""Sparse targets: what a pixel's values mean, and pooling."""

import torch

from colorize.color import gamut, targets

OPTIONS = targets.Options(num_neighbors=10, sigma=5.0, encode="pixel")


def random_ab_norm(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) - 0.5


def dense(target: targets.SoftTargets) -> torch.Tensor:
    """(B, H, W, Q)."""
    zeros = torch.zeros(*target.bins.shape[:3], gamut.NUM_BINS)
    return zeros.scatter_add(-1, target.bins, target.values)


def test_targets_are_the_soft_encoding_of_ab_in_lab_units():
    ab_norm = random_ab_norm(2, 2, 4, 4)
    target = targets.soft_targets(ab_norm, OPTIONS)
    bins, values = gamut.soft_encode(ab_norm * 128, 10, 5.0, "pixel")
    assert torch.equal(target.bins, bins)
    assert torch.equal(target.values, values)


def test_a_weighted_pixel_sums_to_the_weight_of_its_own_bin():
    ab_norm, weights = random_ab_norm(2, 2, 4, 4), torch.linspace(0.1, 6, gamut.NUM_BINS)
    target = targets.weigh(targets.soft_targets(ab_norm, OPTIONS), ab_norm, weights)
    torch.testing.assert_close(target.values.sum(-1), weights[gamut.nearest_bin(ab_norm * 128)])


def test_pooling_is_the_mean_over_each_square():
    ab_norm = random_ab_norm(2, 2, 4, 6)
    target = targets.soft_targets(ab_norm, OPTIONS)
    pooled = targets.pool(target, 2)
    assert pooled.bins.shape == (2, 2, 3, 40)
    expected = dense(target).view(2, 2, 2, 3, 2, -1).mean(dim=(2, 4))
    torch.testing.assert_close(dense(pooled), expected)


def test_a_stride_of_one_changes_nothing():
    target = targets.soft_targets(random_ab_norm(1, 2, 4, 4), OPTIONS)
    assert targets.pool(target, 1) is target
