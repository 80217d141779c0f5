"""Color: agreement with scikit-image, the way back, the limits of sRGB, the scales of the networks."""

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb, rgb2lab

from colorize.color import cielab, gamut


@pytest.fixture(scope="module")
def cube() -> torch.Tensor:
    """(3, N, 256) uint8: every third level of the RGB cube, and all 256 levels on its six faces and its diagonal.

    All 16.7 million colors take half a minute; run over them, the largest difference was 8.3e-5 and no level was lost.
    """
    levels, all_levels = np.arange(0, 256, 3), np.arange(256)
    inside = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    plane = np.stack(np.meshgrid(all_levels, all_levels), -1).reshape(-1, 2)
    faces = [np.insert(plane, axis, end, axis=1) for axis in range(3) for end in (0, 255)]
    grays = np.repeat(all_levels[:, None], 3, axis=1)
    colors = np.concatenate([inside, *faces, grays]).astype(np.uint8)
    colors = np.resize(colors, (-(-len(colors) // 256) * 256, 3))
    return torch.from_numpy(colors.reshape(-1, 256, 3)).movedim(-1, 0)


@pytest.fixture(scope="module")
def lab(cube) -> torch.Tensor:
    """The cube's colors in CIELAB."""
    return cielab.rgb_to_lab(cube)


def test_lab_agrees_with_scikit_image_to_a_thousandth(cube, lab):
    expected = rgb2lab(cube.movedim(0, -1).numpy())
    assert lab.dtype == torch.float32
    assert np.abs(lab.movedim(0, -1).numpy() - expected).max() < 1e-3


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB:UserWarning")
def test_rgb_differs_from_scikit_image_by_more_than_a_level_only_where_that_clips_a_negative_z():
    lightness = np.repeat(np.arange(0, 101, 2.0), gamut.NUM_BINS)
    lab = np.stack([lightness, *np.tile(gamut.GAMUT_AB.T, 51)], axis=-1)  # (N, 3), the centers of all bins
    rgb = cielab.lab_to_rgb(torch.from_numpy(lab.T[:, :, None]).float())[..., 0].T.numpy()
    difference = np.abs(rgb - np.round(255 * lab2rgb(lab))).max(axis=1)
    has_negative_z = (lab[:, 0] + 16) / 116 < lab[:, 2] / 200
    assert difference[~has_negative_z].max() <= 1
    assert 1 < difference[has_negative_z].max() <= 41
    assert not cielab.is_in_gamut(torch.from_numpy(lab.T[:, has_negative_z, None]).float()).any()


def test_every_color_comes_back_to_its_own_levels(cube, lab):
    assert torch.equal(cielab.lab_to_rgb(lab), cube)


def test_white_black_and_grays_have_no_color():
    gray = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    lab = cielab.rgb_to_lab(gray)
    assert lab[1:].abs().max() < 0.005  # the matrix's digits miss white by 1.4e-5, as scikit-image's do
    assert lab[0, 0, 0].item() == pytest.approx(0, abs=1e-4)
    assert lab[0, 0, 255].item() == pytest.approx(100, abs=1e-4)
    assert (lab[0, 0].diff() > 0).all()


def test_every_srgb_color_counts_as_inside_the_gamut(lab):
    assert cielab.is_in_gamut(lab).all()


def test_fitting_leaves_colors_inside_untouched(lab):
    part = lab[:, :64]
    fitted, is_changed = cielab.fit_to_gamut(part)
    assert torch.equal(fitted, part)
    assert not is_changed.any()


@pytest.fixture(scope="module")
def outside() -> torch.Tensor:
    """(2, 3, 20, 50): colors of which many lie outside sRGB."""
    lab = torch.rand(2, 3, 20, 50, generator=torch.Generator().manual_seed(0)) * 220 - 110
    lab[:, 0] = (lab[:, 0] + 110) / 2.2
    return lab


def test_fitting_keeps_lightness_and_hue(outside):
    fitted, is_changed = cielab.fit_to_gamut(outside)
    assert 0.3 < is_changed.double().mean() < 1
    assert torch.equal(fitted[:, 0], outside[:, 0])
    cross = fitted[:, 1] * outside[:, 2] - fitted[:, 2] * outside[:, 1]  # 0 where both point the same way
    assert (cross.abs() <= 1e-3 * outside[:, 1:].square().sum(1)).all()
    assert ((fitted[:, 1:] * outside[:, 1:]).sum(1) >= 0).all()


def test_fitting_ends_inside_and_at_the_border(outside):
    fitted, is_changed = cielab.fit_to_gamut(outside)
    assert cielab.is_in_gamut(fitted).all()
    more_chroma = fitted.clone()
    more_chroma[:, 1:] += 0.002 * outside[:, 1:]
    assert not cielab.is_in_gamut(more_chroma)[is_changed].any()


def test_fitting_saves_the_lightness_that_cutting_loses(outside):
    def shown_lightness(lab):
        return cielab.rgb_to_lab(cielab.lab_to_rgb(lab))[:, 0]

    fitted, is_changed = cielab.fit_to_gamut(outside)
    assert (shown_lightness(fitted) - outside[:, 0])[is_changed].abs().max() < 1.5
    assert (shown_lightness(outside) - outside[:, 0])[is_changed].abs().max() > 20


def test_networks_see_lightness_by_100_and_ab_by_128():
    lab = torch.tensor([50.0, 64.0, -32.0]).view(1, 3, 1, 1)
    L_norm, ab_norm = cielab.split_lab(lab)
    assert L_norm.flatten().tolist() == [0.5]
    assert ab_norm.flatten().tolist() == [0.5, -0.25]
    assert torch.equal(cielab.join_lab(L_norm, ab_norm), lab)


def test_batches_convert_as_single_images(cube):
    images = cube[:, :8].reshape(3, 2, 4, 256).movedim(1, 0)
    assert torch.equal(cielab.rgb_to_lab(images)[1], cielab.rgb_to_lab(images[1]))
