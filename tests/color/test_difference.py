"""CIEDE2000: the published test data, and agreement with scikit-image."""

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000

from colorize.color.difference import ciede2000

# Sharma, Wu and Dalal (2005), table 1: L, a, b of both colors, and their difference.
PUBLISHED = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1.0000
50 -1.1848 -84.8006 50 0 -82.7485 1.0000
50 -0.9009 -85.5211 50 0 -82.7485 1.0000
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0010 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0010 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1.0000
50 2.5 0 50 3.2972 0 1.0000
50 2.5 0 50 1.8634 0.5757 1.0000
50 2.5 0 50 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def test_the_published_pairs_have_their_published_differences():
    table = torch.tensor([[float(number) for number in line.split()] for line in PUBLISHED.strip().splitlines()])
    assert table.shape == (34, 7)
    lab_1, lab_2 = (table.double()[:, start : start + 3].t()[:, None] for start in (0, 3))  # (3, 1, 34)
    lab_1, lab_2 = lab_1.mul(1e4).round() / 1e4, lab_2.mul(1e4).round() / 1e4
    expected = table[None, :, 6].double()
    torch.testing.assert_close(ciede2000(lab_1, lab_2), expected, rtol=0, atol=6e-5)
    torch.testing.assert_close(ciede2000(lab_2, lab_1), expected, rtol=0, atol=6e-5)


@pytest.mark.parametrize("distance", [1, 0.05, 0.001])
def test_random_colors_differ_as_in_scikit_image(distance):
    rng = np.random.default_rng(0)
    low, high = np.array([0, -100, -100]), np.array([100, 100, 100])
    lab_1, other = (rng.uniform(low, high, (2, 100, 100, 3)).astype(np.float32) for _ in range(2))
    lab_2 = lab_1 + np.float32(distance) * (other - lab_1)
    found = ciede2000(*(torch.from_numpy(lab).movedim(-1, 1) for lab in (lab_1, lab_2)))
    expected = deltaE_ciede2000(lab_1.astype(float), lab_2.astype(float))
    assert found.dtype == torch.float32 and found.shape == (2, 100, 100)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)
    np.testing.assert_allclose(found.double().mean(dim=(1, 2)), expected.mean(axis=(1, 2)), rtol=0, atol=2e-5)


def test_grays_differ_by_lightness_alone():
    lab_1, lab_2 = torch.zeros(3, 1, 2), torch.zeros(3, 1, 2)
    lab_2[0, 0] = torch.tensor([0.0, 10.0])
    found = ciede2000(lab_1, lab_2)
    assert found[0, 0] == 0
    assert found[0, 1].item() == pytest.approx(10 / (1 + 0.015 * 45**2 / np.sqrt(20 + 45**2)), rel=1e-6)
