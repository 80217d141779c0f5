"""The images of one split of a data set as rows of one array, mapped into memory."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colorize.data import shards, verified
from colorize.data.mapped import Mapped
from colorize.layout import stage_name
from colorize.runtime import DataError, repair_command


class Split:
    """One split of a sharded data set, mapped into memory.

    Args:
        folder: folder of the split, such as `data/shards/train/objects`.

    Raises:
        DataError: the manifest or a shard is missing, or a shard does not match its SHA-256 in the manifest.
    """

    def __init__(self, folder: Path | str):
        self.folder = folder = Path(folder)
        manifest = shards.read_manifest(folder)
        entries = manifest["shards"]
        self.geometry = shards.Geometry(manifest["size"])
        self.paths = [folder / entry["name"] for entry in entries]
        self.counts = [entry["images"] for entry in entries]  # images of each shard
        self.parts = shards.parts_of(manifest)
        remedy = f"run `{repair_command(folder, stage_name('shard', folder.name))}`"
        for path, count in zip(self.paths, self.counts, strict=True):
            _check_geometry(path, self.geometry, count, remedy)
        verified.check(self.paths, [entry["sha256"] for entry in entries], remedy)
        mapped = Mapped(self.paths, self.counts, self.geometry)
        self._keys, self._pixels = mapped.field(0, 8), mapped.field(self.geometry.pixel_offset, 3 * self.size**2)

    def __len__(self) -> int:
        return sum(self.counts)

    @property
    def size(self) -> int:
        """Side of the images, pixels."""
        return self.geometry.size

    @property
    def rows_of_parts(self) -> list[range]:
        """The row numbers of the images of each part."""
        ends = itertools.accumulate(part.images for part in self.parts)
        return [range(end - part.images, end) for part, end in zip(self.parts, ends, strict=True)]

    def keys(self, rows: np.ndarray) -> np.ndarray:
        """The keys of some images: (B,) row numbers -> (B,) int64."""
        digits = torch.empty((len(rows), 8), dtype=torch.uint8)
        self._keys.gather(rows, digits)
        part = np.searchsorted([of_part.stop for of_part in self.rows_of_parts], rows, side="right")
        return digits.numpy().view("S8").ravel().astype(np.int64) + np.array([p.first_key for p in self.parts])[part]

    def images(self, rows: np.ndarray) -> np.ndarray:
        """The pixels of some images: (B,) row numbers -> (B, S, S, 3) uint8 sRGB."""
        out = torch.empty((len(rows), self.size, self.size, 3), dtype=torch.uint8)
        self.read(rows, out)
        return out.numpy()

    def read(self, rows: np.ndarray, out: Tensor) -> None:
        """Copy the images with the (B,) row numbers `rows` to `out`, (B, S, S, 3) uint8 on the host."""
        self._pixels.gather(rows, out.view(len(rows), -1))


def _check_geometry(path: Path, geometry: shards.Geometry, count: int, remedy: str) -> None:
    """Raise DataError if the length or the first PPM header of a shard is wrong; gathering relies on both."""
    expected = geometry.shard_bytes(count)
    found = path.stat().st_size if path.exists() else 0
    if found != expected:
        raise DataError(f"{path}: the file has {found:,} bytes, the manifest says {expected:,}; {remedy}")
    with path.open("rb") as file:
        header = file.read(geometry.pixel_offset)[shards.TAR_BLOCK :]
    if header != geometry.ppm_header():
        raise DataError(f"{path}: not a shard of {geometry.size}x{geometry.size} images; {remedy}")


def spread(length: int, count: int) -> np.ndarray:
    """At most `count` row numbers, evenly spaced over `length` rows."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64))
