"""Shards mapped into memory next to each other: their images are rows of one strided tensor.

Every member of a shard starts at a multiple of 512 bytes, and every tar is mapped at the start of a page. All members
of all tars therefore lie on one grid of 512 bytes, and a batch is a single gather by torch. Python cannot choose the
address of a mapping, so this module calls `mmap` of the C library.

A simpler implementation uses one `np.memmap` per shard, and a loop over the images of a batch. The table shows its time
divided by the time of this module, for batches of random 64x64 images from shards of 1,000 images. Each value is the
median of 40 rounds, with the 95 % interval in brackets. Each round ran both implementations, on 2 cores that also had
other work.

    images   2 shards, 1 thread   80 shards, 1 thread   2 shards, 2 threads   80 shards, 2 threads
    8        1.37 [1.35, 1.39]    1.31 [1.29, 1.32]     1.40 [1.39, 1.42]     1.32 [1.31, 1.36]
    32       1.76 [1.75, 1.77]    1.48 [1.46, 1.50]     0.46 [0.46, 0.47]     0.59 [0.58, 0.62]
    256      1.47 [1.46, 1.52]    1.51 [1.46, 1.55]     1.15 [1.15, 1.16]     1.14 [1.01, 1.36]

This module is slower only for 32 images and two threads, probably because the second thread must be woken. Before
Python 3.13, `np.memmap` also keeps one file descriptor open per shard; Linux often allows 1,024 per process.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize.data.shards import TAR_BLOCK, Geometry

_WORD = 8  # bytes
_MAP_FIXED = 0x10  # on Linux, macOS and the BSDs; Python has no constant for it


class Mapped:
    """Shards of one geometry, mapped into memory; a page is read from the disk when it is first accessed.

    Args:
        paths: paths of the tars.
        counts: number of images in each tar.
        geometry: geometry of their members.
    """

    def __init__(self, paths: Sequence[Path], counts: Sequence[int], geometry: Geometry):
        pages = [-(-geometry.shard_bytes(count) // mmap.PAGESIZE) for count in counts]
        starts = np.cumsum([0, *pages]) * mmap.PAGESIZE  # bytes; the last one is the end of the last tar
        self._bytes = _map_behind_each_other(paths, starts)
        in_tar = np.concatenate([np.arange(count) for count in counts]) * geometry.stride
        self._blocks = (np.repeat(starts[:-1], counts) + in_tar) // TAR_BLOCK  # (N,) int64: as Field.blocks

    def field(self, first_byte: int, width: int) -> Field:
        """The same `width` bytes of every member, starting at byte `first_byte` of the member."""
        starts = (len(self._bytes) - first_byte - width) // TAR_BLOCK + 1
        # torch copies element by element, which is faster with large elements
        word = _WORD if first_byte % _WORD == width % _WORD == 0 else 1
        source = self._bytes[first_byte:].view(torch.int64 if word == _WORD else torch.uint8)
        return Field(source.as_strided((starts, width // word), (TAR_BLOCK // word, 1)), self._blocks)


class Field(NamedTuple):
    """The same range of bytes of every member."""

    grid: Tensor  # (blocks, words): row i holds this range of a member that starts at block i
    blocks: np.ndarray  # (N,) int64: the block at which each member starts

    def gather(self, rows: np.ndarray, out: Tensor) -> None:
        """Copy the bytes of the members with the (B,) row numbers `rows` to `out`, (B, width) uint8."""
        torch.index_select(self.grid, 0, torch.from_numpy(self.blocks[rows]), out=out.view(self.grid.dtype))


def _map_behind_each_other(paths: Sequence[Path], starts: np.ndarray) -> Tensor:
    """Map each file at its offset in `starts`, whose last element is the end; returns a read-only (bytes,) uint8."""
    reserved = mmap.mmap(-1, int(starts[-1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
    array = np.frombuffer(reserved, dtype=np.uint8)
    for path, start, end in zip(paths, starts[:-1], starts[1:], strict=True):
        _map_at(array.ctypes.data + int(start), int(end - start), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns because it has no read-only tensors
        return torch.from_numpy(array)  # the tensor keeps the mapping alive; freeing it unmaps the files


def _map_at(address: int, length: int, path: Path) -> None:
    """Replace reserved pages by the pages of a file."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    with path.open("rb") as file:
        mapped_at = libc.mmap(address, length, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, file.fileno(), 0)
    if mapped_at != address:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())}: cannot be mapped into memory", str(path))
