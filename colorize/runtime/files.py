"""Atomic writing of files, and removal of the temporary files of killed processes."""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import hashlib
import io
import json
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from colorize.runtime import signals
from colorize.runtime.errors import DataError
from colorize.runtime.faults import fault_point

if TYPE_CHECKING:
    import numpy as np
    from _typeshed import ReadableBuffer

_STRAY = re.compile(r"\..+\.([0-9a-f]{8})\.(\d+)\.tmp")  # machine and PID of the process that wrote it
_FOREIGN_S = 86_400  # a file of another machine to which nobody has written for so long is removed
_written: dict[Path, int] = {}  # files written by this process and its workers -> bytes


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[BinaryIO]:
    """Write a binary file atomically: `path` appears only when the complete file is on the disk.

    Yields:
        the open file.

    Raises:
        DataError: the file cannot be written: disk full, or no permission. Other errors of the block are not changed.
    """
    path = Path(path)
    temporary = _temporary(path)
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


def _temporary(path: Path) -> Path:
    """The path of the unfinished file, which no other process uses, even on another machine that shares the disk.

    A long name is replaced, because a name has at most 255 bytes.
    """
    name = path.name if len(os.fsencode(path.name)) < 200 else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    return path.parent / f".{name}.{_machine()}.{os.getpid()}.tmp"


@functools.cache
def _machine() -> str:
    """Eight hexadecimal digits that differ between machines, and between containers: both can have equal PIDs."""
    namespace = Path("/proc/self/ns/pid")  # Linux only
    identity = f"{platform.node()} {namespace.readlink() if namespace.is_symlink() else ''}"
    return hashlib.sha256(identity.encode()).hexdigest()[:8]


class _Output(io.BufferedIOBase):
    """A file that raises its own errors as DataError, without changing other errors of the block.

    It has no `fileno` on purpose: numpy and Pillow would write to the descriptor directly, and a full disk would appear
    as another error.
    """

    def __init__(self, path: Path, temporary: Path):
        self._path, self._file = path, temporary.open("wb")
        self._needed = 0  # bytes that the file needs so far
        self.size = 0  # bytes, set by `synchronize`

    def write(self, data: ReadableBuffer) -> int:
        self._needed = max(self._needed, self._file.tell() + memoryview(data).nbytes)
        with _explained(self._path, self._needed, self._file):
            return self._file.write(data)

    def flush(self) -> None:
        if not self.closed:
            with _explained(self._path, self._needed, self._file):
                self._file.flush()

    def synchronize(self) -> None:
        """Flush the file to the disk and set `size`."""
        with _explained(self._path, self._needed, self._file):
            self._file.flush()
            os.fsync(self._file.fileno())
            self.size = os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Close the file. An error is ignored, because `synchronize` has already reported all errors that matter."""
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
    """Raise errors of a file as DataError, except if its name is too long: then only this file is affected."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(_existing(path.parent)).free
            free += os.fstat(file.fileno()).st_size if file else 0  # the temporary file will be removed
            raise DataError(
                f"disk full: {path} needs {needed:,} bytes, {free:,} are free; free some space and run again"
            ) from error
        if error.errno == errno.EFBIG:
            raise DataError(
                f"{path}: needs {needed:,} bytes, more than the limit for file sizes; see `ulimit -f`"
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); check the folder and its permissions"
        ) from error


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
    """Write a UTF-8 text file as `atomic_write` does; line endings are not converted."""
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


def comma_separated(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The text of a CSV file: one line with the names of the columns, and one line per row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def link(source: Path, path: Path) -> None:
    """Give a file a second name, atomically. If the file system allows no hard link, copy the file.

    Raises:
        DataError: the file cannot be written.
    """
    temporary = _temporary(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), temporary)  # of a symbolic link, the file that it leads to
        temporary.replace(path)
    except OSError:  # another disk, or one without hard links
        with source.open("rb") as file, atomic_write(path) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
    finally:
        temporary.unlink(missing_ok=True)  # `replace` leaves it if both names already belong to the same file
    note_written(path, path.stat().st_size)


def write_json(path: Path | str, value: object) -> None:
    """Write JSON with sorted keys atomically; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_array(path: Path | str, array: np.ndarray) -> None:
    """Write one numpy array as .npy atomically."""
    import numpy as np

    with atomic_write(path) as file:
        np.save(file, array, allow_pickle=False)


def note_written(path: Path, size: int) -> None:
    """Remember a file that this process or one of its workers has written, with its size in bytes."""
    _written[path] = size


def check_written(folders: Iterable[Path]) -> None:
    """Check that the files that this process and its workers wrote to these folders are still complete.

    Raises:
        DataError: a file is missing, or has another size.
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
    """Create a folder, check that it is writable, and remove leftover temporary files.

    Raises:
        DataError: the folder is not writable.
    """
    make_folder(folder)
    sweep(folder)


def make_folder(folder: Path) -> None:
    """Create a folder, and check that it is writable.

    Raises:
        DataError: the folder is not writable.
    """
    probe = _temporary(folder / "probe")
    with _explained(folder), signals.finish_step():  # a signal must not leave the probe behind
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.touch()
        finally:
            probe.unlink(missing_ok=True)


def sweep(folder: Path, is_recursive: bool = True) -> None:
    """Remove the temporary files of processes that have ended, in a folder and, if wanted, its subfolders.

    Other machines may write to the same disk. It is unknown here whether their processes run, so their files are
    removed only if nobody has written to them for a day.
    """
    for path in sorted(folder.glob("**/.*.tmp" if is_recursive else ".*.tmp")):
        name = _STRAY.fullmatch(path.name)
        if name and path.is_file() and _is_abandoned(path, name[1], int(name[2])):
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path, machine: str, pid: int) -> bool:
    if machine == _machine():
        return not is_running(pid)
    try:
        return time.time() - path.stat().st_mtime > _FOREIGN_S
    except FileNotFoundError:  # its process has just finished it
        return False


def is_running(pid: int) -> bool:
    """Whether a process with this PID runs on this machine; a zombie does not count."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # the process belongs to another user
        return True
    try:
        state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # the process has just ended, or this is not Linux
        return not Path("/proc/self/stat").exists()
    return state != "Z"  # in a container whose first process does not reap orphans, they remain zombies


def open_regular(path: Path | str) -> io.BufferedReader:
    """Open a file for reading. Named pipes and devices are refused, because reading them may never end.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
    """
    path = Path(path)
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 (closed by the caller)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file, but a named pipe or a device", str(path))
    return file


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # otherwise a named pipe would wait for its other end


def check_size(path: Path | str, limit: int) -> None:
    """Check that a file has at most `limit` bytes.

    Raises:
        OSError: the file does not exist, or it is too large.
    """
    size = Path(path).stat().st_size
    if size > limit:
        raise OSError(errno.EINVAL, f"too large: {size:,} bytes, the limit is {limit:,}", str(path))


def read_bytes(path: Path | str, limit: int) -> bytes:
    """Read a file of at most `limit` bytes; its length is checked before it is read.

    Raises:
        OSError: the file cannot be read, is not a regular file, or is too large.
    """
    with open_regular(path) as file:
        check_size(path, limit)
        # not `limit` bytes: so much memory would be allocated, and be refused where memory is limited
        return file.read(os.fstat(file.fileno()).st_size)


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a regular file's content, in hex; errors are those of `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
