"""Every measure agrees with the independent implementation in tools/review, on pictures of all kinds."""

import numpy as np
import pytest
import torch

from colorize.color import gamut
from colorize.evaluation.decodings import DECODINGS, decoded_measures
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Kind
from colorize.evaluation.predicted import Distributions
from tools.review import distributions, measures

WEIGHTS, INVERSE_PRIOR = np.linspace(0.1, 6, gamut.NUM_BINS), np.linspace(300, 1, gamut.NUM_BINS)
SOURCE = measures.Source(WEIGHTS, INVERSE_PRIOR)


def assert_agrees(batch, names: dict, expected: measures.Measured) -> None:
    """Within 1e-4, and the effect of close cases that float32 may decide in another way."""
    assert set(names) == set(expected.values)
    for name, one in names.items():
        found, value = one.function(batch).numpy(), expected.values[name]
        error = np.abs(found - value) - expected.doubt.get(name, 0)
        assert (error <= 1e-4 * np.maximum(1, np.abs(value))).all(), (name, found, value)


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return {"weights": torch.from_numpy(WEIGHTS).float(), "inverse_prior": torch.from_numpy(INVERSE_PRIOR).float()}


def test_measures_of_colors(rgb, compare, weights):
    truth = compare(rgb).ab_norm
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    batch = compare(rgb, truth + 0.1 * noise, **weights)
    ab = 128 * batch.predicted.double().movedim(1, -1).numpy()
    expected = measures.of_colors(measures.truth_of(rgb, 10, 5.0, True), ab, SOURCE)
    assert_agrees(batch, {name: one for name, one in MEASURES.items() if one.kind == Kind.COLORS}, expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_measures_of_distributions_with_all_decodings(rgb, compare, weights, stride):
    count, height, width, _ = rgb.shape
    size = (count, gamut.NUM_BINS, height // stride, width // stride)
    near = compare(rgb).true_bins[:, ::stride, ::stride]
    logits = torch.randn(size, generator=torch.Generator().manual_seed(2))
    logits += 2 * torch.nn.functional.one_hot(near, gamut.NUM_BINS).movedim(-1, 1)
    batch = compare(rgb, Distributions.of_logits(logits, tuple(DECODINGS.values())), **weights)
    rows = np.arange(near.numel()).reshape(near.shape).repeat(stride, axis=1).repeat(stride, axis=2)
    table = distributions.Table(logits.movedim(1, -1).flatten(0, 2).numpy())
    predicted = distributions.Predicted(plain=distributions.Distributions(table, rows))
    expected = distributions.of_prediction(measures.truth_of(rgb, 10, 5.0, True), predicted, SOURCE)
    assert_agrees(batch, MEASURES, expected["mode"])
    for decoding in DECODINGS:
        prefix = f"{decoding}/"
        decoded = {
            name.removeprefix(prefix): one for name, one in decoded_measures().items() if name.startswith(prefix)
        }
        assert_agrees(batch, decoded, expected[decoding])
