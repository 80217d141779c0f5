"""Files that appear whole or not at all, and what killed processes left of others."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from colorize.runtime import signals
from colorize.runtime.errors import DataError
from colorize.runtime.faults import fault_point

if TYPE_CHECKING:
    import numpy as np
    from _typeshed import ReadableBuffer

_STRAY = re.compile(r"\..+\.(\d+)\.tmp")  # names the process that wrote it
_written: dict[Path, int] = {}  # by this process and its workers, with the size in bytes: `check_written`


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[BinaryIO]:
    """Binary file that appears under `path` whole or not at all, and is on the disk when it does.

    Raises:
        DataError: the file cannot be written: disk full, or no permission. Other errors of the block pass as they are.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = _Output(path, temporary)
        with file:
            yield file  # type: ignore[misc]  # the classes of io are no subclasses of BinaryIO
            file.synchronize()
        fault_point("write-rename")
        with _explained(path):
            temporary.replace(path)
        note_written(path, file.size)
        fault_point("write-sync")
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


class _Output(io.BufferedIOBase):
    """A file that explains its own errors, so that those of whatever else the block does are not taken for them.

    It has no `fileno` on purpose: numpy and Pillow would write past it, and report a full disk as something else.
    """

    def __init__(self, path: Path, temporary: Path):
        self._path, self._file = path, temporary.open("wb")
        self._needed = 0  # bytes
        self.size = 0  # bytes, once it is on the disk

    def write(self, data: ReadableBuffer) -> int:
        self._needed = max(self._needed, self._file.tell() + memoryview(data).nbytes)
        with _explained(self._path, self._needed, self._file):
            return self._file.write(data)

    def flush(self) -> None:
        if not self.closed:
            with _explained(self._path, self._needed, self._file):
                self._file.flush()

    def synchronize(self) -> None:
        """Put everything on the disk."""
        with _explained(self._path, self._needed, self._file):
            self._file.flush()
            os.fsync(self._file.fileno())
            self.size = os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Nothing is lost with an error in here: a file that counts was synchronised before."""
        with contextlib.suppress(OSError):
            self._file.close()

    @property
    def closed(self) -> bool:
        return self._file.closed

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _explained(self._path, self._needed, self._file):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True


@contextlib.contextmanager
def _explained(path: Path, needed: int = 0, file: BinaryIO | None = None) -> Iterator[None]:
    """What a user can mend becomes one line; anything else stays what it is."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(_existing(path.parent)).free
            free += os.fstat(file.fileno()).st_size if file else 0  # it goes, so this counts as free
            raise DataError(
                f"disk full: {path} needs {needed:,} bytes, {free:,} are free; free some space and run again"
            ) from error
        if error.errno == errno.EFBIG:
            raise DataError(
                f"{path}: needs {needed:,} bytes, more than the limit for file sizes; see `ulimit -f`"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise DataError(
                f"{path}: cannot be written ({error.strerror}); check the folder and its permissions"
            ) from error
        raise


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_text(path: Path | str) -> Iterator[TextIO]:
    """The same for UTF-8 text; line ends are written as they come."""
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield text
            text.flush()
        finally:
            text.detach()


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_text(path) as file:
        file.write(text)


def write_json(path: Path | str, value: object) -> None:
    """Write JSON with sorted keys atomically; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_array(path: Path | str, array: np.ndarray) -> None:
    """Write one numpy array as .npy atomically."""
    import numpy as np

    with atomic_write(path) as file:
        np.save(file, array, allow_pickle=False)


def note_written(path: Path, size: int) -> None:
    """Remember a file of this many bytes that this process, or a worker of it, has written."""
    _written[path] = size


def check_written(folders: Iterable[Path]) -> None:
    """Know that what was written to these folders is still there.

    Raises:
        DataError: a file is gone, or has another size.
    """
    for path, size in _written.items():
        if any(path.is_relative_to(folder) for folder in folders) and not _has_size(path, size):
            raise DataError(f"{path}: removed or changed by another program during the run; run again")


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def prepare_folder(folder: Path) -> None:
    """Make a folder ready to be written to, before any work: there, writable, without strays.

    Raises:
        DataError: nothing can be written there.
    """
    probe = folder / f".probe.{os.getpid()}.tmp"
    with _explained(folder), signals.finish_step():  # which leaves no probe behind
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.touch()
        finally:
            probe.unlink(missing_ok=True)
    sweep(folder)


def sweep(folder: Path) -> None:
    """Remove the temporary files of processes that are no more, in a folder and below it."""
    for path in sorted(folder.rglob(".*.tmp")):
        name = _STRAY.fullmatch(path.name)
        if name and path.is_file() and not is_running(int(name[1])):
            path.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Whether there is such a process on this machine; one that has ended and is not yet waited for is none."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    try:
        state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # it has gone meanwhile, or this is no Linux
        return not Path("/proc/self/stat").exists()
    return state != "Z"  # in a container whose first process waits for none, orphans stay so for good


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's content, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
