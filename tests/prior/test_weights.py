"""Class rebalancing weights: Zhang et al.'s numbers, and the formula's own properties."""

import numpy as np
import pytest

from colorize.color import gamut
from colorize.prior.weights import rebalancing_weights


@pytest.fixture(scope="module")
def imagenet(data_files) -> np.ndarray:
    """(Q,) the published prior of ImageNet."""
    return np.load(data_files / "prior_probs.npy")


def test_weights_of_the_published_prior(imagenet):
    weights = rebalancing_weights(imagenet)
    assert weights.min() == pytest.approx(0.0965, abs=5e-5)
    assert np.median(weights) == pytest.approx(5.999, abs=5e-4)
    assert weights.mean() == pytest.approx(5.175, abs=5e-4)
    assert weights.max() == pytest.approx(6.175, abs=5e-4)


def test_gray_weighs_least_and_the_rarest_color_most(imagenet):
    weights = rebalancing_weights(imagenet)
    assert gamut.GAMUT_AB[weights.argmin()].tolist() == [0, 0]
    assert gamut.GAMUT_AB[weights.argmax()].tolist() == [100, -90]


@pytest.mark.parametrize("lambda_", [0.01, 0.5, 1.0])
def test_the_expected_weight_is_one(imagenet, lambda_):
    assert (imagenet * rebalancing_weights(imagenet, lambda_)).sum() == pytest.approx(1, abs=1e-12)


def test_a_uniform_share_of_one_weighs_all_alike(imagenet):
    np.testing.assert_allclose(rebalancing_weights(imagenet, 1.0), 1)


def test_bins_that_never_occur_have_finite_weights():
    prior = np.zeros(313)
    prior[:2] = 0.5
    weights = rebalancing_weights(prior)
    assert np.isfinite(weights).all()
    assert weights[2] / weights[0] == pytest.approx((0.5 * 0.5 + 0.5 / 313) / (0.5 / 313))


@pytest.mark.parametrize("lambda_", [0.0, -0.1, 1.1, float("nan")])
def test_a_lambda_out_of_range_is_refused(imagenet, lambda_):
    with pytest.raises(ValueError, match="lambda"):
        rebalancing_weights(imagenet, lambda_)


@pytest.mark.parametrize("prior", [np.full(313, 1.0), np.full(313, np.nan), np.r_[-0.1, 1.1, np.zeros(311)]])
def test_what_is_no_distribution_is_refused(prior):
    with pytest.raises(ValueError, match="the prior sums to"):
        rebalancing_weights(prior)
