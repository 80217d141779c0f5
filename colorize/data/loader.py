"""A split's images as rows, and the seeded endless order in which training sees them.

The order and the flips of an epoch follow from (seed, epoch) alone: not from the number of shards or processes, nor
from where a run was interrupted.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize.data import shards, verified
from colorize.data.mapped import Mapped
from colorize.runtime import DataError, repair_command


class Split:
    """One split of a sharded data set, mapped into memory.

    Args:
        folder: of the data set.
        split: train, val or test.

    Raises:
        DataError: the manifest has no such split, or a shard is missing, or differs from the manifest by a single bit.
    """

    def __init__(self, folder: Path | str, split: str):
        folder = Path(folder)
        manifest = shards.read_manifest(folder)
        entries = shards.shards_of(manifest, split, folder)
        self.geometry = shards.Geometry(manifest["size"])
        self.paths = [folder / split / entry["name"] for entry in entries]
        self.counts = [entry["images"] for entry in entries]  # images of each shard
        remedy = f"run `{repair_command(folder, f'shard@{folder.name}')}`"
        for path, count in zip(self.paths, self.counts, strict=True):
            _check_geometry(path, self.geometry, count, remedy)
        verified.check(self.paths, [entry["sha256"] for entry in entries], remedy)
        mapped = Mapped(self.paths, self.counts, self.geometry)
        self._keys, self._pixels = mapped.field(0, 8), mapped.field(self.geometry.pixel_offset, 3 * self.size**2)

    def __len__(self) -> int:
        return sum(self.counts)

    @property
    def size(self) -> int:
        """Side of the images, pixels."""
        return self.geometry.size

    def keys(self, rows: np.ndarray) -> np.ndarray:
        """(B,) row numbers -> (B,) int64 keys."""
        digits = torch.empty((len(rows), 8), dtype=torch.uint8)
        self._keys.gather(rows, digits)
        return digits.numpy().view("S8").ravel().astype(np.int64)

    def images(self, rows: np.ndarray) -> np.ndarray:
        """(B,) row numbers -> (B, S, S, 3) uint8."""
        out = torch.empty((len(rows), self.size, self.size, 3), dtype=torch.uint8)
        self.read(rows, out)
        return out.numpy()

    def read(self, rows: np.ndarray, out: Tensor) -> None:
        """The same into a tensor of the host: (B,) row numbers, (B, S, S, 3) uint8."""
        self._pixels.gather(rows, out.view(len(rows), -1))


def _check_geometry(path: Path, geometry: shards.Geometry, count: int, remedy: str) -> None:
    """A shard must have the length and the first header of its geometry: gathering trusts both."""
    expected = geometry.shard_bytes(count)
    found = path.stat().st_size if path.exists() else 0
    if found != expected:
        raise DataError(f"{path}: the file has {found:,} bytes, the manifest says {expected:,}; {remedy}")
    with path.open("rb") as file:
        header = file.read(geometry.pixel_offset)[shards.TAR_BLOCK :]
    if header != geometry.ppm_header():
        raise DataError(f"{path}: not a shard of {geometry.size}x{geometry.size} images; shard the data set again")


def spread(length: int, count: int) -> np.ndarray:
    """At most `count` row numbers, evenly spaced over `length` rows."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64))


class Draw(NamedTuple):
    """Which images make a batch."""

    rows: np.ndarray  # (B,) int64
    is_flipped: np.ndarray  # (B,) bool: to be mirrored


def training_draws(
    length: int, batch_size: int, seed: int, start_step: int = 0, share: tuple[int, int] = (0, 1)
) -> Iterator[Draw]:
    """Endless draws; every image once an epoch, a batch may span epochs.

    Args:
        length: images to draw from.
        batch_size: images of a global batch.
        seed: of order and flips.
        start_step: batches to leave out, as if they had been drawn.
        share: (rank, size) of this process in a group; it draws the rank-th part of every global batch, of
            batch_size / size images.
    """
    rank, size = share
    part = batch_size // size
    order = functools.lru_cache(maxsize=1)(functools.partial(_order, length, seed))
    for start in itertools.count(start_step * batch_size + rank * part, batch_size):
        yield _draw(order, length, start, start + part)


def _draw(order: Callable[[int], Draw], length: int, start: int, stop: int) -> Draw:
    """Places `start` to `stop` of the sequence of all epochs."""
    pieces = []
    while start < stop:
        epoch, place = divmod(start, length)
        pieces.append(Draw(*(values[place : place + stop - start] for values in order(epoch))))
        start += len(pieces[-1].rows)
    return Draw(*map(np.concatenate, zip(*pieces, strict=True)))


def _order(length: int, seed: int, epoch: int) -> Draw:
    """A permutation of the rows and a flip for every place of an epoch."""
    generator = np.random.Generator(np.random.PCG64([seed, epoch]))
    return Draw(generator.permutation(length), generator.random(length) < 0.5)
