"""Find held-out images that are also training images, pixel for pixel. These would reward memorization.

They are found by comparing the hashes of the pixels in the tables of images, 16 bytes per image.
"""

from pathlib import Path

import numpy as np

from colorize.data.shards import SplitName, read_column

HELD_OUT: tuple[SplitName, ...] = ("val", "test")
_FIRST_PAIRS = 10  # pairs that the manifest names, per split


def find(train_folder: Path, folder: Path) -> dict:
    """Count and name the images of a split that are also in train.

    Args:
        train_folder: folder of the training images.
        folder: folder of the other split.

    Returns:
        `images`: the number of these images. `first`: the first of them, as pairs [name, name in train].
    """
    train, digests = _digests(train_folder), _digests(folder)  # (N,), (M,)
    order = np.argsort(train, kind="stable")
    places = np.searchsorted(train, digests, sorter=order)
    twins = order[np.minimum(places, len(train) - 1)]  # (M,) rows of train that may have the same hash
    rows = np.flatnonzero(train[twins] == digests)
    first = rows[:_FIRST_PAIRS]
    pairs = zip(_names(folder, first), _names(train_folder, twins[first]), strict=True)
    return {"images": len(rows), "first": [list(pair) for pair in pairs]}


def _digests(folder: Path) -> np.ndarray:
    """(N,) XXH128 of the pixels."""
    return np.fromiter(map(bytes.fromhex, read_column(folder, "xxh128")), dtype="S16")


def _names(folder: Path, rows: np.ndarray) -> list[str]:
    """Read the archive names of images from a split's table; `rows`, (M,), are the row numbers in the table."""
    if not len(rows):
        return []
    wanted = set(rows.tolist())
    names = enumerate(read_column(folder, "source"))
    found = {number: name for number, name in names if number in wanted}
    return [found[row] for row in rows.tolist()]
