"""Batches on the device: the same bits from every place, and nothing left behind."""

import contextlib
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from colorize import runtime
from colorize.color import cielab
from colorize.data import loader, order
from colorize.data.loader import DeviceBatch
from colorize.data.split import Split
from colorize.data.transform import to_networks

N = 23
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.fixture(scope="module")
def images(images_of) -> np.ndarray:
    """(N, 16, 16, 3)."""
    return images_of(N)


@pytest.fixture(scope="module")
def splits(tmp_path_factory, write_images, images) -> dict[int, Split]:
    """The same images in 1, 4 and 8 tars."""
    folder = tmp_path_factory.mktemp("loader")
    of_count = {1: N, 4: 6, 8: 3}  # images a tar
    return {
        count: Split(write_images(folder / str(count), {"train": images}, per_shard).shards("train", "tiny"))
        for count, per_shard in of_count.items()
    }


@pytest.fixture(scope="module")
def split(splits) -> Split:
    """N images in four tars."""
    return splits[4]


def take(count: int, split: Split, device: str = "cpu", **options) -> list[DeviceBatch]:
    batches = loader.training_batches(split, options.pop("batch_size", 4), 0, device, **options)
    with contextlib.closing(batches):
        return list(islice(batches, count))


def assert_same(found: list[DeviceBatch], expected: list[DeviceBatch]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.rgb.cpu(), other.rgb.cpu())
        assert torch.equal(one.is_flipped.cpu(), other.is_flipped.cpu())
        assert np.array_equal(one.rows, other.rows)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("place", runtime.CACHE_PLACES)
def test_batches_are_those_of_the_order(split, images, place, device):
    selections = order.training_order(split.parts, 4, 0)
    for batch, draw in zip(take(N, split, device, place=place), selections, strict=False):  # of 4 epochs
        assert batch.rgb.device.type == batch.is_flipped.device.type == device
        assert (batch.rgb.dtype, batch.is_flipped.dtype, batch.rows.dtype) == (torch.uint8, torch.bool, np.int64)
        assert np.array_equal(batch.rows, draw.rows)
        assert np.array_equal(batch.rgb.cpu().numpy(), images[draw.rows])
        assert np.array_equal(batch.is_flipped.cpu().numpy(), draw.is_flipped)


@pytest.mark.parametrize("place", runtime.CACHE_PLACES)
@pytest.mark.parametrize("tars", [1, 4, 8])
def test_the_sequence_depends_neither_on_the_place_nor_on_the_number_of_shards(splits, place, tars):
    assert len(splits[tars].paths) == tars
    assert_same(take(9, splits[tars], place=place), take(9, splits[1], place="host"))


@pytest.mark.parametrize("place", ["host", "stream"])
@pytest.mark.parametrize("ahead", [0, 1, 2, 7])
def test_the_sequence_does_not_depend_on_how_far_ahead_a_thread_reads(split, place, ahead):
    assert_same(take(9, split, place=place, ahead=ahead), take(9, split))


@pytest.mark.parametrize("place", runtime.CACHE_PLACES)
def test_a_later_start_and_a_share_give_their_part_of_the_sequence(split, place):
    whole = take(9, split, batch_size=6)
    part = take(4, split, batch_size=6, place=place, start_step=5, share=(1, 2))
    for batch, expected in zip(part, whole[5:], strict=True):
        assert torch.equal(batch.rgb, expected.rgb[3:])
        assert np.array_equal(batch.rows, expected.rows[3:])


@pytest.mark.parametrize("place", runtime.CACHE_PLACES)
def test_a_batch_stays_what_it_is_when_the_next_ones_come(split, images, place):
    for batch in take(9, split, place=place):
        assert np.array_equal(batch.rgb.numpy(), images[batch.rows])


def feeding_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("loader")]


def open_files(split: Split) -> list[Path]:
    return [path for path in Path("/proc/self/fd").iterdir() if path.resolve() in split.paths]


@pytest.mark.parametrize("place", ["host", "stream"])
def test_closing_leaves_no_thread_and_no_open_file(split, place):
    batches = loader.training_batches(split, 4, 0, "cpu", place, ahead=2)
    next(batches)
    assert feeding_threads()
    assert bool(open_files(split)) == (place == "stream")
    batches.close()
    assert not feeding_threads()
    assert not open_files(split)


def test_a_feed_that_nobody_holds_any_more_leaves_no_thread(split):
    next(loader.training_batches(split, 4, 0, "cpu", ahead=2))
    assert not feeding_threads()


def test_an_error_of_the_thread_reaches_who_takes_the_batches(split, monkeypatch):
    batches = loader.training_batches(split, 4, 0, "cpu", ahead=1)
    next(batches)

    def fail(rows, out):
        raise OSError("the disk is gone")

    monkeypatch.setattr(split, "read", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        for _ in range(3):
            next(batches)
    assert not feeding_threads()


def test_a_shard_that_shrinks_while_it_is_streamed_is_named(tmp_path, write_images, images):
    split = Split(write_images(tmp_path / "a", {"train": images}, per_shard=N).shards("train", "tiny"))
    batches = loader.training_batches(split, N, 0, "cpu", "stream", ahead=0)
    next(batches)
    with split.paths[0].open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(runtime.DataError, match=r"000000\.tar: became shorter .*; run `.*verify --repair .* && dvc "):
        list(islice(batches, 2))


def test_on_a_cpu_the_images_stay_in_the_page_cache_and_no_thread_runs(split):
    batches = loader.training_batches(split, 4, 0, "cpu")
    next(batches)
    assert not feeding_threads()


def test_a_gpu_holds_the_images_only_where_much_memory_stays_free(split, monkeypatch):
    bytes_of_split = N * 3 * 16 * 16
    for free, fits in ((bytes_of_split, False), (10 * bytes_of_split, True)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 100 * bytes_of_split))
        assert loader._fits(split, torch.device("cuda")) is fits
    monkeypatch.setenv("COLORIZE_CELLS_PER_GPU", "5")  # each of them has a fifth of the 10 splits
    assert not loader._fits(split, torch.device("cuda"))


def test_evaluation_sees_every_image_once_in_order_unflipped(split, images):
    batches = list(loader.evaluation_batches(split, 4, "cpu"))
    assert [len(batch.rgb) for batch in batches] == [4, 4, 4, 4, 4, 3]
    assert np.array_equal(torch.cat([batch.rgb for batch in batches]).numpy(), images)
    assert np.array_equal(np.concatenate([batch.rows for batch in batches]), np.arange(N))
    assert not any(batch.is_flipped.any() for batch in batches)


def test_evaluation_of_given_rows(split, images):
    batches = list(loader.evaluation_batches(split, 2, "cpu", np.array([2, 5, 9])))
    assert np.array_equal(torch.cat([batch.rgb for batch in batches]).numpy(), images[[2, 5, 9]])


def test_networks_get_lightness_and_ab_mirrored_where_asked(images):
    batch = DeviceBatch(torch.from_numpy(images[:2]), torch.tensor([False, True]), np.array([0, 1]))
    L_norm, ab_norm = to_networks(batch)
    mirrored = np.stack([images[0], images[1][:, ::-1]])
    lab = cielab.rgb_to_lab(torch.from_numpy(mirrored).movedim(-1, 1))
    assert torch.equal(L_norm, lab[:, :1] / 100)
    assert torch.equal(ab_norm, lab[:, 1:] / 128)
    assert L_norm.dtype == ab_norm.dtype == torch.float32
    assert ab_norm.is_contiguous(memory_format=torch.channels_last)
