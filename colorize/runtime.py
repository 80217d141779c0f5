"""Everything between the library and the machine: environment knobs, files, processes, progress, exit codes.

The only module that reads the environment. These knobs change how fast a result comes, and at most its last digits,
which is why they are not parameters:

    COLORIZE_RAW      folder of the raw archives               (default: data/raw of the main repository)
    COLORIZE_PROCS    worker processes for sharding            (default: the cores this process may use)
    COLORIZE_THREADS  threads of one training or evaluation    (default: torch's own choice)
    COLORIZE_DEVICE   cpu, cuda, cuda:1, ...                   (default: cuda where there is one)
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import inspect
import io
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import BinaryIO, TextIO


class UserError(ValueError):
    """Something the user can mend; shown as one line, never as a traceback."""

    exit_code = 1


class ParameterError(UserError):
    """A parameter or source file is wrong."""

    exit_code = 2


class DataError(UserError):
    """Data are missing, damaged or do not fit."""

    exit_code = 3


# --- environment -----------------------------------------------------------------------------------------------------


def repo_root() -> Path:
    """The main repository: DVC_ROOT also inside `dvc exp run --temp` and `--queue`, which work in a copy."""
    return Path(os.environ.get("DVC_ROOT") or ".")


def raw_dir() -> Path:
    """Folder of the raw archives."""
    return repo_root() / (os.environ.get("COLORIZE_RAW") or Path("data", "raw"))


def _positive_int(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or int(text) == 0:
        raise ParameterError(f"{name}={text}: expected a whole number of at least 1")
    return int(text)


def processes() -> int:
    """Number of worker processes."""
    return _positive_int("COLORIZE_PROCS", len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count())


def set_up_torch(device: str | None = None) -> str:
    """Apply COLORIZE_THREADS and find the device: the given one, COLORIZE_DEVICE, or the best there is."""
    import torch

    if os.environ.get("COLORIZE_THREADS"):
        torch.set_num_threads(_positive_int("COLORIZE_THREADS", 1))
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # without it CUDA's matrix products may vary from run to run
    name = device or os.environ.get("COLORIZE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).splitlines()[0]
        raise ParameterError(f"the device {name} cannot be used here ({first_line}); try COLORIZE_DEVICE=cpu") from None
    return name


# --- files -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[BinaryIO]:
    """Binary file that appears under `path` whole or not at all, and is on the disk when it does."""
    path = Path(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _explain_write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _explain_write_error(path: Path, error: OSError) -> Exception:
    """What a user can mend becomes one line; anything else stays what it is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free
        return DataError(f"disk full writing {path}: {free:,} bytes are free; make room and run again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return DataError(f"{path}: cannot be written ({error.strerror}); check the folder's permissions")
    return error


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


def write_array(path: Path | str, array) -> None:
    """Write one numpy array as .npy atomically."""
    import numpy as np

    with atomic_write(path) as file:
        np.save(file, array, allow_pickle=False)


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's content, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stage_code_hash(stage: str, dvc_file: Path | str = "dvc.yaml") -> str:
    """SHA-256 over the source files among a stage's `deps`: which code made a result, without a commit or a clock."""
    import yaml

    definition = yaml.safe_load(Path(dvc_file).read_text())["stages"][stage]
    deps = definition.get("do", definition)["deps"]
    digest = hashlib.sha256()
    for dep in sorted(dep for dep in deps if dep.startswith(("colorize/", "stages/"))):
        path = Path(dep)
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(f"{file.as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


# --- processes and progress ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def executor(workers: int) -> Iterator[Executor]:
    """Pool of worker processes; pending work is dropped when the block is left by an error."""
    pool = ProcessPoolExecutor(workers)
    try:
        yield pool
    except BrokenProcessPool:
        raise DataError("a worker was killed (probably memory): lower COLORIZE_PROCS") from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def progress(description: str, total: int, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Show how far a long piece of work is: a bar on a terminal, else a line every ten seconds."""
    if sys.stderr.isatty():
        with _progress_bar(description, total, unit) as advance:
            yield advance
    else:
        yield _progress_lines(description, total, unit)


@contextlib.contextmanager
def _progress_bar(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    text = TextColumn("{task.description}")
    columns = (
        text,
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)
        yield lambda n=1: bar.advance(task, n)


def _progress_lines(description: str, total: int, unit: str) -> Callable[[int], None]:
    started = shown = time.monotonic()
    done = 0

    def advance(n: int = 1) -> None:
        nonlocal done, shown
        done += n
        now = time.monotonic()
        if now - shown >= 10:
            shown = now
            print(
                f"{description}: {done:,} of {total:,} {unit} after {now - started:.0f} s", file=sys.stderr, flush=True
            )

    return advance


# --- a stage as a program --------------------------------------------------------------------------------------------


def run(main: Callable[..., None], arguments: list[str]) -> None:
    """Call `main(*arguments)` and end the process: 0 complete, 2 parameters, 3 data, 130 / 143 interrupted.

    Errors meant for the user become one line on stderr. SIGTERM unwinds like an exception, so that temporary files go;
    its exit code must not be 0, or DVC would record half-written outputs as done.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _check_arguments(main, arguments)
        main(*arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError as error:
        print(f"error: out of memory ({error}); lower train.batch_size, or free some", file=sys.stderr)
        sys.exit(DataError.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _check_arguments(main: Callable[..., None], arguments: list[str]) -> None:
    signature = inspect.signature(main)
    try:
        signature.bind(*arguments)
    except TypeError as error:
        names = " ".join(signature.parameters)
        raise ParameterError(f"{error}; expected: {names}") from None
