"""PSNR, SSIM, CIEDE2000 and AuC: agreement with scikit-image and with loops, and pictures whose values are known."""

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, lab2rgb
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from colorize.evaluation import distances

ROUNDING_DB = 10 * np.log10(12 * 255**2)  # 58.92


def pictures(batch) -> zip:
    """Pairs of the true and the predicted picture, (H, W, 3) uint8."""
    both = (rgb.movedim(1, -1).to(torch.uint8).numpy() for rgb in (batch.true_rgb, batch.predicted_rgb))
    return zip(*both, strict=True)


def assert_equal_to(found: torch.Tensor, expected: list[float], atol: float = 1e-4) -> None:
    assert found.dtype == torch.float64 and found.shape == (len(expected),)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=atol)


def test_psnr_is_that_of_scikit_image(batch):
    with np.errstate(divide="ignore"):
        expected = [peak_signal_noise_ratio(true, predicted, data_range=255) for true, predicted in pictures(batch)]
    assert_equal_to(distances.psnr(batch), np.minimum(expected, ROUNDING_DB))


def test_ssim_is_that_of_scikit_image(batch):
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [structural_similarity(*pair, data_range=255, channel_axis=-1, **options) for pair in pictures(batch)]
    assert_equal_to(distances.ssim(batch), expected, 2e-5)


def test_ciede2000_is_that_of_scikit_image(batch):
    true, predicted = (lab.double().movedim(1, -1).numpy() for lab in (batch.true_lab, batch.fitted[0]))
    assert_equal_to(distances.ciede2000(batch), deltaE_ciede2000(true, predicted).mean(axis=(1, 2)))


def test_auc_is_the_mean_over_thresholds_of_the_share_of_pixels_within(batch):
    offset = (batch.predicted - batch.ab_norm).double().numpy() * 128
    distance = np.sqrt(np.square(offset).sum(axis=1))
    expected = np.mean([(distance <= t + 1e-4).mean(axis=(1, 2)) for t in range(151)], axis=0)
    assert_equal_to(distances.auc(batch), expected)


def test_the_predicted_picture_is_that_of_scikit_image(compare):
    """Within a level; in the gamut, because scikit-image clips where we reduce chroma."""
    levels = np.random.default_rng(0).integers(90, 160, (2, 16, 16, 3), dtype=np.uint8)
    batch = compare(levels, compare(levels).ab_norm * 0.8)
    lab = torch.cat([batch.truth.L_norm * 100, batch.predicted * 128], dim=1).movedim(1, -1).double().numpy()
    expected = 255 * lab2rgb(lab)
    assert np.abs(batch.predicted_rgb.movedim(1, -1).numpy() - expected).max() < 1


def test_the_way_to_lab_and_back_loses_nothing(rgb, compare):
    """So PSNR and SSIM against the truth equal those against the truth after this way."""
    batch = compare(rgb)
    assert torch.equal(batch.predicted_rgb, batch.true_rgb)
    assert torch.equal(batch.true_rgb.movedim(1, -1).to(torch.uint8), torch.from_numpy(rgb))
    assert not batch.fitted[1].any()


def test_a_perfect_prediction_has_the_best_values(rgb, compare):
    batch = compare(rgb)
    count = len(rgb)
    assert_equal_to(distances.psnr(batch), [ROUNDING_DB] * count)
    assert_equal_to(distances.ssim(batch), [1] * count, 1e-6)
    assert_equal_to(distances.ciede2000(batch), [0] * count, 1e-3)
    assert_equal_to(distances.auc(batch), [1] * count, 1e-9)


def test_known_distances_of_ab():
    """5, 0.5, 0 and 200 units away: 146, 150, 151 and 0 of the 151 thresholds are not smaller."""

    class Batch:
        ab_norm = torch.zeros(1, 2, 2, 2)
        predicted = torch.tensor([[3.0, 0.5, 0, 200], [4.0, 0, 0, 0]]).view(1, 2, 2, 2) / 128
        inverse_prior = torch.tensor([1.0, 3.0])
        true_bins = torch.tensor([[[0, 1], [1, 0]]])

        def once(self, function):
            return function(self)

    assert distances.auc(Batch()).item() == pytest.approx((146 + 150 + 151) / 151 / 4)
    assert distances.rebalanced_auc(Batch()).item() == pytest.approx((146 + 3 * 150 + 3 * 151) / 151 / 4)


def test_the_rebalanced_auc_counts_each_pixel_by_the_inverse_prior_of_its_true_bin(batch):
    batch.inverse_prior = torch.linspace(0.5, 300, 313)
    offset = (batch.predicted - batch.ab_norm).double().numpy() * 128
    score = np.clip(151 - np.ceil(np.sqrt(np.square(offset).sum(axis=1)) - 1e-4), 0, None) / 151
    weights = np.linspace(0.5, 300, 313)[batch.true_bins.numpy()]
    found = distances.rebalanced_auc(batch).numpy()
    np.testing.assert_allclose(found, (score * weights).mean(axis=(1, 2)), rtol=1e-5, atol=1e-3)


def test_known_signal_to_noise_ratio_of_a_picture_whose_levels_are_all_off_by_ten(compare):
    batch = compare(np.full((1, 16, 16, 3), 100, dtype=np.uint8))
    batch.predicted_rgb = torch.full((1, 3, 16, 16), 110.0)
    assert distances.psnr(batch).item() == pytest.approx(20 * np.log10(25.5))
    luminance = (2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025)
    assert distances.ssim(batch).item() == pytest.approx(luminance, abs=1e-5)
