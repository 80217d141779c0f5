"""Compare files with their SHA-256. A verified file is hashed again only if its stamp has changed.

A stamp is the length of a file, its inode number, and the times of the last change of its content and of its inode.
Verified files are remembered in the folder `.state/verified`, which holds one empty file for each. The name of the
empty file is the SHA-256 of the path, the stamp and the digest. Several processes may add files at the same time, and
the folder may be deleted at any time.

Every write to a file changes its stamp; a write through a shared mapping does this when it is synchronized. Bit rot
does not change the stamp. To check for bit rot, delete the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from colorize import runtime
from colorize.runtime import DataError

_THREADS = 4  # hashing releases the lock of the interpreter (GIL)
_SETTLED_S = 2.0  # seconds; a second change within this time may leave the times of the file unchanged


def check(paths: Sequence[Path], digests: Sequence[str], remedy: str) -> None:
    """Compare files with their SHA-256, because DVC does not detect a damaged shard before a model is trained on it.

    Args:
        paths: paths of the files, all in one folder.
        digests: one SHA-256 per file, in hex.
        remedy: what to do about a damaged file, for the error message.

    Raises:
        DataError: a file has another SHA-256.
    """
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        runtime.progress(f"verify {paths[0].parent}", len(paths), "files") as advance,
    ):
        for path, is_intact in zip(paths, pool.map(_is_intact, paths, digests), strict=True):
            if not is_intact:
                raise DataError(f"{path}: damaged: its SHA-256 differs from the one in the manifest; {remedy}")
            advance(1)


def _is_intact(path: Path, digest: str) -> bool:
    status = path.stat()  # read before hashing, so that a file that changes during hashing is not remembered
    marker = _marker(path, status, digest)
    if marker.exists():
        return True
    if runtime.sha256_of(path) != digest:
        return False
    if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_S:
        with contextlib.suppress(OSError):  # if the folder cannot be written, every run hashes the files
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
    return True


def _marker(path: Path, status: os.stat_result, digest: str) -> Path:
    stamp = (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    name = hashlib.sha256(f"{path.resolve()}\n{stamp}\n{digest}".encode()).hexdigest()
    return runtime.repo_root() / ".state" / "verified" / name
