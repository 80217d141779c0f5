"""Files are hashed once: a verified one is remembered by its stamp, and hashed again when that has changed.

The memory is a folder of empty files in `.state/verified`, each named by the SHA-256 of a path, its stamp (length,
inode, times of change of content and inode) and the digest. Any number of processes may add to it, and it may be
deleted at any time.

Every write changes the stamp, one through a shared mapping too, as soon as it is synchronised. Bits that turn on the
disk itself do not: to look for those, delete the folder.
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

_THREADS = 4  # hashing releases the interpreter's lock
_SETTLED_S = 2.0  # a file changed later than so long ago may change again without a change of its times


def check(paths: Sequence[Path], digests: Sequence[str], remedy: str) -> None:
    """Compare files with their SHA-256: a damaged shard would train in silence, and DVC does not look.

    Args:
        paths: of the files, all in one folder.
        digests: one a file, in hex.
        remedy: what to do about a damaged file, for the error.

    Raises:
        DataError: a file has another digest.
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
    status = path.stat()  # before hashing: a change during it must not be remembered as verified
    marker = _marker(path, status, digest)
    if marker.exists():
        return True
    if runtime.sha256_of(path) != digest:
        return False
    if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_S:
        with contextlib.suppress(OSError):  # where nothing can be written, every run hashes
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
    return True


def _marker(path: Path, status: os.stat_result, digest: str) -> Path:
    stamp = (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    name = hashlib.sha256(f"{path.resolve()}\n{stamp}\n{digest}".encode()).hexdigest()
    return runtime.repo_root() / ".state" / "verified" / name
