"""Load batches of images to the device. The place where the images are cached is one of these:

    device   memory of the device: the whole split is uploaded once (on the CPU, it is copied to memory)
    host     page cache: batches are gathered from the mapped shards; for a GPU, a thread does this in advance
    stream   none: a thread reads batches from the disk and does not fill the page cache; for splits larger than memory
    auto     `device` if the split fits in 40 % of a GPU's free memory (of this process's share of it), else `host`

The batches are byte for byte the same for all places. On the CPU, `auto` means `host` without a thread. Gathering from
a copy of the split in memory would only be one seventh faster, and a thread would take a core from the training.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize import runtime
from colorize.data import order, uncached
from colorize.data.order import Selection
from colorize.data.split import Split

_DEVICE_SHARE = 0.4  # largest share of a GPU's free memory that the images may take; training needs the rest
_UPLOAD = 4096  # images uploaded at once
_AHEAD = 2  # batches that a thread prepares


class DeviceBatch(NamedTuple):
    """A batch of images. Within this module, it may still be on the host."""

    rgb: Tensor  # (B, S, S, 3) uint8
    is_flipped: Tensor  # (B,) bool: these images must still be mirrored
    rows: np.ndarray  # (B,) int64, on the host: row numbers of the images in the split


Batches = Generator[DeviceBatch, None, None]


def training_batches(
    split: Split,
    batch_size: int,
    seed: int,
    device: str | torch.device,
    place: str = "auto",
    start_step: int = 0,
    share: tuple[int, int] = (0, 1),
    ahead: int | None = None,
) -> Batches:
    """Endless batches, as `order.training_order` selects them.

    `close()` of the returned generator ends its thread and closes its files.

    Args:
        split: the training images.
        batch_size: images per global batch.
        seed: seed of the order and the flips.
        device: device of the batches.
        place: one of `runtime.CACHE_PLACES`.
        start_step: number of batches to skip at the start.
        share: (rank, size) of this process in its process group.
        ahead: number of batches that a thread prepares in advance; 0 for no thread. None means 0 for `host` on the CPU
            and 2 otherwise. It has no effect if the place is `device`.

    Yields:
        The part of a global batch that belongs to this process: batch_size / size images.
    """
    device = torch.device(device)
    selections = order.training_order(split.parts, batch_size, seed, start_step, share)
    if place == "auto":
        place = "device" if _fits(split, device) else "host"
    if place == "device":
        return _gather_there(split, selections, device)
    if ahead is None:
        ahead = 0 if place == "host" and device.type == "cpu" else _AHEAD
    batches = _read_host(split, selections, device) if place == "host" else _read_disk(split, selections, device)
    return _upload(_prepare(batches, ahead, device), device)


def evaluation_batches(
    split: Split, batch_size: int, device: str | torch.device, rows: np.ndarray | None = None
) -> Batches:
    """Batches of all rows, or of `rows`, (N,) int64, in this order, not mirrored; the last batch may be smaller."""
    device = torch.device(device)
    rows = np.arange(len(split)) if rows is None else rows
    parts = (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
    selections = (Selection(part, np.zeros(len(part), dtype=bool)) for part in parts)
    ahead = _AHEAD if device.type == "cuda" else 0
    return _upload(_prepare(_read_host(split, selections, device), ahead, device), device)


def _fits(split: Split, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return len(split) * 3 * split.size**2 <= _DEVICE_SHARE * free / runtime.cells_per_gpu()


def _gather_there(split: Split, selections: Iterator[Selection], device: torch.device) -> Batches:
    words = _upload_all(split, device)
    for selection in selections:
        rows, is_flipped = (_pin(torch.from_numpy(values), device) for values in selection)
        rgb = words.index_select(0, rows.to(device, non_blocking=True)).view(torch.uint8)  # (B, 3 S^2)
        shape = (len(selection.rows), split.size, split.size, 3)
        yield DeviceBatch(rgb.view(shape), is_flipped.to(device, non_blocking=True), selection.rows)


def _upload_all(split: Split, device: torch.device) -> Tensor:
    """(N, 3 S^2 / 8) int64: all images, as 8-byte words, because a GPU gathers one element at a time."""
    words = torch.empty((len(split), 3 * split.size**2 // 8), dtype=torch.int64, device=device)
    with runtime.progress(f"load {split.folder}", len(split), "images") as advance:
        for start in range(0, len(split), _UPLOAD):
            rows = np.arange(start, min(start + _UPLOAD, len(split)))
            pixels = _empty(split, len(rows), device)
            split.read(rows, pixels)
            words[start : start + len(rows)].copy_(pixels.view(len(rows), -1).view(torch.int64), non_blocking=True)
            advance(len(rows))
    return words


def _read_host(split: Split, selections: Iterator[Selection], device: torch.device) -> Batches:
    """Batches that are still on the host."""
    for selection in selections:
        yield _read(functools.partial(split.read, selection.rows), split, selection, device)


def _read_disk(split: Split, selections: Iterator[Selection], device: torch.device) -> Batches:
    """Batches that are still on the host. The disk starts to read the next batch before this one is copied."""
    with uncached.UncachedReader(split.paths, split.counts, split.geometry) as reader:
        announced = ((selection, reader.announce(selection.rows)) for selection in selections)
        for (selection, places), _ in itertools.pairwise(announced):
            yield _read(functools.partial(reader.read, places), split, selection, device)


def _read(read: Callable[[Tensor], None], split: Split, selection: Selection, device: torch.device) -> DeviceBatch:
    rgb = _empty(split, len(selection.rows), device)
    read(rgb)
    return DeviceBatch(rgb, _pin(torch.from_numpy(selection.is_flipped), device), selection.rows)


def _empty(split: Split, count: int, device: torch.device) -> Tensor:
    """(count, S, S, 3) uint8 on the host; pinned for a GPU. PyTorch reuses pinned memory only after its upload."""
    shape = (count, split.size, split.size, 3)
    return torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")


def _pin(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.pin_memory() if device.type == "cuda" else tensor


def _prepare(batches: Batches, ahead: int, device: torch.device) -> Batches:
    """The same batches; a thread prepares `ahead` of them in advance. An exception of the thread is raised here."""
    if not ahead:
        yield from batches
        return
    pool = ThreadPoolExecutor(1, "loader", *_choose_gpu(device))
    try:
        waiting = deque(pool.submit(next, batches, None) for _ in range(ahead))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, batches, None))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
        batches.close()


def _choose_gpu(device: torch.device) -> tuple[Callable | None, tuple]:
    """Initializer of the thread and its arguments. It selects the GPU.

    Otherwise the thread would pin memory for the first GPU, and would also use memory of the first GPU.
    """
    if device.type != "cuda":
        return None, ()
    return torch.cuda.set_device, (torch.cuda.current_device() if device.index is None else device.index,)


def _upload(batches: Batches, device: torch.device) -> Batches:
    """Upload batches. The host does not wait: the GPU copies pinned memory between two training steps."""
    with contextlib.closing(batches):
        for batch in batches:
            rgb, is_flipped = (tensor.to(device, non_blocking=True) for tensor in batch[:2])
            yield DeviceBatch(rgb, is_flipped, batch.rows)
