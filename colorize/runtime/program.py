"""Functions for running a stage as a program: worker processes, output folders and exit codes."""

from __future__ import annotations

import contextlib
import inspect
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from colorize.runtime import cluster, environment, signals, terminal
from colorize.runtime.errors import DataError, ParameterError, UserError, explain_os_error, first_line
from colorize.runtime.files import prepare_folder, sweep
from colorize.runtime.locks import lock

Result = TypeVar("Result")

_LOOK_S = 0.2  # seconds between two calls of `watch`


def workers() -> contextlib.AbstractContextManager[Executor]:
    """The workers of a stage: those of a Dask cluster if COLORIZE_DASK is set, else processes of this machine."""
    if address := environment.dask_address():
        return cluster.executor(address)
    return executor(environment.processes())


@contextlib.contextmanager
def executor(workers: int) -> Iterator[Executor]:
    """Pool of worker processes; work that has not started when the block ends is canceled.

    Raises:
        DataError: a worker was killed, a worker reported why it ended itself, or memory ran out.
    """
    last_words, to_parent = multiprocessing.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, initializer=_begin_worker, initargs=(to_parent,))
    try:
        with _ctrl_c_blocked():
            pool.submit(int)  # the first task starts all workers; SIGINT is blocked in them too
        yield pool
    except (BrokenProcessPool, MemoryError):
        if last_words.poll():  # a worker has sent the reason before it ended
            raise DataError(last_words.recv()) from None
        raise DataError("a worker was killed, probably because memory ran out; lower COLORIZE_PROCS") from None
    finally:
        pool.shutdown(cancel_futures=True)
        last_words.close()
        to_parent.close()


@contextlib.contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Delay Ctrl-C until the block ends: a worker that is still starting would print a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(to_parent: Connection) -> None:
    """Make a worker ignore Ctrl-C, which its parent handles, and end when its parent ends.

    Args:
        to_parent: connection for the reason why a worker ends itself; the parent prints the first reason it gets.
    """
    _end_with_parent()
    signals.handle_bus_errors(to_parent.send)


def _end_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    terminal.silence()
    signals.die_with_parent(signal.SIGKILL)


def call_in_child(function: Callable[..., Result], *arguments: object, watch: Callable[[], object] = int) -> Result:
    """Call a function in a forked child process, and return its result.

    This is for a library whose threads do not survive a fork (workers that are forked later would hang), and whose
    calls do not return for a signal. The child is killed when this call ends, also by a signal, and what it prints on
    stderr is discarded. A daemonic process, which cannot have children, calls the function itself.

    Args:
        function: function to call; its arguments are not pickled, but its result and its errors are.
        arguments: its arguments.
        watch: function that is called every 0.2 seconds meanwhile, and once at the end.

    Raises:
        DataError: the child was killed. All errors of the function are raised here too.
    """
    if multiprocessing.current_process().daemon:
        return function(*arguments)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send_result, args=(sender, function, arguments), daemon=True)
    with _ctrl_c_blocked():
        child.start()
    sender.close()  # only the child has it now, so `recv` notices when the child ends
    try:
        while not receiver.poll(_LOOK_S):
            # `poll` notices a killed child too, except if a child of another thread has inherited `sender`
            if not child.is_alive() and not receiver.poll():
                raise EOFError
            watch()
        result, error = receiver.recv()
        watch()
    except EOFError:
        raise DataError("a child process was killed, probably because memory ran out; run again") from None
    finally:
        child.kill()
        child.join()
        receiver.close()
    if error is not None:
        raise error
    return result


def _send_result(sender: Connection, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    _end_with_parent()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        sender.send((function(*arguments), None))
    except BaseException as error:
        if not isinstance(error, UserError):
            error.add_note(traceback.format_exc())
        sender.send((None, error))


@contextlib.contextmanager
def outputs(what: str, *folders: Path) -> Iterator[None]:
    """Hold the lock of a stage during the block, and prepare its output folders with `prepare_folder`.

    Under `torchrun`, only the process with rank 0 does this.

    Args:
        what: stage and item, such as "shard objects".
        folders: output folders of the stage.

    Raises:
        DataError: a folder is not writable, or another process holds the lock and COLORIZE_NO_WAIT is set.
    """
    if environment.torchrun_ranks()[0]:
        yield
        return
    with lock(Path(".state", "locks", what.replace(" ", "-")), what):
        for folder in folders:
            prepare_folder(folder)
        yield
        for folder in folders:
            sweep(folder)  # workers of an earlier, killed run may have left files after this run began


def run(main: Callable[..., None], arguments: list[str]) -> None:
    """Call `main(*arguments)`. Exit codes: 0 complete, 2 parameters, 3 data, 129 / 130 / 143 interrupted.

    A UserError and an error of the operating system are printed as one line on stderr. An interrupted stage must not
    exit with 0, or DVC would record incomplete outputs as complete.
    """
    terminal.open_streams()
    signals.install_handlers()
    terminal.begin_records()
    try:
        _check_arguments(main, arguments)
        main(*arguments)
    except UserError as error:
        _end(f"error: {error}", error.exit_code)
    except OSError as error:
        _end(f"error: {explain_os_error(error)}", DataError.exit_code)
    except KeyboardInterrupt:
        _end("interrupted", 130)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        what = f"out of memory ({first_line(error)})"
        _end(f"error: {what}; lower train.batch_size, or free memory", DataError.exit_code)
    finally:
        terminal.flush_streams()
        signals.restore_handlers()


def _end(line: str, code: int) -> NoReturn:
    terminal.note(line)
    sys.exit(code)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out. On a GPU, torch raises OutOfMemoryError; on a CPU, a RuntimeError with a known text."""
    is_of_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or is_of_torch


def _check_arguments(main: Callable[..., None], arguments: list[str]) -> None:
    signature = inspect.signature(main)
    try:
        signature.bind(*arguments)
    except TypeError as error:
        names = " ".join(signature.parameters)
        raise ParameterError(f"{error}; expected arguments: {names}") from None
