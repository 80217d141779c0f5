"""Inputs that are cut from the photographs in scikit-image.

The GPU benchmarks run on machines with little more than torch, so other packages are imported only where needed.
"""

from __future__ import annotations

import functools
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from skimage import data as skimage_data

from colorize import runtime
from colorize.data import shards
from colorize.data.split import Split

_DISTINCT = 500  # distinct images; reading more distinct images would not be slower
JPEG_QUALITY = 85  # with halved chroma: 13 kB per image of 256 pixels; an image of Places365 has 14 kB


@functools.cache
def crops(size: int, count: int = _DISTINCT + 2) -> np.ndarray:
    """Cut random squares from the photographs: (count, size, size, 3) uint8."""
    photos = [getattr(skimage_data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    rng = np.random.default_rng(0)
    found = np.empty((count, size, size, 3), dtype=np.uint8)
    for number, out in enumerate(found):
        photo = Pillow.fromarray(photos[number % len(photos)])
        side = int(rng.integers(min(photo.size) // 3, min(photo.size) + 1))
        left, top = (int(rng.integers(length - side + 1)) for length in photo.size)
        box = (left, top, left + side, top + side)
        out[:] = photo.resize((size, size), Pillow.Resampling.BICUBIC, box)
    return found


@functools.cache
def jpegs(size: int) -> list[bytes]:
    """Encode the crops as JPEG files."""
    import simplejpeg

    return [simplejpeg.encode_jpeg(image, JPEG_QUALITY, colorsubsampling="420") for image in crops(size)]


def write_archive(path: Path, count: int, size: int = 256) -> Path:
    """Write a tar of `count` JPEGs: all for training, but one for val and one for test, which differ from the rest."""
    names = [f"train/{number:08d}.jpg" for number in range(count - 2)]
    files = [jpegs(size)[number % _DISTINCT] for number in range(count - 2)] + jpegs(size)[_DISTINCT:]
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in zip([*names, "val/0.jpg", "test/0.jpg"], files, strict=True):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_shards(folder: Path, count: int, size: int = 64, per_shard: int = 5000) -> Split:
    """Write a split of `count` images as shards, and open it."""
    entries = []
    for start in range(0, count, per_shard):
        keys = range(start, min(start + per_shard, count))
        path = folder / f"{start // per_shard:06d}.tar"
        sha256 = shards.write_shard(path, size, keys, [crops(size)[key % _DISTINCT] for key in keys])
        entries.append({"name": path.name, "images": len(keys), "sha256": sha256})
    manifest = {"format": shards.FORMAT, "dataset": folder.name, "split": folder.parent.name, "size": size}
    manifest |= {"images": count, "shards": entries}
    runtime.write_json(folder / "manifest.json", manifest)
    return Split(folder)
