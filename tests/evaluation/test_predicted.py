"""Distributions beside softmax by hand; a table of rows beside the same rows written out for every pixel."""

import numpy as np
import pytest
import torch

from colorize.color import gamut
from colorize.evaluation import predicted
from colorize.evaluation.predicted import Distributions

Q = gamut.NUM_BINS
TEMPERATURES = (0.01, 0.38, 1.0, 2.0)


@pytest.fixture
def rows() -> torch.Tensor:
    """(5, Q) logits; in the first row two bins have the largest logit."""
    logits = 4 * torch.randn(5, Q, generator=torch.Generator().manual_seed(0))
    logits[0, [7, 90]] = 30.0
    return logits


@pytest.fixture
def index() -> torch.Tensor:
    """(2, 3, 4) numbers of rows."""
    return torch.randint(0, 5, (2, 3, 4), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["logits", "table"])
def distributions(request, rows, index) -> Distributions:
    """The same distributions, of a network and of a table."""
    if request.param == "table":
        return Distributions.of_table(rows, index, TEMPERATURES)
    return Distributions.of_logits(rows[index].movedim(-1, 1), TEMPERATURES)


@pytest.fixture
def p(rows, index):
    """`p(T)`: (2, 3, 4, Q) float64, softmax(logits / T)."""

    def softmax(temperature: float) -> np.ndarray:
        logits = rows[index].double().numpy() / temperature
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    return softmax


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_mean_colors_are_those_of_the_softmax(distributions, p, temperature):
    expected = np.moveaxis(p(temperature) @ gamut.GAMUT_AB, -1, 1)
    np.testing.assert_allclose(distributions.mean_ab(temperature).numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_log_probabilities_and_the_top_are_those_of_the_softmax(distributions, p, temperature):
    bins = torch.randint(0, Q, (2, 3, 4, 6), generator=torch.Generator().manual_seed(2))
    bins[..., 0] = distributions.modes
    found = distributions.log_probabilities(bins, temperature).numpy()
    with np.errstate(divide="ignore"):
        expected = np.log(np.take_along_axis(p(temperature), bins.numpy(), axis=-1))
    is_finite = np.isfinite(expected)  # below 1e-308, the softmax by hand is 0
    np.testing.assert_allclose(found[is_finite], expected[is_finite], rtol=1e-4, atol=1e-4)
    assert (found[~is_finite] < -700).all()
    np.testing.assert_allclose(distributions.top_probability(temperature), p(temperature).max(axis=-1), rtol=1e-5)


def test_the_entropy_is_that_of_the_softmax(distributions, p):
    terms = p(1.0) * np.log(np.maximum(p(1.0), 1e-300))
    found = distributions.entropy.numpy()
    np.testing.assert_allclose(found, -terms.sum(axis=-1), rtol=1e-4, atol=1e-5)
    assert found.shape == (2, 3, 4) and found.min() >= 0


def test_equal_logits_have_the_largest_entropy_and_a_certain_prediction_has_none():
    logits = torch.zeros(1, Q, 1, 2)
    logits[0, 3, 0, 1] = 1000.0
    found = Distributions.of_logits(logits).entropy
    assert found.flatten().tolist() == [pytest.approx(np.log(Q), rel=1e-6), pytest.approx(0, abs=1e-20)]


def test_the_annealed_mean_is_that_of_photos(rows, index):
    logits = rows[index].movedim(-1, 1)
    found = Distributions.of_logits(logits, (gamut.ANNEALED,)).mean_ab(gamut.ANNEALED)
    torch.testing.assert_close(found, gamut.annealed_mean(logits), rtol=1e-5, atol=1e-3)


def test_towards_zero_the_mean_is_the_mode(rows, index):
    found = Distributions.of_logits(rows[index].movedim(-1, 1)[:, :, 1:], (1e-6,))
    is_tied = (index == 0)[:, 1:]
    mode = gamut.gamut_ab()[found.modes]
    torch.testing.assert_close(found.mean_ab(1e-6).movedim(1, -1)[~is_tied], mode[~is_tied], rtol=0, atol=1e-4)


def test_of_equally_probable_bins_the_first_is_the_mode(distributions, index):
    assert (distributions.modes[index == 0] == 7).all()


def test_the_rank_is_the_number_of_more_probable_bins(distributions, p):
    bins = torch.randint(0, Q, (2, 3, 4, 2), generator=torch.Generator().manual_seed(2))
    bins[..., 0] = 90
    at = np.take_along_axis(p(1.0), bins.numpy(), axis=-1)
    expected = (p(1.0)[..., None, :] > at[..., None]).sum(axis=-1)
    assert distributions.rank(bins).tolist() == expected.tolist()


def test_results_do_not_depend_on_how_many_rows_are_computed_at_a_time(rows, index, monkeypatch):
    bins = index[..., None]

    def results() -> list[torch.Tensor]:
        found = Distributions.of_logits(rows[index].movedim(-1, 1), TEMPERATURES)
        return [found.mean_ab(0.38), found.entropy, found.rank(bins), found.log_probabilities(bins)]

    before = results()
    monkeypatch.setattr(predicted, "_CACHED_ROWS", 5)
    for whole, parts in zip(before, results(), strict=True):
        torch.testing.assert_close(whole, parts)


def test_half_precision_logits_are_computed_in_single_precision(rows, index):
    half = rows[index].movedim(-1, 1).bfloat16()
    found, expected = (Distributions.of_logits(logits, (1.0,)) for logits in (half, half.float()))
    assert torch.equal(found.mean_ab(1.0), expected.mean_ab(1.0))
    assert torch.equal(found.log_probabilities(index[..., None]), expected.log_probabilities(index[..., None]))
