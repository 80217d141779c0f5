"""Signals that end a process: SIGTERM, SIGHUP, SIGINT, the end of its parent, SIGBUS for a shortened mapped file."""

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

from colorize.runtime import environment, terminal
from colorize.runtime.errors import DataError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)


class _State:
    """Signal state of this process."""

    parent = os.getppid()
    is_deferring = False
    caught: int | None = None  # signal that takes effect at the end of the step
    bus_handler: object = None  # libc keeps only its address, so a reference must stay here


def install_handlers() -> None:
    """Make SIGTERM, SIGHUP and SIGINT raise exceptions, so that temporary files are removed.

    The exit codes are 143, 129 and 130. A stage that outlives its `dvc` process would write into the files of the next
    run. On Linux the stage therefore gets SIGTERM when `dvc` ends; on other systems `is_orphaned` detects this.
    """
    _State.parent = os.getppid()
    handle_bus_errors(_print_error)
    signal.signal(signal.SIGTERM, _handle)
    for number in (signal.SIGINT, signal.SIGHUP):  # SIGHUP: the terminal was closed
        if signal.getsignal(number) is not signal.SIG_IGN:  # a shell ignores SIGINT for `command &`, nohup SIGHUP
            signal.signal(number, _handle)
    if environment.is_run_by_dvc():
        die_with_parent(signal.SIGTERM)


def restore_handlers() -> None:
    """Let signals end this process at once; otherwise, a signal during the interpreter's exit prints a traceback."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is _handle:
            signal.signal(number, signal.SIG_DFL)


def die_with_parent(number: int) -> None:
    """Make the kernel send this process a signal when its parent ends; has an effect only on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def handle_bus_errors(report: Callable[[str], None]) -> None:
    """End this process with one line and exit code 3 when a file becomes shorter while it is mapped.

    After SIGBUS, the interrupted instruction is repeated without end, so a handler of Python would never run. The
    handler is therefore registered with libc, and it never returns. ctypes acquires the GIL before it calls the
    handler. This works in any thread, because torch releases the GIL before it copies.

    Args:
        report: function that is called with the line to print.
    """

    is_ending = threading.Lock()

    def end(number: int) -> None:
        try:
            is_ending.acquire()  # never released: other threads with the same error wait here
            name = next((f"{path}:" for path in _shortened_files()), "a file")
            report(f"{name} became shorter while it was being read; run the command again: its error names the repair")
        finally:
            os._exit(DataError.exit_code)

    _State.bus_handler = _Handler(end)
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, _Handler], ctypes.c_void_p
    libc.signal(signal.SIGBUS, _State.bus_handler)


def _print_error(line: str) -> None:
    restored = "\x1b[?25h\n" if os.isatty(2) else ""  # shows the cursor again, which a progress bar hides
    os.write(2, os.fsencode(f"{restored}error: {terminal.escaped(line)}\n"))


def _shortened_files() -> Iterator[str]:
    """Files with a shared mapping that has pages after the end of the file; empty except on Linux.

    Private mappings are left out: they belong to libraries, and some have such pages from the start.
    """
    with contextlib.suppress(OSError), Path("/proc/self/maps").open(errors="surrogateescape") as maps:
        for line in maps:
            addresses, mode, offset, _, _, *path = line.rstrip("\n").split(maxsplit=5)
            start, end = (int(address, 16) for address in addresses.split("-"))
            last_page = int(offset, 16) + end - start - mmap.PAGESIZE
            with contextlib.suppress(OSError, IndexError):  # a mapping without a file, or of a deleted file
                status = Path(path[0]).stat()
                is_short = stat.S_ISREG(status.st_mode) and status.st_size <= last_page
                if is_short and mode.endswith("s"):
                    yield path[0]


def _handle(number: int, frame: FrameType | None) -> None:
    is_repeated = number == signal.SIGINT == _State.caught  # a second Ctrl-C does not wait
    if _State.is_deferring and not is_repeated:
        _State.caught = _State.caught or number  # keep the first: DVC sends SIGTERM when it ends, then the kernel too
    else:
        _leave(number)


def _leave(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


@contextlib.contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block when this process has used so many seconds of CPU time in it.

    It interrupts pure Python and the module `re`. It has no effect outside of the main thread, where Python handles no
    signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {seconds:.0f} seconds of CPU time")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class Stalled(Exception):
    """Work has made no progress for too long. It is no OSError, because network libraries catch these errors."""


@contextlib.contextmanager
def stall_limit(seconds: float, progress: Callable[[], object] = int) -> Iterator[None]:
    """Raise Stalled in the block if `progress()` has the same value as so many seconds before.

    It interrupts waiting for a file or a network. It has no effect outside of the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last = progress()

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = progress()
        if now == last:
            raise Stalled
        last = now

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def finish_step() -> Iterator[None]:
    """Delay signals until the block ends; then a signal ends the process. A block inside another one has no effect."""
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
        terminal.note("stopped: the dvc process that started this stage has ended")
        _leave(signal.SIGTERM)


def stop_requested() -> bool:
    """Whether the process will end when the current `finish_step` block ends."""
    return _State.caught is not None or is_orphaned()


def is_orphaned() -> bool:
    """Whether DVC started this process, and the `dvc` process has ended."""
    return environment.is_run_by_dvc() and os.getppid() != _State.parent
