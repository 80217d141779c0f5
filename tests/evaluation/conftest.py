"""Pictures, predictions of them, and the batch that a measure gets."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from colorize.color import cielab, gamut, targets
from colorize.evaluation.measuring import Compared, Prediction, Truth

SIZES = [(1, 16, 16), (2, 24, 40)]  # images, height, width


def _gray(size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.repeat(rng.integers(0, 256, (*size, 1), dtype=np.uint8), 3, axis=-1)


def _smooth(size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    phase = rng.uniform(0, 6, (size[0], 1, 1, 3))
    rows, columns = np.arange(size[1])[None, :, None, None], np.arange(size[2])[None, None, :, None]
    return np.uint8(127.5 + 120 * np.sin(phase + rows / 7 + columns / 11))


PICTURES: dict[str, Callable] = {
    "random": lambda size, rng: rng.integers(0, 256, (*size, 3), dtype=np.uint8),
    "smooth": _smooth,
    "saturated": lambda size, rng: 255 * rng.integers(0, 2, (*size, 3), dtype=np.uint8),
    "gray": _gray,
    "black": lambda size, rng: np.zeros((*size, 3), dtype=np.uint8),
}


@pytest.fixture(params=SIZES, ids=str)
def size(request) -> tuple[int, int, int]:
    """Number, height and width of the images."""
    return request.param


@pytest.fixture(params=PICTURES)
def rgb(request, size) -> np.ndarray:
    """(B, H, W, 3) uint8."""
    return PICTURES[request.param](size, np.random.default_rng(0))


@pytest.fixture(scope="session")
def compare():
    """`compare(rgb, output, ...)`: the batch; without an output, the prediction is the truth."""

    def batch(rgb: np.ndarray, output=None, weights=None, inverse_prior=None) -> Compared:
        L_norm, ab_norm = cielab.split_lab(cielab.rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 1)))
        truth = Truth(torch.from_numpy(rgb), L_norm, ab_norm, targets.Options(10, 5.0, "pixel"))
        weights = torch.ones(gamut.NUM_BINS) if weights is None else weights
        return Compared(Prediction(ab_norm if output is None else output), truth, weights, inverse_prior)

    return batch


def _noise(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["regression", "bins", "bins at half the size", "gray"])
def batch(request, rgb, compare) -> Compared:
    """Predictions of each kind, some of them outside of the gamut, beside the truth."""
    count, height, width, _ = rgb.shape
    truth = compare(rgb).ab_norm
    output = {
        "regression": truth + 0.1 * _noise(truth.shape),
        "bins": _noise((count, gamut.NUM_BINS, height, width)),
        "bins at half the size": _noise((count, gamut.NUM_BINS, height // 2, width // 2)),
        "gray": torch.zeros_like(truth),
    }[request.param]
    return compare(rgb, output)
