"""Batches: every image once an epoch, in an order that only the seed and the epoch decide."""

from itertools import islice

import numpy as np
import pytest
import torch

from colorize import color
from colorize.data import loader
from colorize.data.loader import Batch, Split
from colorize.data.transform import to_networks

N = 11


@pytest.fixture(scope="module")
def images(images_of) -> np.ndarray:
    """(N, 16, 16, 3)."""
    return images_of(N)


@pytest.fixture(scope="module")
def split(tmp_path_factory, write_images, images) -> Split:
    """N images in three tars."""
    return Split(write_images(tmp_path_factory.mktemp("loader") / "a", {"train": images}, per_shard=4), "train")


def take(split: Split, count: int, batch_size: int = 4, seed: int = 0, start_step: int = 0) -> list[Batch]:
    return list(islice(loader.training_batches(split, batch_size, seed, start_step), count))


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    for a, b in zip(found, expected, strict=True):
        for one, other in zip(a, b, strict=True):
            assert np.array_equal(one, other)


def test_rows_are_gathered_across_shards_in_any_order(split, images):
    rows = np.array([10, 0, 3, 4, 4, 7, 8])
    assert len(split) == N
    assert np.array_equal(split.images(rows), images[rows])
    assert np.array_equal(split.keys(rows), rows)


def test_images_may_be_gathered_into_a_given_array(split, images):
    out = np.zeros((2, 16, 16, 3), np.uint8)
    assert split.images(np.array([9, 1]), out) is out
    assert np.array_equal(out, images[[9, 1]])


def test_every_image_comes_once_an_epoch(split, images):
    batches = take(split, N)  # N batches of 4 are 4 epochs; batches span them
    rows = np.concatenate([batch.rows for batch in batches]).reshape(4, N)
    assert (np.sort(rows, axis=1) == np.arange(N)).all()
    for batch in batches:
        assert np.array_equal(batch.rgb, images[batch.rows])


def test_epochs_differ_in_order_and_flips(split):
    batches = take(split, 2 * N, batch_size=1)
    orders = np.concatenate([batch.rows for batch in batches]).reshape(2, N)
    flips = np.concatenate([batch.is_flipped for batch in batches]).reshape(2, N)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(flips[0], flips[1])


def test_the_seed_alone_decides(split):
    assert_same(take(split, 6, seed=3), take(split, 6, seed=3))
    assert not np.array_equal(take(split, 6, seed=3)[0].rows, take(split, 6, seed=4)[0].rows)


def test_global_generators_have_no_say(split):
    np.random.seed(0)
    torch.manual_seed(0)
    expected = take(split, 4)
    np.random.seed(1)
    torch.manual_seed(1)
    assert_same(take(split, 4), expected)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 25])
def test_the_order_does_not_depend_on_the_batch_size(split, batch_size):
    def sequence(size):
        batches = take(split, 75 // size, size)
        return np.concatenate([batch.rows for batch in batches]), np.concatenate([b.is_flipped for b in batches])

    for found, expected in zip(sequence(batch_size), sequence(15), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("per_shard", [1, 2, N])
def test_the_order_does_not_depend_on_the_number_of_shards(split, images, tmp_path, write_images, per_shard):
    other = Split(write_images(tmp_path / "b", {"train": images}, per_shard=per_shard), "train")
    assert_same(take(other, 6), take(split, 6))


@pytest.mark.parametrize("start", [1, 2, 3, 7])
def test_a_later_start_continues_exactly(split, start):
    assert_same(take(split, 4, start_step=start), take(split, start + 4)[start:])


def test_half_of_the_images_are_flipped(split):
    flips = np.concatenate([batch.is_flipped for batch in take(split, 100, batch_size=N)])
    assert 0.45 < flips.mean() < 0.55


def test_evaluation_sees_every_image_once_in_order_unflipped(split, images):
    batches = list(loader.evaluation_batches(split, 4))
    assert [len(batch.rgb) for batch in batches] == [4, 4, 3]
    assert np.array_equal(np.concatenate([batch.rgb for batch in batches]), images)
    assert np.array_equal(np.concatenate([batch.rows for batch in batches]), np.arange(N))
    assert not any(batch.is_flipped.any() for batch in batches)


def test_evaluation_of_given_rows(split, images):
    batches = list(loader.evaluation_batches(split, 2, np.array([2, 5, 9])))
    assert np.array_equal(np.concatenate([batch.rgb for batch in batches]), images[[2, 5, 9]])


def test_rows_are_spread_from_the_first_to_the_last():
    assert loader.spread(10, 4).tolist() == [0, 3, 6, 9]
    assert loader.spread(3, 100).tolist() == [0, 1, 2]
    assert loader.spread(10, 1).tolist() == [0]


def test_networks_get_lightness_and_ab_mirrored_where_asked(images):
    batch = Batch(images[:2], np.array([False, True]), np.array([0, 1]))
    L_norm, ab_norm = to_networks(batch, "cpu")
    mirrored = np.stack([images[0], images[1][:, ::-1]])
    lab = color.rgb_to_lab(torch.from_numpy(mirrored).movedim(-1, 1))
    assert torch.equal(L_norm, lab[:, :1] / 100)
    assert torch.equal(ab_norm, lab[:, 1:] / 128)
    assert L_norm.dtype == ab_norm.dtype == torch.float32
    assert ab_norm.is_contiguous(memory_format=torch.channels_last)
