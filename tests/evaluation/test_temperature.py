"""Temperature curve and calibration: hand-made cases with known values, and agreement with plain computations."""

import csv
import math

import numpy as np
import pytest
import torch

from colorize.color import gamut
from colorize.evaluation import temperature as curves
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Compared
from colorize.evaluation.temperature import Curve, calibration_error, top_counts

Q = gamut.NUM_BINS


def error_of(top: list[float], is_hit: list[bool]) -> float:
    return calibration_error(top_counts(torch.tensor(top), torch.tensor(is_hit))).item()


def test_calibration_errors_that_are_known():
    assert error_of([1.0, 1.0, 1.0], [True, True, True]) == 0
    assert error_of([1.0, 1.0], [False, False]) == 1
    assert error_of([0.5, 0.5], [True, False]) == 0  # right in half of the cases, as it says
    assert error_of([0.75] * 4, [True, True, False, False]) == pytest.approx(0.25)
    # intervals [1/5, 4/15) and [14/15, 1]: errors 0.8 and 0.05 of 1 and 3 pixels
    assert error_of([0.2, 0.95, 0.95, 0.95], [True] * 3 + [True]) == pytest.approx((0.8 + 3 * 0.05) / 4)


def test_errors_within_an_interval_cancel_and_between_intervals_do_not():
    assert error_of([0.5, 0.52], [True, False]) == pytest.approx(0.01)  # mean 0.51, accuracy 0.5
    assert error_of([0.1, 0.9], [True, False]) == pytest.approx(0.9)


def test_the_calibration_error_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    top, is_hit = rng.uniform(1 / Q, 1, 1000).astype(np.float32), rng.random(1000) < 0.4
    expected = 0
    for number in range(15):
        inside = (top * 15).astype(int) == number
        if inside.any():
            expected += inside.mean() * abs(is_hit[inside].mean() - top[inside].mean())
    assert error_of(top.tolist(), is_hit.tolist()) == pytest.approx(expected, rel=1e-5)


@pytest.fixture(params=[1, 2], ids=["logits", "logits of half the size"])
def batch(request, compare) -> Compared:
    """Three images and random logits."""
    rgb = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    logits = 2 * torch.randn(3, Q, *[16 // request.param] * 2, generator=torch.Generator().manual_seed(4))
    logits[:, 5] += 6
    return compare(rgb, logits)


def written(tmp_path, *batches: tuple[Compared, list[bool]]) -> dict[float, dict[str, str]]:
    """The lines of the file by temperature."""
    curve = Curve()
    for batch, is_counted in batches:
        curve.add(curves.at_all_temperatures(batch), torch.tensor(is_counted))
    curve.write(tmp_path / "temperature.csv")
    curve.write_reliability(tmp_path / "reliability.csv")
    rows = list(csv.DictReader((tmp_path / "temperature.csv").open()))
    assert tuple(rows[0]) == curves.COLUMNS
    return {float(row["temperature"]): row for row in rows}


def test_the_ends_are_the_mode_and_the_mean(batch, tmp_path):
    rows = written(tmp_path, (batch, [True] * 3))
    for name in ("l2", "psnr", "colorfulness", "true_colorfulness"):
        mode, mean = (MEASURES[name].function(one).mean().item() for one in (batch, batch.decoded(1.0)))
        assert float(rows[0.0][name]) == pytest.approx(mode, abs=1e-4), name
        assert float(rows[1.0][name]) == pytest.approx(mean, abs=1e-4), name
    assert float(rows[1.0]["cross_entropy"]) == pytest.approx(
        MEASURES["cross_entropy"].function(batch).mean().item(), abs=1e-4
    )


def test_the_mode_has_no_distribution(batch, tmp_path):
    assert list(written(tmp_path, (batch, [True] * 3))[0.0].values())[-3:] == ["", "", ""]


def test_the_likelihood_is_that_of_the_true_bins_of_the_softmax(compare, tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    logits = 2 * torch.randn(2, Q, 16, 16, generator=torch.Generator().manual_seed(4))
    batch = compare(rgb, logits)
    rows = written(tmp_path, (batch, [True] * 2))
    for temperature in (0.2, 0.38, 1.0, 1.5):
        log_p = (logits.double() / temperature).log_softmax(dim=1)
        expected = -log_p.gather(1, batch.true_bins[:, None]).mean().item()
        assert float(rows[temperature]["negative_log_likelihood"]) == pytest.approx(expected, rel=1e-5)
        top, modes = log_p.exp().max(dim=1)
        error = calibration_error(top_counts(top, modes == batch.true_bins)).item()
        assert float(rows[temperature]["calibration_error"]) == pytest.approx(error, abs=1e-4)


def test_a_certain_and_right_prediction_has_no_loss_at_any_temperature(compare, tmp_path):
    rgb = np.full((1, 16, 16, 3), (200, 40, 40), dtype=np.uint8)
    logits = 1000 * torch.nn.functional.one_hot(compare(rgb).true_bins, Q).movedim(-1, 1).float()
    for row in list(written(tmp_path, (compare(rgb, logits), [True])).values())[1:]:
        assert float(row["negative_log_likelihood"]) == float(row["calibration_error"]) == 0


def test_equal_logits_have_the_likelihood_of_chance(compare, tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    rows = written(tmp_path, (compare(rgb, torch.zeros(1, Q, 8, 8)), [True]))
    for row in list(rows.values())[1:]:
        assert float(row["negative_log_likelihood"]) == pytest.approx(math.log(Q), abs=1e-4)


def test_only_the_counted_images_matter_and_batches_add_up(batch, compare, tmp_path):
    rgb = batch.truth.rgb.numpy()
    logits = 2 * torch.randn(3, Q, 16, 16, generator=torch.Generator().manual_seed(4))
    whole = compare(rgb, logits)
    first, second = (compare(rgb[part], logits[part]) for part in (slice(0, 1), slice(1, 3)))
    assert written(tmp_path, (whole, [True, False, True])) == written(
        tmp_path, (first, [True]), (second, [False, True])
    )
    assert written(tmp_path, (whole, [True, False, True])) != written(tmp_path, (whole, [True] * 3))


def test_the_reliability_is_that_of_a_loop_over_the_intervals(batch, tmp_path):
    is_counted = [True, False, True]
    written(tmp_path, (batch, is_counted))
    rows = list(csv.DictReader((tmp_path / "reliability.csv").open()))
    assert tuple(rows[0]) == curves.RELIABILITY_COLUMNS
    stride = batch.stride
    top, modes = batch.distributions.top_probability(1.0), batch.distributions.modes
    top, modes = (v[is_counted].repeat_interleave(stride, 1).repeat_interleave(stride, 2).numpy() for v in (top, modes))
    is_hit = modes == batch.true_bins[is_counted].numpy()
    assert len(rows) == 15
    for number, row in enumerate(rows):
        inside = np.floor(top * 15) == number
        limits = [f"{number / 15:.5f}", f"{(number + 1) / 15:.5f}"]
        means = [top[inside].mean(), is_hit[inside].mean()] if inside.any() else []
        assert [row["low"], row["high"], int(row["pixels"])] == [*limits, inside.sum()]
        assert [float(row[name]) for name in ("top_probability", "accuracy") if row[name]] == pytest.approx(
            means, abs=1e-5
        )
    assert sum(int(row["pixels"]) for row in rows) == 2 * 16 * 16


def test_an_interval_without_pixels_has_no_means(compare, tmp_path):
    rgb = np.full((1, 16, 16, 3), (200, 40, 40), dtype=np.uint8)
    logits = 1000 * torch.nn.functional.one_hot(compare(rgb).true_bins, Q).movedim(-1, 1).float()
    written(tmp_path, (compare(rgb, logits), [True]))
    lines = (tmp_path / "reliability.csv").read_text().splitlines()[1:]
    assert [line.split(",", 2)[2] for line in lines] == ["0,,"] * 14 + ["256,1.00000,1.00000"]


def test_the_grid_has_both_ends_and_the_temperature_of_zhang():
    assert {0.0, gamut.ANNEALED, 1.0} <= set(curves.TEMPERATURES)
    assert sorted(curves.TEMPERATURES) == list(curves.TEMPERATURES)
