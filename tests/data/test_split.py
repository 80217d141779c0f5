"""Splits as rows of images, and the order that only the seed and the epoch decide."""

from itertools import islice

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies

from colorize.data.order import Selection, alternate, training_order
from colorize.data.shards import Part
from colorize.data.split import Split, spread
from colorize.runtime import DataError

N = 11


@pytest.fixture(scope="module")
def images(images_of) -> np.ndarray:
    """(N, 16, 16, 3)."""
    return images_of(N)


@pytest.fixture(scope="module")
def split(tmp_path_factory, write_images, images) -> Split:
    """N images in three tars."""
    return Split(write_images(tmp_path_factory.mktemp("split"), {"train": images}, per_shard=4).shards("train", "tiny"))


PLAIN = (Part("tiny", N),)
MIXED = (Part("a", 11, 0, 3), Part("b", 5, 11, 1), Part("c", 7, 16, 2))  # their rows: 0 to 10, 11 to 15, 16 to 22


def take(count: int, batch_size: int = 4, seed: int = 0, start_step: int = 0, share=(0, 1), parts=PLAIN) -> Selection:
    """`count` batches as one selection of all their images."""
    selections = islice(training_order(parts, batch_size, seed, start_step, share), count)
    return Selection(*map(np.concatenate, zip(*selections, strict=True)))


def assert_same(found: Selection, expected: Selection) -> None:
    assert np.array_equal(found.rows, expected.rows)
    assert np.array_equal(found.is_flipped, expected.is_flipped)


def test_rows_are_gathered_across_shards_in_any_order(split, images):
    rows = np.array([10, 0, 3, 4, 4, 7, 8])
    assert len(split) == N
    assert np.array_equal(split.images(rows), images[rows])
    assert np.array_equal(split.keys(rows), rows)


def test_images_may_be_read_into_a_given_tensor(split, images):
    out = torch.zeros((2, 16, 16, 3), dtype=torch.uint8)
    split.read(np.array([9, 1]), out)
    assert np.array_equal(out.numpy(), images[[9, 1]])


@pytest.mark.parametrize("per_shard", [1, 2, N])
def test_images_and_keys_do_not_depend_on_the_number_of_shards(images, tmp_path, write_images, per_shard):
    keys = [3 * row for row in range(N)]
    folders = write_images(tmp_path, {"train": images}, per_shard, {"train": keys})
    other = Split(folders.shards("train", "tiny"))
    assert np.array_equal(other.images(np.arange(N)), images)
    assert other.keys(np.arange(N)).tolist() == keys


@pytest.mark.parametrize("row", [N, -N - 1])
def test_there_is_no_row_behind_the_last(split, row):
    with pytest.raises(IndexError):
        split.images(np.array([row]))


def test_mapped_files_stay_until_the_last_view_of_them_has_gone(tmp_path, write_images, images):
    split = Split(write_images(tmp_path, {"train": images}).shards("train", "tiny"))
    for path in split.paths:
        path.unlink()
    assert np.array_equal(split.images(np.arange(N)), images)


def test_a_split_that_is_missing_is_one_clear_line(tmp_path, write_images, images):
    folders = write_images(tmp_path, {"train": images, "val": images}, name="mine")
    with pytest.raises(DataError, match=r"test/mine/manifest.json: no such file; make it with .*shard@mine"):
        Split(folders.shards("test", "mine"))


def test_every_image_comes_once_an_epoch():
    rows = take(N).rows.reshape(4, N)  # N batches of 4 are 4 epochs; batches span them
    assert (np.sort(rows, axis=1) == np.arange(N)).all()


def test_epochs_differ_in_order_and_flips():
    selection = take(2 * N, batch_size=1)
    assert not np.array_equal(selection.rows[:N], selection.rows[N:])
    assert not np.array_equal(selection.is_flipped[:N], selection.is_flipped[N:])


def test_the_seed_alone_decides():
    assert_same(take(6, seed=3), take(6, seed=3))
    assert not np.array_equal(take(6, seed=3).rows, take(6, seed=4).rows)


def test_the_order_is_the_same_for_ever():
    """Of PCG64 seeded with [seed, epoch]: what was trained with one release continues with the next."""
    selection = take(2, batch_size=8, seed=1)
    generator = np.random.Generator(np.random.PCG64([1, 0]))
    assert selection.rows[:N].tolist() == generator.permutation(N).tolist()
    assert selection.is_flipped[:N].tolist() == (generator.random(N) < 0.5).tolist()


def test_global_generators_have_no_say():
    np.random.seed(0)
    torch.manual_seed(0)
    expected = take(4)
    np.random.seed(1)
    torch.manual_seed(1)
    assert_same(take(4), expected)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 25])
def test_the_order_does_not_depend_on_the_batch_size(batch_size):
    """A batch of 25 spans up to four epochs."""
    assert_same(take(75 // batch_size, batch_size), take(5, 15))


@pytest.mark.parametrize("start", [1, 2, 3, 7])
def test_a_later_start_continues_exactly(start):
    whole = take(start + 4)
    assert_same(take(4, start_step=start), Selection(whole.rows[4 * start :], whole.is_flipped[4 * start :]))


@pytest.mark.parametrize("size", [2, 3, 6])
def test_the_shares_of_a_group_are_the_parts_of_the_global_batches(size):
    shares = [take(9, 6, start_step=2, share=(rank, size)) for rank in range(size)]
    joined = (np.concatenate([part.reshape(9, -1) for part in parts], axis=1) for parts in zip(*shares, strict=True))
    assert_same(Selection(*(values.ravel() for values in joined)), take(9, 6, start_step=2))


def test_half_of_the_images_are_flipped():
    assert 0.45 < take(100, batch_size=N).is_flipped.mean() < 0.55


# --- unions ----------------------------------------------------------------------------------------------------------


def part_of(rows: np.ndarray) -> np.ndarray:
    """The number of the part of each row of MIXED."""
    return np.searchsorted([11, 16], rows, side="right")


@hypothesis.given(strategies.lists(strategies.integers(1, 60), min_size=1, max_size=6))
def test_after_any_number_of_images_each_part_is_less_than_one_image_from_its_share(weights):
    pattern = np.tile(alternate(weights), 2)
    counts = np.cumsum(pattern[:, None] == np.arange(len(weights)), axis=0)
    shares = np.arange(1, len(pattern) + 1)[:, None] * np.array(weights) / sum(weights)
    assert (np.abs(counts - shares) < 1 - 1e-9).all()
    assert (counts[-1] * sum(weights) == len(pattern) * np.array(weights)).all()


def test_every_batch_of_a_union_has_the_stated_mix():
    """To whole images if the mix is a fraction of the batch, else nearly, and exactly in the long run."""
    rows = take(500, 12, parts=MIXED).rows.reshape(500, 12)
    counts = (part_of(rows)[:, :, None] == np.arange(3)).sum(axis=1)  # (500, 3)
    assert (counts == [6, 2, 4]).all()
    odd = part_of(take(600, 5, parts=MIXED).rows)
    assert np.bincount(odd).tolist() == [1500, 500, 1000]


def test_every_image_of_a_part_comes_once_an_epoch_of_the_part():
    rows = take(100, 6, parts=MIXED).rows
    for number, (first, length) in enumerate(((0, 11), (11, 5), (16, 7))):
        own = rows[part_of(rows) == number] - first
        whole = own[: len(own) // length * length].reshape(-1, length)
        assert len(whole) > 5 and (np.sort(whole, axis=1) == np.arange(length)).all()
        assert not np.array_equal(whole[0], whole[1])


def test_the_first_part_has_the_order_that_it_has_alone_and_no_other_part_repeats_it():
    selection = take(50, 6, parts=(Part("a", N), Part("b", N, N)))
    first, second = (selection.rows[part::2] - part * N for part in (0, 1))
    alone = take(25, 6)
    assert np.array_equal(first, alone.rows)
    assert np.array_equal(selection.is_flipped[::2], alone.is_flipped)
    assert not np.array_equal(second, alone.rows)


@pytest.mark.parametrize("start", [1, 7])
@pytest.mark.parametrize("size", [1, 5])
def test_a_union_continues_exactly_on_any_number_of_processes(start, size):
    whole = take(start + 4, 5, parts=MIXED)
    shares = [take(4, 5, start_step=start, share=(rank, size), parts=MIXED) for rank in range(size)]
    joined = (np.concatenate([part.reshape(4, -1) for part in parts], axis=1) for parts in zip(*shares, strict=True))
    found = Selection(*(values.ravel() for values in joined))
    assert_same(found, Selection(whole.rows[5 * start :], whole.is_flipped[5 * start :]))


def test_rows_are_spread_from_the_first_to_the_last():
    assert spread(10, 4).tolist() == [0, 3, 6, 9]
    assert spread(3, 100).tolist() == [0, 1, 2]
    assert spread(10, 1).tolist() == [0]
