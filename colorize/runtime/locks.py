"""Locks between processes. A lock is a file held with `flock`, so the system releases it when its holder ends."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from colorize.runtime import environment, terminal
from colorize.runtime.errors import DataError
from colorize.runtime.files import make_folder

_held: set[int] = set()  # file descriptors of the locks that this process holds


class Lock:
    """A lock that is held."""

    def __init__(self, path: Path):
        self._path = path

    def is_awaited(self) -> bool:
        """Whether another process waits for this lock."""
        with _waiting_file(self._path).open("ab") as file:
            return not _try(file.fileno(), fcntl.LOCK_EX)


@contextlib.contextmanager
def lock(path: Path, what: str, wait: bool | None = None) -> Iterator[Lock]:
    """Hold a lock during the block. If another process holds it, name this process on stderr and wait.

    Args:
        path: the lock file, which is removed when the lock is released.
        what: name of the work for messages, such as "train objects-unet-0".
        wait: whether to wait for the holder, rather than fail; None: wait unless COLORIZE_NO_WAIT is 1.

    Yields:
        the lock.

    Raises:
        DataError: another process holds the lock and `wait` is false, or the lock file cannot be written.
    """
    make_folder(path.parent)  # without a sweep: processes of other machines may write there
    _release_in_children()
    descriptor = _open_and_lock(path, what, environment.may_wait() if wait is None else wait)
    _held.add(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        holder = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.write(descriptor, json.dumps(holder).encode())
        yield Lock(path)
    finally:
        with contextlib.suppress(OSError):  # removed while the lock is held, so no other process holds it
            if not Lock(path).is_awaited():
                _waiting_file(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        _held.discard(descriptor)
        os.close(descriptor)


def holder_of(path: Path) -> str | None:
    """The process that holds a lock, such as "PID 12 on host since ..."; None if the lock is free."""
    try:
        with path.open("r+b") as file:
            return None if _try(file.fileno(), fcntl.LOCK_SH) else _describe(path)
    except OSError:  # the file does not exist or cannot be opened
        return None


@functools.cache
def _release_in_children() -> None:
    """Make forked workers close the lock files, so that a worker that outlives its parent does not hold the locks.

    The hook is registered with the first lock, so that importing the library does not change the process.
    """
    os.register_at_fork(after_in_child=_release_all)


def _release_all() -> None:
    while _held:
        os.close(_held.pop())


def _open_and_lock(path: Path, what: str, wait: bool) -> int:
    """Open and lock the file; return its descriptor.

    A holder removes its file at the end. After a wait, the locked file may therefore no longer be the one at `path`;
    then a new file is opened.
    """
    with contextlib.ExitStack() as waiting:
        is_first = True
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if not _try(descriptor, fcntl.LOCK_EX):
                    if is_first:
                        _announce(path, what, wait)
                        waiting.enter_context(_counted_as_waiting(path))
                        is_first = False
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                if _has_name(descriptor, path):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_name(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _announce(path: Path, what: str, wait: bool) -> None:
    who = _describe(path)
    if not wait:
        raise DataError(f"{what} is already running ({who}); wait until it ends, or stop it")
    terminal.note(f"waiting for {what}, which is already running ({who})")


def _describe(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"PID {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, LookupError, TypeError):  # the holder has not yet written its data
        return "another process"


@contextlib.contextmanager
def _counted_as_waiting(path: Path) -> Iterator[None]:
    with _waiting_file(path).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _waiting_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.waiting")
