"""The measures of further decodings are those of the decoded colors."""

import numpy as np
import pytest
import torch

from colorize.color import gamut
from colorize.evaluation import decodings, measuring
from colorize.evaluation.decodings import DECODINGS
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Compared, Kind, Prediction
from colorize.evaluation.predicted import Distributions
from colorize.photos.predict import DEFAULT_TEMPERATURE

COLORS = [name for name, one in MEASURES.items() if one.kind == Kind.COLORS]


@pytest.fixture(params=[1, 2], ids=["logits", "logits of half the size"])
def logits(request, rgb) -> torch.Tensor:
    """Random, with a few probable bins."""
    small = (rgb.shape[1] // request.param, rgb.shape[2] // request.param)
    return 3 * torch.randn(len(rgb), gamut.NUM_BINS, *small, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("decoding", DECODINGS)
def test_all_measures_of_the_colors_are_those_of_the_decoded_colors(compare, rgb, logits, decoding):
    plain = compare(rgb)
    ab = gamut.annealed_mean(logits.double(), DECODINGS[decoding]).float()
    stride = rgb.shape[1] // logits.shape[2]
    colors = compare(rgb, ab.repeat_interleave(stride, dim=2).repeat_interleave(stride, dim=3) / 128)
    batch = plain.with_prediction(Prediction(Distributions.of_logits(logits, tuple(DECODINGS.values()))))
    measures = decodings.decoded_measures()
    for name in COLORS:
        found = measures[f"{decoding}/{name}"].function(batch).numpy()
        np.testing.assert_allclose(found, MEASURES[name].function(colors).numpy(), rtol=2e-3, atol=2e-3, err_msg=name)
    assert len(measures) == len(DECODINGS) * len(COLORS)


def test_the_temperatures_are_those_of_zhang_and_one():
    assert DECODINGS == {"annealed_mean": DEFAULT_TEMPERATURE, "mean": 1.0}


def test_weights_of_ratios_stay_and_colors_alone_have_no_decoding():
    for name, one in decodings.decoded_measures().items():
        assert one.kind == Kind.DISTRIBUTIONS
        assert one.weight == MEASURES[name.partition("/")[2]].weight


def test_one_pass_over_the_logits_gives_all_decodings(compare, monkeypatch):
    """A second pass would cost as much as the other measures of the logits together."""
    passes = []
    pass_over = measuring.Distributions._at.func
    counted = measuring.cached_property(lambda self: passes.append(1) or pass_over(self))
    counted.__set_name__(Distributions, "_at")
    monkeypatch.setattr(Distributions, "_at", counted)
    rgb = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    logits = torch.randn(2, gamut.NUM_BINS, 16, 16, generator=torch.Generator().manual_seed(0))
    prediction = Prediction(Distributions.of_logits(logits, tuple(DECODINGS.values())))
    batch = Compared(prediction, compare(rgb).truth, torch.ones(gamut.NUM_BINS))
    for one in (MEASURES | decodings.decoded_measures()).values():
        batch.once(one.function)
    assert len(passes) == 1


def test_results_are_sorted_by_decoding():
    values = [np.array([float(n)]) for n in range(4)]
    names = ("l2", "accuracy", "annealed_mean/l2", "mean/l2")
    found = decodings.by_decoding(dict(zip(names, values, strict=True)))
    assert list(found) == ["mode", "annealed_mean", "mean"]
    assert found["mode"] == {"l2": values[0], "accuracy": values[1]}
    assert found["mean"] == {"l2": values[3]}
