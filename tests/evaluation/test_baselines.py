"""Each baseline beside a plain computation from the training or test images."""

import numpy as np
import pytest
import torch

from colorize.color import cielab, gamut, targets
from colorize.color.targets import Options
from colorize.evaluation import baselines, measuring
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Kind, Truth
from colorize.layout import UNTRAINED, Run
from colorize.prior import build, smoothing
from colorize.prior.files import load_array

OPTIONS = Options(10, 5.0, "pixel")
DISTRIBUTIONS = ("prior", "target_prior", "lightness")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, write_images, images_of):
    """Two data sets, `here` and `there`, with other colors and other class weights."""
    root = tmp_path_factory.mktemp("two")
    for seed, name in enumerate(("here", "there")):
        splits = {split: images_of(6, seed=seed + 10 * n) for n, split in enumerate(("train", "val", "test"))}
        made = write_images(root, splits, name=name)
        build.write_prior(name, OPTIONS, 0.5, made)
    return made


def truth_of(rgb: np.ndarray) -> Truth:
    lab = cielab.rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 1))
    return Truth(torch.from_numpy(rgb), *cielab.split_lab(lab), OPTIONS)


@pytest.fixture(scope="module")
def truth(images_of) -> Truth:
    """The test images of `there`."""
    return truth_of(images_of(6, seed=21))


@pytest.fixture(scope="module")
def measure(folders, truth):
    """`measure("gray")`: the kind of the baseline of `here`, and its measures on the test images of `there`."""

    def run(model: str, truth: Truth = truth) -> tuple[Kind, dict[str, np.ndarray]]:
        predict, kind = baselines.predictor(Run("here", model, None), "there", folders, "cpu", (1.0,))
        weights = torch.from_numpy(load_array(folders.prior("here") / "rebalancing.npy")).float()
        batch = measuring.Compared(predict(truth), truth, weights)
        return kind, {name: one.function(batch).numpy() for name, one in MEASURES.items() if one.kind <= kind}

    return run


@pytest.mark.parametrize("model", UNTRAINED)
def test_only_distributions_have_an_accuracy(measure, model):
    kind, found = measure(model)
    assert (kind == Kind.DISTRIBUTIONS) == ("accuracy" in found) == (model in DISTRIBUTIONS)


def training_ab(images_of, seed: int = 0) -> np.ndarray:
    """(2, N) ab of the training images of `here`."""
    rgb = torch.from_numpy(images_of(6, seed=seed)).movedim(-1, 1)
    return cielab.rgb_to_lab(rgb)[:, 1:].movedim(1, 0).flatten(1).numpy()


@pytest.mark.parametrize("model", ["gray", "mean_ab", "median_ab"])
def test_a_constant_color_has_the_error_of_the_sources_color(measure, truth, images_of, model):
    ab = training_ab(images_of)
    color = {"gray": np.zeros(2), "mean_ab": ab.mean(axis=1), "median_ab": np.sort(ab)[:, (ab.shape[1] - 1) // 2]}[
        model
    ]
    error = color[:, None, None] / 128 - truth.ab_norm.numpy()
    found = measure(model)[1]
    np.testing.assert_allclose(found["l2"], np.square(error).mean(axis=(1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(found["l1"], np.abs(error).mean(axis=(1, 2, 3)), rtol=1e-4)


def test_the_oracle_has_the_error_of_the_nearest_of_all_bins(measure, truth):
    ab = truth.ab_norm.movedim(1, -1).numpy() * 128
    squared = np.square(ab[..., None, :] - gamut.GAMUT_AB).sum(axis=-1).min(axis=-1)  # (B, H, W)
    expected = squared.mean(axis=(1, 2)) / 2 / 128**2
    found = measure("oracle")[1]["l2"]
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert (found >= expected * (1 - 1e-5)).all()  # cells of the table may give the second nearest bin


def distribution(model: str, folders, truth, is_weighted: bool) -> np.ndarray:
    """(B, H, W, Q) float64: what a baseline of `here` should predict for the images of `there`."""
    here = folders.prior("here")
    weights = load_array(here / "rebalancing.npy") if is_weighted else np.ones(gamut.NUM_BINS)
    if model == "lightness":
        table = smoothing.load(here, "weighted_lightness_prior" if is_weighted else "lightness_prior")
        return table[np.minimum((truth.L_norm[:, 0].numpy() * 100 / 2).astype(int), 49)]
    joint = smoothing.load(folders.prior("here" if model == "prior" else "there"), "joint") + np.eye(gamut.NUM_BINS)
    constant = weights @ joint / (weights @ joint).sum()
    return np.broadcast_to(constant, (*truth.L_norm[:, 0].shape, gamut.NUM_BINS))


@pytest.mark.parametrize("model", DISTRIBUTIONS)
def test_cross_entropies_are_those_of_the_distributions_with_the_sources_weights(measure, folders, truth, model):
    bins, values = (each.numpy() for each in targets.soft_targets(truth.ab_norm, OPTIONS))
    weights = load_array(folders.prior("here") / "rebalancing.npy")[truth.bins.numpy()]
    found = measure(model)[1]
    for name, of_pixel in (("cross_entropy", np.ones_like(weights)), ("weighted_cross_entropy", weights)):
        log_p = np.log(distribution(model, folders, truth, name.startswith("weighted")))
        pixels = -(values * np.take_along_axis(log_p, bins, axis=-1)).sum(axis=-1)
        np.testing.assert_allclose(found[name], (of_pixel * pixels).mean(axis=(1, 2)), rtol=1e-4)


@pytest.mark.parametrize("model", DISTRIBUTIONS)
def test_colors_and_accuracies_are_those_of_the_most_probable_bins(measure, folders, truth, model):
    p = distribution(model, folders, truth, False)
    error = gamut.GAMUT_AB[p.argmax(axis=-1)] / 128 - truth.ab_norm.movedim(1, -1).numpy()
    is_above = (p > np.take_along_axis(p, truth.bins.numpy()[..., None], axis=-1)).sum(axis=-1)
    found = measure(model)[1]
    np.testing.assert_allclose(found["l2"], np.square(error).mean(axis=(1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(found["accuracy"], (p.argmax(axis=-1) == truth.bins.numpy()).mean(axis=(1, 2)))
    np.testing.assert_allclose(found["top5_accuracy"], (is_above < 5).mean(axis=(1, 2)))


def test_no_constant_has_lower_cross_entropies_on_the_targets_training_images_than_the_targets_prior(
    measure, images_of
):
    training = truth_of(images_of(6, seed=1))
    source, target = (measure(model, training)[1] for model in ("prior", "target_prior"))
    for name in ("cross_entropy", "weighted_cross_entropy"):
        assert target[name].mean() < source[name].mean() - 0.1


def test_a_prior_has_no_infinite_cross_entropy_where_the_source_lacks_all_colors(tmp_path, write_images, images_of):
    images = {"train": np.full((2, 16, 16, 3), 90, dtype=np.uint8), "test": images_of(2)}
    folders = write_images(tmp_path, images)
    build.write_prior("tiny", OPTIONS, 0.5, folders)
    truth = truth_of(images["test"])
    for model in DISTRIBUTIONS:
        predict, _ = baselines.predictor(Run("tiny", model, None), "tiny", folders, "cpu", (1.0,))
        batch = measuring.Compared(predict(truth), truth, torch.ones(gamut.NUM_BINS))
        for name in ("cross_entropy", "weighted_cross_entropy"):
            assert torch.isfinite(MEASURES[name].function(batch)).all()
