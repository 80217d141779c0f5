"""Held-out images that are training images too, pixel for pixel: on those a model is asked what it was told.

They are found by the hashes of the pixels in the tables of images, 16 bytes an image.
"""

from pathlib import Path

import numpy as np

from colorize.data.shards import SplitName, read_column

HELD_OUT: tuple[SplitName, ...] = ("val", "test")
_FIRST_PAIRS = 10  # that are named, a split


def find(train_folder: Path, folder: Path) -> dict:
    """Count and name the images of a split that train holds as well.

    Args:
        train_folder: of the training images.
        folder: of the other split.

    Returns:
        `images`, how many, and `first`, the first of them as pairs [name, name in train].
    """
    train, digests = _digests(train_folder), _digests(folder)  # (N,), (M,)
    order = np.argsort(train, kind="stable")
    places = np.searchsorted(train, digests, sorter=order)
    twins = order[np.minimum(places, len(train) - 1)]  # (M,) rows of train, right where the hash is there at all
    rows = np.flatnonzero(train[twins] == digests)
    first = rows[:_FIRST_PAIRS]
    pairs = zip(_names(folder, first), _names(train_folder, twins[first]), strict=True)
    return {"images": len(rows), "first": [list(pair) for pair in pairs]}


def _digests(folder: Path) -> np.ndarray:
    """(N,) XXH128 of the pixels."""
    return np.fromiter(map(bytes.fromhex, read_column(folder, "xxh128")), dtype="S16")


def _names(folder: Path, rows: np.ndarray) -> list[str]:
    """Names, as in the archive, of the given rows of a table."""
    if not len(rows):
        return []
    wanted = set(rows.tolist())
    names = enumerate(read_column(folder, "source"))
    found = {number: name for number, name in names if number in wanted}
    return [found[row] for row in rows.tolist()]
