"""Find held-out images that are also training images, pixel for pixel. These would reward memorization.

They are found by comparing the hashes of the pixels in the tables of images. The hashes are divided into parts by their
first bits, so that a process needs memory for one part only: 24 bytes per image.
"""

from array import array
from collections.abc import Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from colorize.data.shards import SplitName, read_column

HELD_OUT: tuple[SplitName, ...] = ("val", "test")
PART = 4_000_000  # training images in one part of the hashes
_FIRST_PAIRS = 10  # pairs that the manifest names, per split


class Leaks(NamedTuple):
    """Images of a split that are also in train, in one part of the hashes."""

    images: int
    pairs: list[tuple[int, int]]  # the first of them: row in the split's table, row in the table of train


def find_in(train_folder: str, folder: str, number: int, count: int) -> Leaks:
    """Find the leaks in part `number` of `count` parts of the hashes; a task of a worker process."""
    (train, train_rows), (digests, rows) = (_digests(Path(path), number, count) for path in (train_folder, folder))
    if not len(train):
        return Leaks(0, [])
    order = np.argsort(train, kind="stable")
    places = np.searchsorted(train, digests, sorter=order)
    twins = order[np.minimum(places, len(train) - 1)]  # (M,) positions in `train` that may have the same hash
    found = np.flatnonzero(train[twins] == digests)
    first = found[:_FIRST_PAIRS]
    return Leaks(len(found), list(zip(rows[first].tolist(), train_rows[twins[first]].tolist(), strict=True)))


def add(pool: Executor, manifests: dict[SplitName, dict], outs: dict[SplitName, Path]) -> None:
    """Add the field `leaked` to the manifests of the held-out splits; `outs` are the folders of all splits."""
    for split in HELD_OUT:
        manifests[split]["leaked"] = find(pool, outs["train"], outs[split], manifests["train"]["images"])


def find(pool: Executor, train_folder: Path, folder: Path, images: int) -> dict:
    """Find all leaks with worker processes.

    Args:
        pool: executor of the worker processes.
        train_folder: folder of the training images.
        folder: folder of the other split.
        images: number of training images.

    Returns:
        The result of `combine`.
    """
    places, count = (str(train_folder.absolute()), str(folder.absolute())), -(-images // PART)
    tasks = [pool.submit(find_in, *places, number, count) for number in range(count)]
    return combine(train_folder, folder, [task.result() for task in tasks])


def combine(train_folder: Path, folder: Path, found: Iterable[Leaks]) -> dict:
    """Combine the leaks of all parts.

    Args:
        train_folder: folder of the training images.
        folder: folder of the other split.
        found: leaks in each part of the hashes.

    Returns:
        `images`: the number of these images. `first`: the first of them, as pairs [name, name in train].
    """
    found = list(found)
    first = sorted(pair for leaks in found for pair in leaks.pairs)[:_FIRST_PAIRS]
    names = zip(_names(folder, [row for row, _ in first]), _names(train_folder, [row for _, row in first]), strict=True)
    return {"images": sum(leaks.images for leaks in found), "first": [list(pair) for pair in names]}


def _digests(folder: Path, number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """XXH128 of the pixels in one part of the hashes, (N,) 16 bytes each, and (N,) row numbers in the table."""
    digests, rows = bytearray(), array("q")
    for row, text in enumerate(read_column(folder, "xxh128")):
        if int(text[:4], 16) * count >> 16 == number:
            digests += bytes.fromhex(text)
            rows.append(row)
    return np.frombuffer(digests, "S16"), np.frombuffer(rows, np.int64)


def _names(folder: Path, rows: list[int]) -> list[str]:
    """Read the archive names of images from a split's table, by their row numbers in the table."""
    if not rows:
        return []
    wanted = set(rows)
    names = enumerate(read_column(folder, "source"))
    found = {number: name for number, name in names if number in wanted}
    return [found[row] for row in rows]
