"""How colorful predictions are, and how many of their colors are gray or outside of the gamut."""

import numpy as np
import pytest
import torch

from colorize.color.colorfulness import colorfulness
from colorize.evaluation import colors


def of_absolute_channels(rgb: np.ndarray) -> float:
    """As DDColor's code computes it, (H, W, 3) uint8."""
    red, green, blue = (rgb[..., channel].astype(float) for channel in range(3))
    rg, yb = np.absolute(red - green), np.absolute(0.5 * (red + green) - blue)
    return np.sqrt(rg.std() ** 2 + yb.std() ** 2) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)


def assert_equal_to(found: torch.Tensor, expected: list[float]) -> None:
    assert found.dtype == torch.float64 and found.shape == (len(expected),)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-9)


def pictures(batch) -> tuple[np.ndarray, np.ndarray]:
    """The predicted and the true ones, (B, H, W, 3) uint8."""
    return tuple(rgb.movedim(1, -1).to(torch.uint8).numpy() for rgb in (batch.predicted_rgb, batch.true_rgb))


def test_colorfulness_is_that_of_the_sharding(batch):
    predicted, true = map(colorfulness, pictures(batch))
    assert_equal_to(colors.colorfulness(batch), predicted)
    assert_equal_to(colors.true_colorfulness(batch), true)
    assert_equal_to(colors.colorfulness_error(batch), np.abs(predicted - true))


def test_the_variant_takes_absolute_values_first(batch):
    predicted, true = (np.array([of_absolute_channels(rgb) for rgb in images]) for images in pictures(batch))
    assert_equal_to(colors.absolute_colorfulness(batch), predicted)
    assert_equal_to(colors.true_absolute_colorfulness(batch), true)
    assert_equal_to(colors.absolute_colorfulness_error(batch), np.abs(predicted - true))


def test_known_colorfulness_of_both_variants(compare):
    """Half red, half green: rg = +-255 and yb = 127.5, so only the signed channels spread."""
    halves = np.zeros((1, 16, 16, 3), dtype=np.uint8)
    halves[:, :8], halves[:, 8:] = (255, 0, 0), (0, 255, 0)
    batch = compare(halves)
    assert colors.colorfulness(batch).item() == pytest.approx(255 + 0.3 * 127.5)
    assert colors.absolute_colorfulness(batch).item() == pytest.approx(0.3 * np.hypot(255, 127.5))
    assert colors.colorfulness_error(batch).item() == 0


def test_shares_of_pixels_near_gray(batch):
    predicted, true = (
        (np.hypot(*(128 * ab.double().numpy()).swapaxes(0, 1)) <= 5).mean(axis=(1, 2))
        for ab in (batch.predicted, batch.ab_norm)
    )
    assert_equal_to(colors.near_gray(batch), predicted)
    assert_equal_to(colors.true_near_gray(batch), true)


def test_chroma_of_five_units_is_near_gray_and_more_is_not(compare):
    rgb = np.full((1, 2, 2, 3), 128, dtype=np.uint8)
    ab = torch.tensor([[3.0, 5.1, 0, 40], [4.0, 0, 0, 40]]).view(1, 2, 2, 2)
    batch = compare(rgb, ab / 128)
    assert colors.near_gray(batch).item() == 0.5
    assert colors.true_near_gray(batch).item() == 1


def test_colors_that_srgb_cannot_show_are_counted(compare):
    rgb = np.full((2, 4, 4, 3), 20, dtype=np.uint8)
    output = torch.zeros(2, 2, 4, 4)
    output[1, :, :1] = 0.9  # no dark color has so much chroma
    batch = compare(rgb, output)
    assert colors.out_of_gamut(batch).tolist() == [0, 0.25]
    L, chroma = batch.fitted[0][1, 0], batch.fitted[0][1, 1:].norm(dim=0)
    assert torch.equal(L, batch.true_lab[1, 0])
    assert (chroma[0] < 60).all() and (chroma[0] > 5).all() and (chroma[1:] == 0).all()
