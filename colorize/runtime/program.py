"""A stage as a program: its workers, its outputs, its exit code."""

from __future__ import annotations

import contextlib
import inspect
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path

from colorize.runtime import environment, signals, terminal
from colorize.runtime.errors import DataError, ParameterError, UserError, first_line
from colorize.runtime.files import prepare_folder, sweep
from colorize.runtime.locks import lock


@contextlib.contextmanager
def executor(workers: int) -> Iterator[Executor]:
    """Pool of worker processes; pending work is dropped when the block is left by an error."""
    last_words, to_parent = multiprocessing.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, initializer=_begin_worker, initargs=(to_parent,))
    try:
        with _ctrl_c_blocked():
            pool.submit(int)  # the first task starts all workers, which inherit the block
        yield pool
    except (BrokenProcessPool, MemoryError):
        if last_words.poll():  # sent before that worker ended
            raise DataError(last_words.recv()) from None
        raise DataError("a worker was killed, probably because memory ran out; lower COLORIZE_PROCS") from None
    finally:
        pool.shutdown(cancel_futures=True)
        last_words.close()
        to_parent.close()


@contextlib.contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Have a Ctrl-C wait until the block ends: in a worker that has only begun, it would be a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(to_parent: Connection) -> None:
    """Leave Ctrl-C, which a terminal sends to all, to the parent; and end with it, for it may be killed.

    Args:
        to_parent: gets the reason if the worker ends by itself; the parent prints the first one of all workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signals.handle_bus_errors(to_parent.send)
    signals.die_with_parent(signal.SIGKILL)


@contextlib.contextmanager
def outputs(what: str, *folders: Path) -> Iterator[None]:
    """The folders that a stage is about to fill: writable, without strays, and nobody else's meanwhile.

    Of the processes that `torchrun` starts, the first sees to that for all.

    Args:
        what: stage and cell, such as "shard objects".
        folders: to fill.

    Raises:
        DataError: one of them cannot be written to, or another process fills them and COLORIZE_NO_WAIT is set.
    """
    if environment.torchrun_ranks()[0]:
        yield
        return
    with lock(Path(".state", "locks", what.replace(" ", "-")), what):
        for folder in folders:
            prepare_folder(folder)
        yield
        for folder in folders:
            sweep(folder)  # what workers left that were still about to die when this run of a killed stage began


def run(main: Callable[..., None], arguments: list[str]) -> None:
    """Call `main(*arguments)` and end the process: 0 complete, 2 parameters, 3 data, 130 / 143 interrupted.

    Errors meant for the user become one line on stderr. An interrupted stage must not end with 0, or DVC would record
    half-written outputs as done.
    """
    signals.install_handlers()
    terminal.begin_records()
    try:
        _check_arguments(main, arguments)
        main(*arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        print(f"error: out of memory ({first_line(error)}); lower train.batch_size, or free memory", file=sys.stderr)
        sys.exit(DataError.exit_code)


def _is_out_of_memory(error: Exception) -> bool:
    """Also as torch says it: by a class of its own on a GPU, only in the text on a CPU."""
    is_of_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or is_of_torch


def _check_arguments(main: Callable[..., None], arguments: list[str]) -> None:
    signature = inspect.signature(main)
    try:
        signature.bind(*arguments)
    except TypeError as error:
        names = " ".join(signature.parameters)
        raise ParameterError(f"{error}; expected arguments: {names}") from None
