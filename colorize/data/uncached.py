"""Rows of shards read from the disk past the page cache, for data sets larger than memory.

Through a mapping every image would cost several waits for the disk, one after the other, and drive out of the cache
what others need. Here the images of the next batch are announced, so that the disk finds them all at once while this
one is used, and are dropped from the cache when they have been copied.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from colorize.data.shards import Geometry
from colorize.runtime import DataError, repair_command

_CAN_ADVISE = hasattr(os, "posix_fadvise")  # macOS has none, and reads all the same


class Place(NamedTuple):
    """Where an image lies."""

    descriptor: int
    offset: int  # bytes to the pixels
    first: int  # bytes to the first page that holds pixels
    length: int  # bytes of whole pages: of a part of one, the kernel would drop nothing


class Reader(contextlib.ExitStack):
    """Reads images of some shards; a context manager, which closes them.

    Args:
        paths: of the tars.
        counts: images of each.
        geometry: of their members.
    """

    def __init__(self, paths: list[Path], counts: list[int], geometry: Geometry):
        super().__init__()
        self._geometry = geometry
        self._ends = np.cumsum(counts)
        self._paths: dict[int, Path] = {}  # by descriptor
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            self.callback(os.close, descriptor)
            self._paths[descriptor] = path

    def announce(self, rows: np.ndarray) -> list[Place]:
        """Let the disk begin to read images, (B,) row numbers, without waiting for it.

        Returns:
            where they are, for `read`.
        """
        places = self._places(rows)
        if _CAN_ADVISE:
            for place in places:
                os.posix_fadvise(place.descriptor, place.first, place.length, os.POSIX_FADV_WILLNEED)
        return places

    def read(self, places: list[Place], out: Tensor) -> None:
        """Read images, and drop them from the page cache.

        Args:
            places: B of them.
            out: (B, S, S, 3) uint8, on the host.

        Raises:
            DataError: a shard cannot be read, or became shorter.
        """
        for place, pixels in zip(places, out.view(len(places), -1).numpy(), strict=True):
            try:
                is_whole = os.preadv(place.descriptor, [pixels], place.offset) == len(pixels)
            except OSError as error:
                raise self._failure(place, f"cannot be read ({error.strerror})") from None
            if not is_whole:
                raise self._failure(place, "became shorter while it was being read")
            if _CAN_ADVISE:
                os.posix_fadvise(place.descriptor, place.first, place.length, os.POSIX_FADV_DONTNEED)

    def _failure(self, place: Place, problem: str) -> DataError:
        path = self._paths[place.descriptor]
        folder = path.parent
        return DataError(f"{path}: {problem}; run `{repair_command(folder, f'shard@{folder.name}')}`")

    def _places(self, rows: np.ndarray) -> list[Place]:
        tars = np.searchsorted(self._ends, rows, side="right")
        in_tar = rows - np.concatenate([[0], self._ends])[tars]
        offsets = in_tar * self._geometry.stride + self._geometry.pixel_offset
        first = offsets // mmap.PAGESIZE * mmap.PAGESIZE
        pages = -(-(offsets + 3 * self._geometry.size**2 - first) // mmap.PAGESIZE)
        descriptors = np.array(list(self._paths))[tars]
        columns = (descriptors, offsets, first, pages * mmap.PAGESIZE)
        return [Place(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
