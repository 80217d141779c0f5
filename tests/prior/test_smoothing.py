"""The distributions of the baselines: added pixels, levels of lightness, and what their files must hold."""

import numpy as np
import pytest
import torch

from colorize.color import cielab, gamut
from colorize.prior import smoothing
from colorize.prior.files import load_array
from colorize.runtime import DataError

ONES = np.ones(gamut.NUM_BINS)


@pytest.fixture(scope="module")
def pixels(tiny) -> dict[str, np.ndarray]:
    """Of the pixels of the training images: lab (3, N), bins (N,) and dense soft targets (N, Q)."""
    lab = cielab.rgb_to_lab(torch.from_numpy(tiny.images["train"]).movedim(-1, 1))
    bins, values = gamut.soft_encode(lab[:, 1:])
    dense = torch.zeros(bins[..., 0].numel(), gamut.NUM_BINS, dtype=torch.float64)
    dense.scatter_add_(1, bins.flatten(0, 2), values.double().flatten(0, 2))
    nearest = gamut.nearest_bin(lab[:, 1:]).flatten().numpy()
    return {"lab": lab.movedim(1, 0).flatten(1).numpy(), "nearest": nearest, "targets": dense.numpy()}


@pytest.fixture(scope="module")
def weights(tiny) -> np.ndarray:
    """The class weights of the training images."""
    return load_array(tiny.prior / "rebalancing.npy")


def test_mean_and_median_are_those_of_all_pixels(tiny, pixels):
    ab = pixels["lab"][1:]
    np.testing.assert_allclose(smoothing.load(tiny.prior, "mean_ab"), ab.mean(axis=1, dtype=float), rtol=1e-5)
    lower = np.sort(ab, axis=1)[:, (ab.shape[1] - 1) // 2]
    assert np.array_equal(smoothing.load(tiny.prior, "median_ab"), lower)


def test_the_constant_is_the_mean_target_of_all_pixels_and_of_one_more_per_bin(tiny, pixels, weights):
    joint = smoothing.load(tiny.prior, "joint")
    for of_bins in (ONES, weights):
        mass = of_bins + (of_bins[pixels["nearest"], None] * pixels["targets"]).sum(axis=0)
        found = smoothing.constant(joint, of_bins)
        np.testing.assert_allclose(found, mass / mass.sum(), rtol=1e-5)


def test_a_bin_that_was_never_seen_has_the_probability_of_one_pixel():
    joint = np.zeros((gamut.NUM_BINS, gamut.NUM_BINS))
    joint[7, 7] = 1000
    found = smoothing.constant(joint, ONES)
    assert found[8] == pytest.approx(1 / 1313) and found[7] == pytest.approx(1001 / 1313)


def test_the_distribution_of_a_level_is_the_mean_target_of_its_pixels_and_of_ten_thousand_average_ones(
    tiny, pixels, weights
):
    level = np.minimum((pixels["lab"][0] / 2).astype(int), 49)
    for name, of_bins in (("lightness_prior", ONES), ("weighted_lightness_prior", weights)):
        weighted = of_bins[pixels["nearest"], None] * pixels["targets"]
        average = (weighted.sum(axis=0) + of_bins) / (len(level) + gamut.NUM_BINS)
        found = smoothing.load(tiny.prior, name)
        assert found.shape == (50, gamut.NUM_BINS)
        for number in np.unique(level):
            mass = weighted[level == number].sum(axis=0) + 10_000 * average
            np.testing.assert_allclose(found[number], mass / mass.sum(), rtol=1e-5)
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert found.min() > 0


def test_a_level_without_pixels_has_the_colors_of_all_levels():
    joint = np.diag(np.arange(gamut.NUM_BINS, dtype=float))
    found = smoothing.by_lightness(np.zeros((smoothing.LEVELS, gamut.NUM_BINS)), joint, ONES)
    np.testing.assert_allclose(found[3], smoothing.constant(joint, ONES))


def test_black_is_in_the_first_level_and_white_in_the_last():
    assert smoothing.level_of(torch.tensor([-1e-6, 0.0, 1.99, 2.0, 99.99, 100.0])).tolist() == [0, 0, 0, 1, 49, 49]


@pytest.mark.parametrize("name", smoothing.FILES)
def test_a_file_of_another_shape_is_refused(tmp_path, name):
    np.save(tmp_path / f"{name}.npy", ONES)
    with pytest.raises(DataError, match=rf"{name}\.npy: shape \(313,\), expected"):
        smoothing.load(tmp_path, name)


def test_a_color_may_be_negative_or_gray_and_a_distribution_not(tmp_path):
    for values in ([-3.0, 4.0], [0.0, 0.0]):
        np.save(tmp_path / "mean_ab.npy", np.array(values))
        assert smoothing.load(tmp_path, "mean_ab").tolist() == values
    np.save(tmp_path / "joint.npy", -np.ones((gamut.NUM_BINS, gamut.NUM_BINS)))
    with pytest.raises(DataError, match="negative"):
        smoothing.load(tmp_path, "joint")
