import numpy as np
import pytest

from colorize.color.colorfulness import colorfulness


def test_colorfulness_follows_the_paper_with_signed_channels():
    rgb = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    red, green, blue = (rgb[:, :, channel].astype(float) for channel in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert colorfulness(rgb) == pytest.approx(expected, rel=1e-12)


def test_colorfulness_of_known_images():
    halves = np.zeros((2, 2, 3), np.uint8)
    halves[0], halves[1] = (255, 0, 0), (0, 255, 0)  # rg = +-255, yb = 127.5: absolute values would lose the spread
    assert colorfulness(halves) == pytest.approx(255 + 0.3 * 127.5)
    assert colorfulness(np.full((8, 8, 3), 77, np.uint8)) == 0


@pytest.mark.parametrize("shape", [(64, 64), (33, 31), (224, 224), (1, 1)])
def test_colorfulness_of_the_most_colorful_pixels_is_exact(shape):
    yellow = np.full((*shape, 3), (255, 255, 0), np.uint8)
    assert colorfulness(yellow) == 0.3 * 255
    yellow[0] = (0, 0, 255)
    share = 1 / shape[0]
    expected = 510 * np.sqrt(share * (1 - share)) + 0.3 * 255 * abs(1 - 2 * share)
    assert colorfulness(yellow) == pytest.approx(expected, rel=1e-12)


def test_images_at_once_are_as_colorful_as_one_by_one():
    rgb = np.random.default_rng(0).integers(0, 256, (3, 7, 16, 8, 3), dtype=np.uint8)
    assert np.array_equal(colorfulness(rgb), [[colorfulness(image) for image in row] for row in rgb])
