"""The 313 bins: the published grid, encoding against the dense formula, decoding."""

import numpy as np
import pytest
import torch

from colorize.color import cielab, gamut


def srgb_ab(count: int, seed: int = 0) -> torch.Tensor:
    """(1, 2, 1, count) float32: ab of random sRGB colors."""
    rgb = torch.randint(0, 256, (1, 3, 1, count), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return cielab.rgb_to_lab(rgb)[:, 1:]


def distances(ab: torch.Tensor) -> torch.Tensor:
    """(N, Q) float64 from every pixel to every bin."""
    points = ab.movedim(1, -1).reshape(-1, 2).double()
    return torch.cdist(points, gamut.gamut_ab().double(), compute_mode="donot_use_mm_for_euclid_dist")


def test_bins_are_the_published_ones_in_order(data_files):
    published = np.load(data_files / "pts_in_hull.npy")
    assert gamut.NUM_BINS == 313
    assert np.array_equal(gamut.GAMUT_AB, published)


def test_nearest_bin_is_the_nearest():
    ab = srgb_ab(20_000)
    distance = distances(ab)
    found = distance.gather(1, gamut.nearest_bin(ab).view(-1, 1))[:, 0]
    best, expected = distance.min(1)
    # a cell has a side of 0.5: on the border of two bins either may come back, sqrt(2) * 0.25 further at most
    assert (found - best).max() <= 2 * 0.25 * 2**0.5
    assert (gamut.nearest_bin(ab).flatten() == expected).double().mean() > 0.99


@pytest.mark.parametrize("num_neighbors", [1, 10, 12])
def test_the_table_holds_the_nearest_bins_of_every_cell(num_neighbors):
    """Against the plain formula: sort the distances to all bins, stable, so that ties keep the order of the bins."""
    spans = enumerate((gamut.A_RANGE, gamut.B_RANGE))
    from_a, from_b = (gamut._squared_distances(*span, gamut.GAMUT_AB[:, axis]) for axis, span in spans)
    table = gamut._search_cells(num_neighbors).numpy()
    for of_row, row in zip(table, from_a, strict=True):
        assert np.array_equal(of_row, np.argsort(row + from_b, axis=-1, kind="stable")[:, :num_neighbors])


def test_every_bin_is_nearest_to_itself():
    centers = gamut.gamut_ab().t()[None, :, :, None]  # (1, 2, Q, 1)
    assert torch.equal(gamut.nearest_bin(centers).flatten(), torch.arange(gamut.NUM_BINS))


def test_colors_outside_the_table_go_to_the_nearest_edge():
    far = torch.tensor([[-300.0, 300.0, 0.0, 0.0], [0.0, 0.0, -300.0, 300.0]]).view(1, 2, 1, 4)
    bins = gamut.gamut_ab()[gamut.nearest_bin(far).flatten()]
    assert bins[0, 0] == -90 or bins[0, 0] == -70
    assert bins[1, 0] == 100
    assert bins[2, 1] <= -70
    assert bins[3, 1] >= 90


def test_what_is_no_number_gets_a_bin_instead_of_an_index_out_of_range():
    nan = torch.full((1, 2, 1, 1), float("nan"))
    assert 0 <= gamut.nearest_bin(nan).item() < gamut.NUM_BINS


def test_srgb_reaches_261_bins_as_nearest():
    """Over the cube's surface, where the rare ones are; over all 16.7 million colors the number is the same."""
    axis = torch.arange(256, dtype=torch.uint8)
    plane = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))  # (2, 256, 256)
    ends = [torch.full((1, 256, 256), end, dtype=torch.uint8) for end in (0, 255)]
    faces = [torch.cat([plane[:at], end, plane[at:]]) for at in range(3) for end in ends]
    steps = torch.arange(0, 256, 5, dtype=torch.uint8)
    inside = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij")).flatten(2)  # (3, 52, 2704)
    reached = [gamut.nearest_bin(cielab.rgb_to_lab(rgb)[None, 1:]).unique() for rgb in (*faces, inside)]
    assert len(torch.cat(reached).unique()) == 261


@pytest.mark.parametrize(("num_neighbors", "sigma"), [(10, 5.0), (5, 5.0), (10, 2.0), (1, 5.0)])
def test_soft_encoding_agrees_with_the_dense_formula(num_neighbors, sigma):
    """Weights are exact; where two bins are equally far within 0.7 units, the last neighbor may be the other one."""
    ab = srgb_ab(5_000)
    indices, weights = gamut.soft_encode(ab, num_neighbors, sigma)
    distance = distances(ab)
    mine = distance.gather(1, indices.view(-1, num_neighbors))
    nearest = distance.topk(num_neighbors, largest=False).values
    assert (mine.sort(1).values - nearest).max() <= 0.75
    expected = torch.softmax(-mine.square() / (2 * sigma**2), dim=1)
    torch.testing.assert_close(weights.view(-1, num_neighbors).double(), expected, rtol=1e-4, atol=1e-6)


def test_soft_encoding_as_a_distribution_is_close_to_the_dense_one():
    ab = srgb_ab(5_000, seed=1)
    distance, rows = distances(ab), torch.arange(5_000)[:, None]
    near, at = distance.topk(10, largest=False)
    expected = torch.zeros(5_000, gamut.NUM_BINS, dtype=torch.float64)
    expected[rows, at] = torch.softmax(-near.square() / 50, dim=1)
    indices, weights = gamut.soft_encode(ab)
    mine = torch.zeros_like(expected).scatter_(1, indices.view(-1, 10), weights.view(-1, 10).double())
    total_variation = (mine - expected).abs().sum(1) / 2
    assert total_variation.max() < 0.05
    assert total_variation.mean() < 1e-3
    torch.testing.assert_close(mine.mean(0), expected.mean(0), rtol=0, atol=1e-5)


def test_soft_encoding_sums_to_one_over_different_bins():
    indices, weights = gamut.soft_encode(srgb_ab(1_000))
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 1, 1_000))
    assert (indices.sort(-1).values.diff(dim=-1) > 0).all()


def test_encoding_the_bin_ignores_where_in_it_the_pixel_lies():
    pixel = torch.tensor([13.0, 8.5]).view(1, 2, 1, 1)
    center = torch.tensor([10.0, 10.0]).view(1, 2, 1, 1)
    bins, weights = gamut.soft_encode(pixel, encode="bin")
    at_center, same = gamut.soft_encode(center, encode="pixel")
    assert torch.equal(bins, at_center)
    assert torch.equal(weights, same)
    assert not torch.equal(weights, gamut.soft_encode(pixel)[1])


def test_mode_is_the_most_probable_bins_color():
    logits = torch.zeros(1, gamut.NUM_BINS, 1, 2)
    logits[0, 7, 0, 0] = logits[0, 300, 0, 1] = 1
    assert torch.equal(gamut.mode(logits)[0, :, 0].t(), gamut.gamut_ab()[[7, 300]])


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_of_equally_probable_bins_the_first_one_is_the_mode(value):
    logits = torch.randn(1, 5, 7, gamut.NUM_BINS, generator=torch.Generator().manual_seed(0)).clamp_max(-1)
    logits[..., [40, 90]] = value
    assert torch.equal(gamut.argmax(logits), logits.argmax(-1))
    assert (gamut.argmax(logits) == 40).all()


def test_annealed_mean_sharpens_before_it_averages():
    p = torch.tensor([0.8, 0.2], dtype=torch.float64)
    logits = torch.full((1, gamut.NUM_BINS, 1, 1), -1e4)
    logits[0, [50, 200], 0, 0] = p.log().float()
    sharp = p ** (1 / 0.38)
    expected = (sharp / sharp.sum()) @ gamut.gamut_ab()[[50, 200]].double()
    torch.testing.assert_close(gamut.annealed_mean(logits)[0, :, 0, 0].double(), expected, rtol=1e-5, atol=1e-4)


def test_annealed_mean_runs_from_the_mean_to_the_mode():
    logits = torch.randn(2, gamut.NUM_BINS, 3, 3, generator=torch.Generator().manual_seed(0))
    mean = torch.einsum("bqhw,qc->bchw", logits.softmax(1), gamut.gamut_ab())
    torch.testing.assert_close(gamut.annealed_mean(logits, 1.0), mean)
    torch.testing.assert_close(gamut.annealed_mean(logits, 1e-4), gamut.mode(logits), rtol=0, atol=1e-3)


@pytest.mark.parametrize("decode", [gamut.mode, gamut.annealed_mean])
def test_logits_of_other_bins_are_refused_naming_both_numbers(decode):
    with pytest.raises(ValueError, match=r"312 bins.*313"):
        decode(torch.zeros(1, 312, 2, 2))
