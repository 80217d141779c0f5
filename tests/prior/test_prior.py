"""The files of a prior: which there are, what they hold, what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from colorize.color import cielab, targets
from colorize.color.targets import Options
from colorize.layout import Folders
from colorize.models.registry import MODELS
from colorize.prior import build, smoothing
from colorize.prior.files import load_array, load_tensor
from colorize.prior.weights import rebalancing_weights
from colorize.runtime import DataError


def linked_prior(root, tiny) -> Folders:
    """Folders with the same shards and no prior."""
    (root / "data").mkdir()
    (root / "data" / "shards").symlink_to(tiny.folders.root / "data" / "shards")
    return Folders(root)


def test_every_model_has_a_weights_file_of_its_own(tiny):
    names = {path.name for path in tiny.prior.iterdir()}
    kinds = ("class_weights", "initial_distribution", "measured_weights")
    of_models = {f"{kind}-{model}.npy" for model in MODELS for kind in kinds}
    of_baselines = {f"{name}.npy" for name in smoothing.FILES}
    always = {"bins.csv", "counts.npy", "prior.npy", "prior.png", "rebalancing.npy", "weighted_prior.npy"}
    assert names == always | of_models | of_baselines


def test_unweighted_models_get_ones_and_weighted_ones_the_formula(tiny):
    expected = rebalancing_weights(load_array(tiny.prior / "prior.npy"), 0.5)
    assert np.array_equal(load_array(tiny.prior / "rebalancing.npy"), expected)
    for model, spec in MODELS.items():
        weights = load_array(tiny.prior / f"class_weights-{model}.npy")
        assert np.array_equal(weights, expected if spec.is_weighted else np.ones(313))
        measured = load_array(tiny.prior / f"measured_weights-{model}.npy")
        assert np.array_equal(measured, expected if spec.is_classifier else np.ones(313))


def test_lambda_moves_only_the_files_that_it_concerns(tiny, settings, tmp_path):
    other = linked_prior(tmp_path, tiny)
    build.write_prior("tiny", Options.of(settings.soft_targets), 0.25, other)
    for path in sorted(tiny.prior.glob("*.npy")):
        is_same = path.read_bytes() == (other.prior("tiny") / path.name).read_bytes()
        kinds = ("class_weights", "initial_distribution")
        unweighted = [f"{kind}-{model}" for kind in kinds for model in ("regression", "cnn", "unet")]
        of_baselines = [name for name in smoothing.FILES if name != "weighted_lightness_prior"]
        unchanged = ("counts", "prior", "measured_weights-regression", *of_baselines, *unweighted)
        assert is_same == (path.stem in unchanged), path.name


def test_the_weighted_prior_is_the_constant_with_the_lowest_weighted_cross_entropy(tiny):
    rgb = torch.from_numpy(tiny.images["train"]).movedim(-1, 1)
    ab_norm = cielab.split_lab(cielab.rgb_to_lab(rgb))[1]
    weights = load_tensor(tiny.prior / "rebalancing.npy")
    target = targets.weigh(targets.soft_targets(ab_norm, targets.Options(10, 5.0, "pixel")), ab_norm, weights)
    mass = torch.zeros(313).double().index_add_(0, target.bins.flatten(), target.values.flatten().double())
    found = load_array(tiny.prior / "weighted_prior.npy")
    np.testing.assert_allclose(found, (mass / mass.sum()).numpy(), rtol=1e-4, atol=1e-9)
    for model, spec in MODELS.items():
        best = found if spec.is_weighted else load_array(tiny.prior / "prior.npy")
        assert np.array_equal(load_array(tiny.prior / f"initial_distribution-{model}.npy"), best)


def test_files_are_the_same_bytes_every_time(tiny, settings, tmp_path):
    other = linked_prior(tmp_path, tiny)
    build.write_prior("tiny", Options.of(settings.soft_targets), 0.5, other)
    for path in sorted(tiny.prior.iterdir()):
        assert path.read_bytes() == (other.prior("tiny") / path.name).read_bytes(), path.name


def test_the_picture_is_a_picture(tiny):
    with Image.open(tiny.prior / "prior.png") as picture:
        picture.load()
        assert picture.width > 800


def refusal(path) -> str:
    with pytest.raises(DataError) as caught:
        load_array(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_names_the_stage_that_makes_it(tmp_path):
    path = tmp_path / "objects" / "prior.npy"
    assert f"{path}: " in refusal(path)
    assert "dvc repro prior@objects" in refusal(path)


@pytest.mark.parametrize("length", [0, 10, 200])
def test_a_truncated_file_is_refused(tiny, tmp_path, length):
    path = tmp_path / "prior.npy"
    path.write_bytes((tiny.prior / "prior.npy").read_bytes()[:length])
    assert str(path) in refusal(path)


def test_a_file_for_other_bins_is_refused_with_both_numbers(tmp_path):
    np.save(tmp_path / "prior.npy", np.ones(312) / 312)
    assert "shape (312,), expected (313,)" in refusal(tmp_path / "prior.npy")


def test_a_pickle_is_never_executed(tmp_path):
    np.save(tmp_path / "prior.npy", np.array([{}] * 313, dtype=object))
    assert "allow_pickle=False" in refusal(tmp_path / "prior.npy")


ONES = np.ones(313)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (ONES * np.nan, "not finite"),
        (np.where(np.arange(313) == 7, -1.0, 1.0), "negative"),
        (ONES * 0, "all zero"),
        (ONES * 1e300, "not finite"),  # as float32
        (ONES.astype(np.float32), "values of type float32, expected float64"),
        (ONES.astype(np.int64), "values of type int64"),
        (ONES.astype("U3"), "values of type <U3"),
        (ONES[None], "shape (1, 313)"),
    ],
)
def test_impossible_values_are_refused_with_the_command(tmp_path, array, words):
    np.save(tmp_path / "class_weights-cnn.npy", array)
    assert words in refusal(tmp_path / "class_weights-cnn.npy")
    assert f"; run `python -m colorize.verify --repair {tmp_path} && dvc repro prior@{tmp_path.name}`" in refusal(
        tmp_path / "class_weights-cnn.npy"
    )


def test_every_flipped_bit_of_a_header_is_one_line_or_harmless(tiny, tmp_path):
    """Numpy parses the header as Python and raises what Python raises."""
    whole, path = (tiny.prior / "prior.npy").read_bytes(), tmp_path / "prior.npy"
    for bit in range(8 * 128):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = load_array(path)
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert np.array_equal(found, load_array(tiny.prior / "prior.npy"))


@pytest.mark.parametrize("header", ["{'a': [", "{" * 90, "0" * 5000, "{'descr': '<f8', 'shape': (10**18,)}"])
def test_headers_that_python_cannot_parse_are_refused(tmp_path, header):
    content = header.encode("latin-1")
    (tmp_path / "prior.npy").write_bytes(b"\x93NUMPY\x01\0" + len(content).to_bytes(2, "little") + content)
    assert "damaged (" in refusal(tmp_path / "prior.npy")


def test_a_zip_is_no_array(tmp_path):
    np.savez(tmp_path / "a.npz", ONES)
    (tmp_path / "a.npz").rename(tmp_path / "prior.npy")
    assert "damaged (" in refusal(tmp_path / "prior.npy")
