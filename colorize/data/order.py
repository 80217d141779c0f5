"""The seeded endless order in which training sees the images of a split.

The order and the flips of an epoch depend only on (seed, epoch). They do not depend on the number of shards or
processes, or on the step at which a run was interrupted.

The split of a union has several parts. Each part has its own order and epochs. The parts alternate in a fixed pattern,
in proportion to their weights: after any number of images, the number of images from a part differs by less than one
from its share.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from colorize.data.shards import Part


class Selection(NamedTuple):
    """The images of a batch or of an epoch."""

    rows: np.ndarray  # (B,) int64: row numbers in the split
    is_flipped: np.ndarray  # (B,) bool: these images are mirrored


def training_order(
    parts: Sequence[Part], batch_size: int, seed: int, start_step: int = 0, share: tuple[int, int] = (0, 1)
) -> Iterator[Selection]:
    """Endless batches. Every image occurs once per epoch of its part; a batch may contain images of several epochs.

    Args:
        parts: the parts of the split.
        batch_size: images per global batch.
        seed: seed of the order and the flips.
        start_step: number of batches to skip at the start; the later batches do not change.
        share: (rank, size) of this process in its process group. Every global batch is divided into `size` equal parts,
            and the process gets part `rank`.
    """
    rank, size = share
    count = batch_size // size
    mixture = _Mixture(parts, seed)
    for start in itertools.count(start_step * batch_size + rank * count, batch_size):
        yield mixture.select(start, start + count)


class _Mixture:
    """The endless orders of all parts, merged into one."""

    def __init__(self, parts: Sequence[Part], seed: int):
        self._lengths = [part.images for part in parts]
        self._offsets = [0, *itertools.accumulate(self._lengths)]  # row number of the first image of each part
        self._orders = [
            functools.lru_cache(maxsize=1)(functools.partial(_order, length, seed, number))
            for number, length in enumerate(self._lengths)
        ]
        self._pattern = alternate([part.weight for part in parts])
        self._before = [
            np.concatenate([[0], np.cumsum(self._pattern == number)]) for number in range(len(parts))
        ]  # (W + 1,) each: how often a part comes in the first positions of the pattern

    def select(self, start: int, stop: int) -> Selection:
        """Positions `start` to `stop` (exclusive) of the merged order."""
        numbers = self._pattern[np.arange(start, stop) % len(self._pattern)]  # (B,) number of the part
        selection = Selection(np.empty(len(numbers), dtype=np.int64), np.empty(len(numbers), dtype=bool))
        for number in np.unique(numbers).tolist():
            places, first = np.flatnonzero(numbers == number), self._count(number, start)
            found = _select(self._orders[number], self._lengths[number], first, first + len(places))
            selection.rows[places] = found.rows + self._offsets[number]
            selection.is_flipped[places] = found.is_flipped
        return selection

    def _count(self, number: int, stop: int) -> int:
        """How many of the positions before `stop` belong to a part."""
        cycles, rest = divmod(stop, len(self._pattern))
        return int(cycles * self._before[number][-1] + self._before[number][rest])


def alternate(weights: Sequence[int]) -> np.ndarray:
    """A pattern of numbers 0, 1, ... in which each number is spread as evenly as possible.

    At each position, a number may come if it has come less often than its share of the positions so far, this one
    included. Of these numbers, the pattern takes the one whose share will be the first to be a whole position ahead.
    This is the schedule "earliest pseudo-deadline first" for one processor: it keeps the error of each number below one
    (proportionate progress, Baruah et al. 1996).

    Args:
        weights: one positive whole number for each of N numbers; only their ratios matter.

    Returns:
        (W,) int64, where W is the sum of the weights without their common divisor. Number i occurs in a share
        weights[i] / sum(weights) of the positions. The pattern may be repeated.
    """
    divisor = math.gcd(*weights)
    weights = [weight // divisor for weight in weights]
    total, counts, pattern = sum(weights), [0] * len(weights), []
    for position in range(1, total + 1):
        deadlines = [
            (-(-(count + 1) * total // weight), number)
            for number, (count, weight) in enumerate(zip(counts, weights, strict=True))
            if count * total < position * weight
        ]
        _, number = min(deadlines)
        pattern.append(number)
        counts[number] += 1
    return np.array(pattern, dtype=np.int64)


def _select(order: Callable[[int], Selection], length: int, start: int, stop: int) -> Selection:
    """Positions `start` to `stop` (exclusive) of the concatenated orders of all epochs."""
    pieces = []
    while start < stop:
        epoch, place = divmod(start, length)
        pieces.append(Selection(*(values[place : place + stop - start] for values in order(epoch))))
        start += len(pieces[-1].rows)
    return Selection(*map(np.concatenate, zip(*pieces, strict=True)))


def _order(length: int, seed: int, number: int, epoch: int) -> Selection:
    """The order of one epoch of one part: all its images in random order, half of them mirrored on average."""
    generator = np.random.Generator(np.random.PCG64([seed, epoch, number] if number else [seed, epoch]))
    return Selection(generator.permutation(length), generator.random(length) < 0.5)
