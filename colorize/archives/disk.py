"""The local side of downloads: locks, free space, and errors of the disk."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from colorize.runtime import DataError, note


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a raw archive during the block; wait while another process holds it."""
    with path.with_name(f".{path.name}.lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"waiting for another process that provides {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_space(path: Path, needed: int) -> None:
    """Check that a file fits on its disk.

    Args:
        path: path of the file; its folder exists.
        needed: bytes that are still to be written.

    Raises:
        DataError: fewer bytes are free.
    """
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DataError(f"disk full: {path} needs {needed:,} bytes, {free:,} are free; free some space and run again")


def explained(path: Path, error: OSError) -> DataError:
    """The error for the user when the download of a file fails because of its disk."""
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
    return DataError(
        f"{path}: {error.strerror or error} ({free:,} bytes free); solve this problem and run again to resume"
    )
