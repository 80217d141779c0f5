"""The shard format: plain ustar tars of small PPM images that are strided arrays at the same time.

Every member is as long as every other: a 512-byte tar header, a PPM header padded by a comment to 64 bytes, the
pixels, and zeros up to the next 512 bytes (13,312 bytes in all at 64x64). Stock `webdataset`, tar and any image viewer
read it; `loader.py` maps it and gathers rows. Lossless on purpose: JPEG moves a fifth of the pixels to other ab bins.

    <dataset>/manifest.json       written last: geometry, counts, rejections, sha256 of every shard
    <dataset>/<split>.csv         per image: key, class, source, sha1 (of the pixels), colorfulness, is_gray
    <dataset>/<split>/000000.tar  members 00000000.ppm ...; the key is the index in the sorted listing of the split,
                                  so that a rejected image leaves a gap and moves no other
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from colorize.runtime import DataError, atomic_write

SPLITS = ("train", "val", "test")
FORMAT = "strided-ppm-1"
TAR_BLOCK = 512
PPM_HEADER = 64
END_OF_TAR = bytes(2 * TAR_BLOCK)


class Geometry(NamedTuple):
    """Where the pixels lie in a shard of square RGB images."""

    size: int  # side, pixels

    @property
    def pixel_offset(self) -> int:
        """Bytes from the start of a member to its pixels."""
        return TAR_BLOCK + PPM_HEADER

    @property
    def content(self) -> int:
        """Bytes of a member's PPM file."""
        return PPM_HEADER + 3 * self.size**2

    @property
    def stride(self) -> int:
        """Bytes from one member to the next."""
        return TAR_BLOCK + -(-self.content // TAR_BLOCK) * TAR_BLOCK

    def shard_bytes(self, images: int) -> int:
        """Length of a whole shard."""
        return images * self.stride + len(END_OF_TAR)

    def ppm_header(self) -> bytes:
        """64 bytes: magic number, a comment as padding, size, range."""
        tail = f"\n{self.size} {self.size}\n255\n".encode()
        head = b"P6\n# "
        return head + b"-" * (PPM_HEADER - len(head) - len(tail)) + tail

    def tar_header(self, key: int) -> bytes:
        """512 bytes of ustar, without anything that varies from run to run."""
        info = tarfile.TarInfo(f"{key:08d}.ppm")
        info.size = self.content
        return info.tobuf(tarfile.USTAR_FORMAT)


def write_shard(path: Path, size: int, keys: Sequence[int], images: Sequence[np.ndarray]) -> str:
    """Write one shard atomically.

    Args:
        path: of the tar.
        size: side of the images, pixels.
        keys: one an image.
        images: (size, size, 3) uint8 each.

    Returns:
        SHA-256 of the file, in hex.
    """
    geometry = Geometry(size)
    ppm_header, padding = geometry.ppm_header(), bytes(geometry.stride - TAR_BLOCK - geometry.content)
    digest = hashlib.sha256()
    with atomic_write(path) as file:
        for key, image in zip(keys, images, strict=True):
            member = b"".join((geometry.tar_header(key), ppm_header, image.tobytes(), padding))
            digest.update(member)
            file.write(member)
        digest.update(END_OF_TAR)
        file.write(END_OF_TAR)
    return digest.hexdigest()


def read_manifest(folder: Path) -> dict:
    """The manifest of a sharded data set.

    Raises:
        DataError: there is none, it is damaged, or it is of another format.
    """
    path = Path(folder) / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; make it with `dvc repro shard@{Path(folder).name}`") from None
    except ValueError as error:
        name = Path(folder).name
        raise DataError(f"{path}: damaged ({error}); run `rm -r {folder} && dvc repro -f shard@{name}`") from None
    if manifest.get("format") != FORMAT:
        raise DataError(f"{path}: format {manifest.get('format')!r}, expected {FORMAT!r}; shard the data set again")
    return manifest
