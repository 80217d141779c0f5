"""Batches on the device: where the images wait, and how they get there.

    device   the whole split, uploaded once and gathered there; on the CPU a copy in memory
    host     the page cache: gathered from the mapped shards, on a GPU by a thread ahead of the steps
    stream   the disk, past the page cache, by a thread: for a split larger than memory
    auto     `device` on a GPU whose free memory holds the split several times, else `host`

The batches are the same bits for every place. On the CPU `auto` is `host` without a thread: a copy of the split would
be a seventh faster to gather from, and a thread only takes a core from the training.
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

_DEVICE_SHARE = 0.4  # of a GPU's free memory that the images may take; the rest is for the training
_UPLOAD = 4096  # images uploaded at once
_AHEAD = 2  # batches that a thread prepares


class DeviceBatch(NamedTuple):
    """Images on the device."""

    rgb: Tensor  # (B, S, S, 3) uint8
    is_flipped: Tensor  # (B,) bool: still to be mirrored
    rows: np.ndarray  # (B,) int64, on the host: which images of the split they are


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
    """Endless batches of `order.training_order`; `close()` ends the thread and frees the files.

    Args:
        split: of the training images.
        batch_size: images of a global batch.
        seed: of order and flips.
        device: where the batches go.
        place: one of `runtime.CACHE_PLACES`.
        start_step: batches to leave out.
        share: (rank, size) of this process in its group.
        ahead: batches that a thread prepares, 0 for no thread; None decides by place and device.

    Yields:
        this process's part of every global batch, batch_size / size images.
    """
    device = torch.device(device)
    selections = order.training_order(len(split), batch_size, seed, start_step, share)
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
    """Every row once (or the given ones), in order, unflipped; the last batch may be smaller."""
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
    return len(split) * 3 * split.size**2 <= _DEVICE_SHARE * free


def _gather_there(split: Split, selections: Iterator[Selection], device: torch.device) -> Batches:
    words = _upload_all(split, device)
    for selection in selections:
        rows, is_flipped = (_pin(torch.from_numpy(values), device) for values in selection)
        rgb = words.index_select(0, rows.to(device, non_blocking=True)).view(torch.uint8)  # (B, 3 S^2)
        shape = (len(selection.rows), split.size, split.size, 3)
        yield DeviceBatch(rgb.view(shape), is_flipped.to(device, non_blocking=True), selection.rows)


def _upload_all(split: Split, device: torch.device) -> Tensor:
    """(N, 3 S^2 / 8) int64: all images, as words, of which a GPU gathers eight times as many bytes at once."""
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
    """The same, a batch being announced to the disk while the one before is read."""
    with uncached.Reader(split.paths, split.counts, split.geometry) as reader:
        announced = ((selection, reader.announce(selection.rows)) for selection in selections)
        for (selection, places), _ in itertools.pairwise(announced):
            yield _read(functools.partial(reader.read, places), split, selection, device)


def _read(read: Callable[[Tensor], None], split: Split, selection: Selection, device: torch.device) -> DeviceBatch:
    rgb = _empty(split, len(selection.rows), device)
    read(rgb)
    return DeviceBatch(rgb, _pin(torch.from_numpy(selection.is_flipped), device), selection.rows)


def _empty(split: Split, count: int, device: torch.device) -> Tensor:
    """Memory on the host that the device can read; torch's allocator hands it out again once it has been copied."""
    shape = (count, split.size, split.size, 3)
    return torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")


def _pin(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.pin_memory() if device.type == "cuda" else tensor


def _prepare(batches: Batches, ahead: int, device: torch.device) -> Batches:
    """The same batches, `ahead` of them being prepared by a thread; what it raises is raised here."""
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
    """What a thread calls first: else it would pin memory for the first GPU, and take some of that one's own."""
    if device.type != "cuda":
        return None, ()
    return torch.cuda.set_device, (torch.cuda.current_device() if device.index is None else device.index,)


def _upload(batches: Batches, device: torch.device) -> Batches:
    """The host does not wait for copies from pinned memory; the device makes them between two steps."""
    with contextlib.closing(batches):
        for batch in batches:
            rgb, is_flipped = (tensor.to(device, non_blocking=True) for tensor in batch[:2])
            yield DeviceBatch(rgb, is_flipped, batch.rows)
