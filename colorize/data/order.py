"""The seeded endless order in which training sees the images of a split.

The order and the flips of an epoch depend only on (seed, epoch). They do not depend on the number of shards or
processes, or on the step at which a run was interrupted.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np


class Selection(NamedTuple):
    """The images of a batch or of an epoch."""

    rows: np.ndarray  # (B,) int64: row numbers in the split
    is_flipped: np.ndarray  # (B,) bool: these images are mirrored


def training_order(
    length: int, batch_size: int, seed: int, start_step: int = 0, share: tuple[int, int] = (0, 1)
) -> Iterator[Selection]:
    """Endless batches. Every image occurs once per epoch; a batch may contain images of several epochs.

    Args:
        length: number of images in the split.
        batch_size: images per global batch.
        seed: seed of the order and the flips.
        start_step: number of batches to skip at the start; the later batches do not change.
        share: (rank, size) of this process in its process group. Every global batch is divided into `size` equal parts,
            and the process gets part `rank`.
    """
    rank, size = share
    part = batch_size // size
    order = functools.lru_cache(maxsize=1)(functools.partial(_order, length, seed))
    for start in itertools.count(start_step * batch_size + rank * part, batch_size):
        yield _select(order, length, start, start + part)


def _select(order: Callable[[int], Selection], length: int, start: int, stop: int) -> Selection:
    """Positions `start` to `stop` (exclusive) of the concatenated orders of all epochs."""
    pieces = []
    while start < stop:
        epoch, place = divmod(start, length)
        pieces.append(Selection(*(values[place : place + stop - start] for values in order(epoch))))
        start += len(pieces[-1].rows)
    return Selection(*map(np.concatenate, zip(*pieces, strict=True)))


def _order(length: int, seed: int, epoch: int) -> Selection:
    """The order of one epoch: all rows in random order, half of them mirrored on average."""
    generator = np.random.Generator(np.random.PCG64([seed, epoch]))
    return Selection(generator.permutation(length), generator.random(length) < 0.5)
