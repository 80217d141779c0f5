"""Held-out images that are training images too, pixel for pixel: on those a model is asked what it was told.

They are found by the hashes of the pixels in the tables of images, 16 bytes an image.
"""

from pathlib import Path

import numpy as np

from colorize.data.shards import read_column

HELD_OUT = ("val", "test")
_FIRST_PAIRS = 10  # that are named, a split


def find(folder: Path) -> dict[str, dict]:
    """Count and name the images of val and test that train holds as well.

    Args:
        folder: of the data set, with the tables `train.csv`, `val.csv` and `test.csv`.

    Returns:
        Of `val` and of `test`: `images`, how many, and `first`, the first of them as pairs [name, name in train].
    """
    train = _digests(folder / "train.csv")  # (N,)
    order = np.argsort(train, kind="stable")
    return {split: _shared(folder, split, train, order) for split in HELD_OUT}


def _shared(folder: Path, split: str, train: np.ndarray, order: np.ndarray) -> dict:
    digests = _digests(folder / f"{split}.csv")  # (M,)
    places = np.searchsorted(train, digests, sorter=order)
    twins = order[np.minimum(places, len(train) - 1)]  # (M,) rows of train, right where the hash is there at all
    rows = np.flatnonzero(train[twins] == digests)
    first = rows[:_FIRST_PAIRS]
    pairs = zip(_names(folder, split, first), _names(folder, "train", twins[first]), strict=True)
    return {"images": len(rows), "first": [list(pair) for pair in pairs]}


def _digests(path: Path) -> np.ndarray:
    """(N,) XXH128 of the pixels."""
    return np.fromiter(map(bytes.fromhex, read_column(path, "xxh128")), dtype="S16")


def _names(folder: Path, split: str, rows: np.ndarray) -> list[str]:
    """Names, as in the archive, of the given rows of a table."""
    if not len(rows):
        return []
    wanted = set(rows.tolist())
    names = enumerate(read_column(folder / f"{split}.csv", "source"))
    found = {number: name for number, name in names if number in wanted}
    return [found[row] for row in rows.tolist()]
