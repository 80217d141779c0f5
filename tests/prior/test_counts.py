"""Counts are exact, and the smoothed prior is the mean soft encoding."""

from collections import Counter

import numpy as np
import pytest
import torch

from colorize import runtime
from colorize.color import cielab, gamut
from colorize.color.targets import Options
from colorize.data import shards
from colorize.data.split import Split
from colorize.prior import counts


@pytest.fixture(scope="module")
def colors(tiny) -> np.ndarray:
    """(2^24,) of the tiny training images."""
    return counts.count_colors(Split(tiny.folders.shards("train", "tiny")), "tiny")


def test_colors_are_counted_exactly(tiny, colors):
    expected = Counter(int(r) << 16 | int(g) << 8 | int(b) for r, g, b in tiny.images["train"].reshape(-1, 3))
    assert {int(c): int(colors[c]) for c in np.flatnonzero(colors)} == expected


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, write_images, images_of) -> tuple[Split, list[np.ndarray]]:
    """The training images of a union of 4 and 12 images, weighted 3 to 1, and the images of both."""
    images = images_of(16, seed=4)
    folder = write_images(tmp_path_factory.mktemp("mixed"), {"train": images}, per_shard=4).shards("train", "tiny")
    manifest = shards.read_manifest(folder)
    manifest["parts"] = [{"dataset": "a", "images": 4, "first_key": 0, "weight": 3}]
    manifest["parts"] += [{"dataset": "b", "images": 12, "first_key": 4, "weight": 1}]
    runtime.write_json(folder / "manifest.json", manifest)
    return Split(folder), [images[:4], images[4:]]


def test_the_parts_of_a_union_count_as_often_as_training_uses_them(mixed):
    split, images = mixed
    colors = counts.count_colors(split, "tiny")
    assert colors.sum() == pytest.approx(16 * 16**2)
    parts = [np.unique(part.reshape(-1, 3).astype(int) @ [1 << 16, 1 << 8, 1], return_counts=True) for part in images]
    expected = np.zeros(1 << 24)
    for (packed, pixels), factor in zip(parts, (3 / 4 * 16 / 4, 1 / 4 * 16 / 12), strict=True):
        expected[packed] += pixels * factor
    np.testing.assert_allclose(colors, expected, rtol=1e-12)


def test_the_prior_of_a_union_is_the_mixture_of_the_priors_of_its_parts(mixed):
    split, images = mixed
    colors = counts.count_colors(split, "tiny")
    hard, joint = counts.bin_counts(colors, Options(10, 5.0, "pixel"))
    prior = joint.sum(axis=0) / joint.sum()
    np.testing.assert_allclose(prior, np.dot([0.75, 0.25], [encoded(part, "pixel")[1] for part in images]), atol=1e-9)
    assert hard.dtype == np.int64
    np.testing.assert_allclose(hard, joint.sum(axis=1), atol=0.51)  # rounded
    ab = [
        cielab.rgb_to_lab(torch.from_numpy(part).movedim(-1, 1))[:, 1:].movedim(1, -1).reshape(-1, 2).numpy()
        for part in images
    ]
    repeated = np.concatenate([np.repeat(ab[0], 9, axis=0), ab[1]])  # 4 images x 9 to 12 images x 1 is 3 to 1
    mean, median = counts.mean_and_median(colors)
    np.testing.assert_allclose(mean, repeated.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(median, np.sort(repeated, axis=0)[(len(repeated) - 1) // 2], atol=1e-3)


@pytest.mark.parametrize(("limit", "value"), [("_PIXELS", 5 * 16**2), ("_PIXELS", 1), ("_FULL", 7 * 16**2)])
def test_images_beyond_one_reading_or_one_table_are_counted_too(tiny, colors, monkeypatch, limit, value):
    monkeypatch.setattr(counts, limit, value)
    assert np.array_equal(counts.count_colors(Split(tiny.folders.shards("train", "tiny")), "tiny"), colors)


def encoded(images: np.ndarray, encode: str) -> tuple[np.ndarray, np.ndarray]:
    """Hard counts and mean soft encoding, one pixel after the other."""
    hard, soft = np.zeros(gamut.NUM_BINS, dtype=np.int64), np.zeros(gamut.NUM_BINS)
    ab = cielab.rgb_to_lab(torch.from_numpy(images).movedim(-1, 1))[:, 1:]
    bins, weights = gamut.soft_encode(ab, 10, 5.0, encode)
    for nearest in gamut.nearest_bin(ab).flatten().tolist():
        hard[nearest] += 1
    for indices, values in zip(bins.view(-1, 10).tolist(), weights.view(-1, 10).tolist(), strict=True):
        for index, value in zip(indices, values, strict=True):
            soft[index] += value
    return hard, soft / hard.sum()


def counts_and_prior(colors: np.ndarray, encode: str) -> tuple[np.ndarray, np.ndarray]:
    bins, joint = counts.bin_counts(colors, Options(10, 5.0, encode))
    np.testing.assert_allclose(joint.sum(axis=1), bins, rtol=1e-5)  # a row is its bin's pixels, spread
    return bins, joint.sum(axis=0) / joint.sum()


@pytest.mark.parametrize("encode", ["pixel", "bin"])
def test_prior_is_the_mean_soft_encoding_and_counts_are_those_of_a_loop(tiny, colors, encode):
    hard, soft = encoded(tiny.images["train"], encode)
    bins, prior = counts_and_prior(colors, encode)
    assert np.array_equal(bins, hard)
    np.testing.assert_allclose(prior, soft, rtol=1e-5, atol=1e-12)
    assert prior.sum() == pytest.approx(1, abs=1e-12)


def test_the_prior_does_not_depend_on_how_many_colors_are_encoded_at_a_time(colors, monkeypatch):
    bins, prior = counts_and_prior(colors, "pixel")
    monkeypatch.setattr(counts, "_COLORS", 100)
    again, smooth = counts_and_prior(colors, "pixel")
    assert np.array_equal(again, bins)
    np.testing.assert_allclose(smooth, prior, rtol=1e-6)
