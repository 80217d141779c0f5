"""Being asked to stop: SIGTERM, SIGINT, or a parent that is gone; and a mapped file that became shorter: SIGBUS."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from colorize.runtime import environment
from colorize.runtime.errors import DataError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)


class _State:
    """Of this process."""

    parent = os.getppid()
    is_deferring = False
    caught: int | None = None  # signal that waits for the end of the step
    bus_handler: object = None  # libc keeps only its address


def install_handlers() -> None:
    """Make SIGTERM, SIGHUP and SIGINT unwind like exceptions, so that temporary files go; exit codes 143, 129, 130.

    A stage that outlives its `dvc` would write into the next run's files: it gets SIGTERM then. Linux alone sends one;
    elsewhere `is_orphaned` tells.
    """
    _State.parent = os.getppid()
    handle_bus_errors(_print_error)
    signal.signal(signal.SIGTERM, _handle)
    for number in (signal.SIGINT, signal.SIGHUP):  # SIGHUP: the terminal was closed
        if signal.getsignal(number) is not signal.SIG_IGN:  # as the shell sets it for `command &`, and nohup
            signal.signal(number, _handle)
    if environment.is_run_by_dvc():
        die_with_parent(signal.SIGTERM)


def die_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when its parent ends; does nothing but on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def handle_bus_errors(report: Callable[[str], None]) -> None:
    """End this process with one line and exit code 3 when a file becomes shorter while it is mapped.

    Python's own handlers run after the interrupted instruction, but this instruction never ends: it is repeated. The
    handler is therefore one of libc, which never returns. ctypes takes the interpreter's lock for it in any thread;
    torch releases that lock before it copies.

    Args:
        report: gets the line.
    """

    is_ending = threading.Lock()

    def end(number: int) -> None:
        try:
            is_ending.acquire()  # for ever: other threads come to the same place, and wait here
            name = next((f"{path}:" for path in _shortened_files()), "a file")
            report(f"{name} became shorter while it was being read; run the command again: its error names the repair")
        finally:
            os._exit(DataError.exit_code)

    _State.bus_handler = _Handler(end)
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, _Handler], ctypes.c_void_p
    libc.signal(signal.SIGBUS, _State.bus_handler)


def _print_error(line: str) -> None:
    restored = "\x1b[?25h\n" if os.isatty(2) else ""  # a progress bar has hidden the cursor
    os.write(2, os.fsencode(f"{restored}error: {line}\n"))


def _shortened_files() -> Iterator[str]:
    """Shared files whose mapping has pages behind the end of the file; none but on Linux.

    Private mappings are those of libraries, of which some are like that from the start.
    """
    with contextlib.suppress(OSError), Path("/proc/self/maps").open(errors="surrogateescape") as maps:
        for line in maps:
            addresses, mode, offset, _, _, *path = line.rstrip("\n").split(maxsplit=5)
            start, end = (int(address, 16) for address in addresses.split("-"))
            last_page = int(offset, 16) + end - start - mmap.PAGESIZE
            with contextlib.suppress(OSError, IndexError):  # a mapping without a file, or one that was deleted
                status = Path(path[0]).stat()
                is_short = stat.S_ISREG(status.st_mode) and status.st_size <= last_page
                if is_short and mode.endswith("s"):
                    yield path[0]


def _handle(number: int, frame: FrameType | None) -> None:
    is_repeated = number == signal.SIGINT == _State.caught  # a second Ctrl-C does not wait
    if _State.is_deferring and not is_repeated:
        _State.caught = _State.caught or number  # SIGTERM comes from a DVC that ends, and again when it is gone
    else:
        _leave(number)


def _leave(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


@contextlib.contextmanager
def finish_step() -> Iterator[None]:
    """Let the block, the outermost of nested ones, end before a signal takes effect; it ends the process then."""
    if _State.is_deferring:
        yield
        return
    _State.is_deferring = True
    try:
        yield
    finally:
        _State.is_deferring = False
        caught, _State.caught = _State.caught, None
    if caught is not None:
        _leave(caught)
    if is_orphaned():
        print("stopped: the dvc process that started this stage has ended", file=sys.stderr)
        _leave(signal.SIGTERM)


def stop_requested() -> bool:
    """Whether the process ends after this step."""
    return _State.caught is not None or is_orphaned()


def is_orphaned() -> bool:
    """Whether DVC started this process and is gone."""
    return environment.is_run_by_dvc() and os.getppid() != _State.parent
