"""Decoding in blocks of pixels: the same colors and entropies as from all logits at once, for every kind of network."""

import pytest
import torch

from colorize.color import gamut
from colorize.models.contract import build_model
from colorize.photos import decode
from colorize.runtime import DataError


class Fixed:
    """A network of another kind, such as an ONNX file, that always has the same output."""

    multiple_of = 8

    def __init__(self, found: torch.Tensor):
        self._found = found

    def __call__(self, L_norm: torch.Tensor) -> torch.Tensor:
        return self._found


def logits(spread: float) -> torch.Tensor:
    return torch.randn(2, gamut.NUM_BINS, 24, 30, generator=torch.Generator().manual_seed(0)) * spread


@pytest.mark.parametrize("spread", [0, 1, 8, 500])
@pytest.mark.parametrize("temperature", [1e-3, 0.05, 0.38, 1])
def test_the_annealed_mean_is_that_of_float64(spread, temperature):
    found = logits(spread)
    p = torch.softmax(found.double() / temperature, dim=1)
    expected = torch.einsum("bqhw,qc->bchw", p, gamut.gamut_ab().double())
    ab = decode.decode(Fixed(found), found, temperature).ab
    torch.testing.assert_close(ab.double(), expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize("offset", [-300, 300])
def test_only_differences_of_logits_matter(offset):
    found = logits(8)
    ab = [decode.decode(Fixed(shifted), found, 0.38).ab for shifted in (found, found + offset)]
    torch.testing.assert_close(*ab, atol=2e-2, rtol=0)  # ab of 110, times the rounding of 300 in float32 / 0.38


def test_temperature_0_is_the_mode():
    found = logits(3)
    assert torch.equal(decode.decode(Fixed(found), found, 0).ab, gamut.mode(found))


def test_a_classifier_gives_what_its_logits_give():
    """Its last layer is computed block by block."""
    torch.manual_seed(0)
    for name in ("cnn", "unet"):
        model = build_model(name, 0.1).eval()
        L_norm = torch.rand(2, 1, 56, 72)  # the last block of pixels is smaller
        with torch.inference_mode():
            found = model(L_norm)
        whole = decode.decode(Fixed(found), L_norm, 0.38, has_entropy=True)
        blocks = decode.decode(model, L_norm, 0.38, has_entropy=True)
        torch.testing.assert_close(blocks.ab, whole.ab, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(blocks.entropy, whole.entropy, atol=1e-4, rtol=1e-4)


def test_entropy_is_between_0_and_that_of_equal_bins():
    for spread, expected in ((0, torch.tensor(gamut.NUM_BINS).log()), (1e4, torch.tensor(0.0))):
        found = logits(spread)
        entropy = decode.decode(Fixed(found), found, 1, has_entropy=True).entropy
        assert entropy.shape == (2, 24, 30)
        torch.testing.assert_close(entropy.mean(), expected, atol=1e-2, rtol=0)


def test_a_regression_has_ab_and_no_entropy():
    ab_norm = torch.rand(1, 2, 8, 8)
    decoded = decode.decode(Fixed(ab_norm), ab_norm, None, has_entropy=True)
    assert torch.equal(decoded.ab, ab_norm * 128)
    assert decoded.entropy is None


@pytest.mark.parametrize("wrong", [float("nan"), -float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("temperature", [0, 0.38])
def test_one_output_that_is_not_finite_is_an_error(wrong, temperature):
    for found in (logits(1), torch.rand(1, 2, 24, 30)):
        found[0, 1, 20, 3] = wrong
        with pytest.raises(DataError, match="not finite"):
            decode.decode(Fixed(found), found, temperature)
