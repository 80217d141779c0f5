"""The seeded endless order in which training sees the images of a split.

The order and the flips of an epoch follow from (seed, epoch) alone: not from the number of shards or processes, nor
from where a run was interrupted.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np


class Selection(NamedTuple):
    """Which images make a batch."""

    rows: np.ndarray  # (B,) int64
    is_flipped: np.ndarray  # (B,) bool: to be mirrored


def training_order(
    length: int, batch_size: int, seed: int, start_step: int = 0, share: tuple[int, int] = (0, 1)
) -> Iterator[Selection]:
    """Endless batches; every image once an epoch, a batch may span epochs.

    Args:
        length: images of the split.
        batch_size: images of a global batch.
        seed: of order and flips.
        start_step: batches to leave out, as if they had been taken.
        share: (rank, size) of this process in a group; it takes the rank-th part of every global batch, of
            batch_size / size images.
    """
    rank, size = share
    part = batch_size // size
    order = functools.lru_cache(maxsize=1)(functools.partial(_order, length, seed))
    for start in itertools.count(start_step * batch_size + rank * part, batch_size):
        yield _select(order, length, start, start + part)


def _select(order: Callable[[int], Selection], length: int, start: int, stop: int) -> Selection:
    """Places `start` to `stop` of the sequence of all epochs."""
    pieces = []
    while start < stop:
        epoch, place = divmod(start, length)
        pieces.append(Selection(*(values[place : place + stop - start] for values in order(epoch))))
        start += len(pieces[-1].rows)
    return Selection(*map(np.concatenate, zip(*pieces, strict=True)))


def _order(length: int, seed: int, epoch: int) -> Selection:
    """A permutation of the rows and a flip for every place of an epoch."""
    generator = np.random.Generator(np.random.PCG64([seed, epoch]))
    return Selection(generator.permutation(length), generator.random(length) < 0.5)
