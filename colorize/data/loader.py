"""Shards as one array, and the seeded endless sequence of training batches.

The tars are mapped, not read: an image is a row of a strided view, and a batch is a gather of rows at memory speed.
The order and the flips of an epoch follow from (seed, epoch) alone: not from the number of shards, nor from where a
run was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from colorize import runtime
from colorize.data import shards
from colorize.runtime import DataError

_HASHING_THREADS = 4  # hashing releases the interpreter's lock


class Batch(NamedTuple):
    """Images as they leave the loader."""

    rgb: np.ndarray  # (B, S, S, 3) uint8
    is_flipped: np.ndarray  # (B,) bool: still to be mirrored, which is cheaper on the device
    rows: np.ndarray  # (B,) int64: which images of the split they are


class Split:
    """One split of a sharded data set, mapped into memory.

    Args:
        folder: of the data set.
        split: train, val or test.

    Raises:
        DataError: a shard is missing, or differs from what the manifest says by a single bit.
    """

    def __init__(self, folder: Path | str, split: str):
        manifest = shards.read_manifest(Path(folder))
        self.size = manifest["size"]
        entries = manifest["splits"][split]["shards"]
        paths = [Path(folder) / split / entry["name"] for entry in entries]
        self._parts = [_map_shard(path, self.size, entry["images"]) for path, entry in zip(paths, entries, strict=True)]
        _verify(paths, [entry["sha256"] for entry in entries])
        self._ends = np.cumsum([len(images) for images, _ in self._parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def keys(self, rows: np.ndarray) -> np.ndarray:
        """(B,) row numbers -> (B,) int64 keys."""
        digits = self._gather(rows, np.empty((len(rows), 8), dtype=np.uint8), column=1)
        return digits.view("S8").ravel().astype(np.int64)

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
    """Views of a mapped tar: (N, S, S, 3) pixels and (N, 8) characters of the keys. Nothing but one header is read."""
    geometry = shards.Geometry(size)
    expected = geometry.shard_bytes(count)
    found = path.stat().st_size if path.exists() else 0
    if found != expected:
        raise DataError(f"{path}: {found:,} bytes, the manifest says {expected:,}; {_remedy(path)}")
    members = np.memmap(path, dtype=np.uint8, mode="r")[: count * geometry.stride].reshape(count, geometry.stride)
    pixels = members[:, geometry.pixel_offset : geometry.pixel_offset + 3 * size**2]
    if bytes(members[0, shards.TAR_BLOCK : geometry.pixel_offset]) != geometry.ppm_header():
        raise DataError(f"{path}: not a shard of {size}x{size} images; shard the data set again")
    return pixels.reshape(count, size, size, 3), members[:, :8]


def _verify(paths: list[Path], digests: list[str]) -> None:
    """Compare every shard with its SHA-256: a damaged one would train in silence, and DVC does not look."""
    with (
        ThreadPoolExecutor(_HASHING_THREADS) as pool,
        runtime.progress(f"verify {paths[0].parent}", len(paths), "shards") as advance,
    ):
        for path, digest, found in zip(paths, digests, pool.map(runtime.sha256_of, paths), strict=True):
            if found != digest:
                raise DataError(f"{path}: damaged, its SHA-256 is not that of the manifest; {_remedy(path)}")
            advance(1)


def _remedy(path: Path) -> str:
    folder = path.parent.parent
    return f"restore it with `rm -r {folder} && dvc repro -f shard@{folder.name}`"


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
