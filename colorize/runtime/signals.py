"""Being asked to stop: SIGTERM, SIGINT, or a parent that is gone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator

from colorize.runtime import environment

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class _State:
    """Of this process."""

    parent = os.getppid()
    is_deferring = False
    caught: int | None = None  # signal that waits for the end of the step


def install_handlers() -> None:
    """Make SIGTERM and SIGINT unwind like exceptions, so that temporary files go, with exit codes 143 and 130.

    A stage that outlives its `dvc` would write into the next run's files: it gets SIGTERM then. Linux alone sends one;
    elsewhere `is_orphaned` tells.
    """
    _State.parent = os.getppid()
    signal.signal(signal.SIGTERM, _handle)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as the shell sets it for `command &`
        signal.signal(signal.SIGINT, _handle)
    if environment.is_run_by_dvc():
        die_with_parent(signal.SIGTERM)


def die_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when its parent ends; does nothing but on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def _handle(number: int, frame) -> None:
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
        print("stopped: the dvc that started this stage is gone", file=sys.stderr)
        _leave(signal.SIGTERM)


def stop_requested() -> bool:
    """Whether the process ends after this step."""
    return _State.caught is not None or is_orphaned()


def is_orphaned() -> bool:
    """Whether DVC started this process and is gone."""
    return environment.is_run_by_dvc() and os.getppid() != _State.parent
