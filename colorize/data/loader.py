"""Shards as one array, and the seeded endless sequence of training batches.

The tars are mapped, not read: an image is a row of a strided view, and a batch is a gather of rows at memory speed.
The order and the flips of an epoch follow from (seed, epoch) alone: not from the number of shards, nor from where a
run was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from colorize.data import shards
from colorize.runtime import DataError


class Batch(NamedTuple):
    """Images as they leave the loader."""

    rgb: np.ndarray  # (B, S, S, 3) uint8
    is_flipped: np.ndarray  # (B,) bool: still to be mirrored, which is cheaper on the device
    keys: np.ndarray  # (B,) int64: rows in the split


class Split:
    """One split of a sharded data set, mapped into memory.

    Args:
        folder: of the data set.
        split: train, val or test.

    Raises:
        DataError: a shard is missing or does not have the length that the manifest implies.
    """

    def __init__(self, folder: Path | str, split: str):
        manifest = shards.read_manifest(Path(folder))
        self.size = manifest["size"]
        entries = manifest["splits"][split]["shards"]
        self._parts = [
            _map_shard(Path(folder) / split / entry["name"], self.size, entry["images"]) for entry in entries
        ]
        self._ends = np.cumsum([len(images) for images, _ in self._parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def keys(self, rows: np.ndarray) -> np.ndarray:
        """(B,) row numbers -> (B,) int64 keys."""
        return self._gather(rows, np.empty(len(rows), dtype=np.int64), column=1)

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """(B,) row numbers -> (B, S, S, 3) uint8, into `out` where given."""
        out = np.empty((len(rows), self.size, self.size, 3), dtype=np.uint8) if out is None else out
        return self._gather(rows, out, column=0)

    def _gather(self, rows: np.ndarray, out: np.ndarray, column: int) -> np.ndarray:
        part_of = np.searchsorted(self._ends, rows, side="right")
        for part in np.unique(part_of):
            is_here = part_of == part
            first = self._ends[part - 1] if part else 0
            out[is_here] = self._parts[part][column][rows[is_here] - first]
        return out


def _map_shard(path: Path, size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of a mapped tar: (N, S, S, 3) pixels and (N,) keys."""
    geometry = shards.Geometry(size)
    expected = geometry.shard_bytes(count)
    found = path.stat().st_size if path.exists() else 0
    if found != expected:
        dataset = path.parent.parent.name
        raise DataError(
            f"{path}: {found:,} bytes, the manifest says {expected:,}; "
            f"restore it with `rm -r {path.parent.parent} && dvc repro -f shard@{dataset}`"
        )
    members = np.memmap(path, dtype=np.uint8, mode="r")[: count * geometry.stride].reshape(count, geometry.stride)
    pixels = members[:, geometry.pixel_offset : geometry.pixel_offset + 3 * size**2]
    if bytes(members[0, shards.TAR_BLOCK : geometry.pixel_offset]) != geometry.ppm_header():
        raise DataError(f"{path}: not a shard of {size}x{size} images; shard the data set again")
    names = np.ascontiguousarray(members[:, :8]).view("S8").ravel()
    return pixels.reshape(count, size, size, 3), names.astype(np.int64)


def spread(length: int, count: int) -> np.ndarray:
    """At most `count` row numbers, evenly spaced over `length` rows."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64))


def training_batches(split: Split, batch_size: int, seed: int, start_step: int = 0) -> Iterator[Batch]:
    """Endless batches; every image once an epoch, batches may span two epochs.

    Args:
        split: of the training images.
        batch_size: B.
        seed: of order and flips.
        start_step: batches to leave out, as if they had been drawn.
    """
    position = start_step * batch_size
    orders: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    while True:
        places = np.arange(position, position + batch_size)
        epochs = places // len(split)
        orders = {epoch: orders.get(epoch) or _order(len(split), seed, int(epoch)) for epoch in np.unique(epochs)}
        rows = np.array([orders[e][0][p] for e, p in zip(epochs, places % len(split), strict=True)])
        is_flipped = np.array([orders[e][1][p] for e, p in zip(epochs, places % len(split), strict=True)])
        yield Batch(split.images(rows), is_flipped, rows)
        position += batch_size


def _order(length: int, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """A permutation of the rows and a flip for every place of an epoch."""
    generator = np.random.Generator(np.random.PCG64([seed, epoch]))
    return generator.permutation(length), generator.random(length) < 0.5


def evaluation_batches(split: Split, batch_size: int, rows: np.ndarray | None = None) -> Iterator[Batch]:
    """Every row once (or the given ones), in order, unflipped; the last batch may be smaller."""
    rows = np.arange(len(split)) if rows is None else rows
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        yield Batch(split.images(part), np.zeros(len(part), dtype=bool), part)
