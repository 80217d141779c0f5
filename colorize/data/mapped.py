"""Shards in the address space, one behind the other: their images are rows of one strided tensor.

Every member of a shard starts at a multiple of 512 bytes, and a tar is mapped at the start of a page, so that all
members of all tars lie on one grid of 512 bytes. A batch is then a single gather, which torch spreads over its threads.
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
_MAP_FIXED = 0x10  # on Linux, macOS and the BSDs; Python does not name it


class Mapped:
    """Shards of one geometry, mapped; nothing is read before it is asked for.

    Args:
        paths: of the tars.
        counts: images of each.
        geometry: of their members.
    """

    def __init__(self, paths: Sequence[Path], counts: Sequence[int], geometry: Geometry):
        pages = [-(-geometry.shard_bytes(count) // mmap.PAGESIZE) for count in counts]
        starts = np.cumsum([0, *pages]) * mmap.PAGESIZE  # bytes, the last one behind the last tar
        self._bytes = _map_behind_each_other(paths, starts)
        in_tar = np.concatenate([np.arange(count) for count in counts]) * geometry.stride
        self._blocks = (np.repeat(starts[:-1], counts) + in_tar) // TAR_BLOCK  # (N,) int64: where the members start

    def field(self, first_byte: int, width: int) -> Field:
        """The `width` bytes from `first_byte` on of every member."""
        starts = (len(self._bytes) - first_byte - width) // TAR_BLOCK + 1
        # torch copies element by element, so let it be large ones
        word = _WORD if first_byte % _WORD == width % _WORD == 0 else 1
        source = self._bytes[first_byte:].view(torch.int64 if word == _WORD else torch.uint8)
        return Field(source.as_strided((starts, width // word), (TAR_BLOCK // word, 1)), self._blocks)


class Field(NamedTuple):
    """The same bytes of every member."""

    grid: Tensor  # (blocks, words): those of a member that would start at each block
    blocks: np.ndarray  # (N,) int64: where the members start

    def gather(self, rows: np.ndarray, out: Tensor) -> None:
        """Copy those of the members `rows`, (B,), to the rows of `out`, (B, width) uint8."""
        torch.index_select(self.grid, 0, torch.from_numpy(self.blocks[rows]), out=out.view(self.grid.dtype))


def _map_behind_each_other(paths: Sequence[Path], starts: np.ndarray) -> Tensor:
    """(bytes,) uint8 tensor with a file at each of `starts`; never to be written to."""
    reserved = mmap.mmap(-1, int(starts[-1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
    array = np.frombuffer(reserved, dtype=np.uint8)
    for path, start, end in zip(paths, starts[:-1], starts[1:], strict=True):
        _map_at(array.ctypes.data + int(start), int(end - start), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch knows no tensor that is only to be read
        return torch.from_numpy(array)  # keeps the reservation, with which the files are unmapped


def _map_at(address: int, length: int, path: Path) -> None:
    """Put a file in the place of reserved pages."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    with path.open("rb") as file:
        found = libc.mmap(address, length, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, file.fileno(), 0)
    if found != address:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())}: cannot be mapped into memory", str(path))
