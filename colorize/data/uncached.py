"""Read images of shards from the disk without filling the page cache, for data sets larger than memory.

A memory mapping would wait for the disk several times per image, and would remove other data from the page cache. This
module tells the kernel in advance which images the next batch needs. The kernel then reads them together, while the
current batch is used. After an image is copied, it is dropped from the page cache.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from colorize.data.shards import Geometry
from colorize.layout import stage_name
from colorize.runtime import DataError, repair_command

_CAN_ADVISE = hasattr(os, "posix_fadvise")  # not on macOS, where images are read without advice


class Place(NamedTuple):
    """Position of an image's pixels in an open file."""

    descriptor: int  # of the file
    offset: int  # bytes to the pixels
    first: int  # bytes to the start of the first page that holds pixels
    length: int  # bytes of all pages that hold pixels; the kernel drops only whole pages


class UncachedReader(contextlib.ExitStack):
    """Reads images of shards. As a context manager, it closes the files at the end.

    Args:
        paths: paths of the tars.
        counts: number of images in each tar.
        geometry: geometry of their members.

    Raises:
        DataError: there are more shards than files that the process may open.
    """

    def __init__(self, paths: list[Path], counts: list[int], geometry: Geometry):
        super().__init__()
        self._geometry = geometry
        self._ends = np.cumsum(counts)
        self._paths: dict[int, Path] = {}  # by descriptor
        try:
            for path in paths:
                descriptor = os.open(path, os.O_RDONLY)
                self.callback(os.close, descriptor)
                self._paths[descriptor] = path
        except OSError as error:
            self.close()
            if error.errno != errno.EMFILE:
                raise
            raise DataError(
                f"COLORIZE_CACHE=stream: {len(paths):,} shards need as many open files, more than this process may "
                "have; allow more with `ulimit -n`, set a larger shard.per_shard, or set COLORIZE_CACHE=host"
            ) from None

    def announce(self, rows: np.ndarray) -> list[Place]:
        """Tell the kernel to start reading images, and do not wait for them.

        Args:
            rows: (B,) row numbers.

        Returns:
            B positions, for `read`.
        """
        places = self._places(rows)
        if _CAN_ADVISE:
            for place in places:
                os.posix_fadvise(place.descriptor, place.first, place.length, os.POSIX_FADV_WILLNEED)
        return places

    def read(self, places: list[Place], out: Tensor) -> None:
        """Read images, and drop them from the page cache.

        Args:
            places: B positions that `announce` returned.
            out: (B, S, S, 3) uint8, on the host.

        Raises:
            DataError: a shard cannot be read, or became shorter while it was being read.
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
        return DataError(f"{path}: {problem}; run `{repair_command(folder, stage_name('shard', folder.name))}`")

    def _places(self, rows: np.ndarray) -> list[Place]:
        tars = np.searchsorted(self._ends, rows, side="right")
        in_tar = rows - np.concatenate([[0], self._ends])[tars]
        offsets = in_tar * self._geometry.stride + self._geometry.pixel_offset
        first = offsets // mmap.PAGESIZE * mmap.PAGESIZE
        pages = -(-(offsets + 3 * self._geometry.size**2 - first) // mmap.PAGESIZE)
        descriptors = np.array(list(self._paths))[tars]
        columns = (descriptors, offsets, first, pages * mmap.PAGESIZE)
        return [Place(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
