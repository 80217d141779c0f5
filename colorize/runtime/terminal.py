"""Lines on stdout and stderr, and progress of long tasks: on a terminal, as lines or as records in files.

Text from outside (names of files, answers of servers, errors of libraries) may contain control characters, with which
it could move the cursor, hide text or fake a line. All text therefore passes `escaped` before it is shown.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from colorize.runtime import environment

_PAUSE_S = 5  # seconds between two progress lines
_RECORD_PAUSE_S = 0.5  # seconds between two records, even if a training makes thousands of steps per second


_is_silent = False


def silence() -> None:
    """Show no progress in this process, because it is a worker and its parent shows the progress."""
    global _is_silent
    _is_silent = True


def escaped(text: object) -> str:
    """Text on one line; a character that is not printable is shown as an escape sequence such as `\\n` or `\\x1b`."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)


def say(*lines: object) -> None:
    """Print lines to stdout, escaped. If stdout is closed or the disk is full, discard this and all later output."""
    _print(sys.stdout, lines)


def note(*lines: object) -> None:
    """Print lines to stderr, escaped. If stderr is closed or the disk is full, discard this and all later output."""
    _print(sys.stderr, lines)


def _print(stream: TextIO, lines: Iterable[object]) -> None:
    try:
        print(*map(escaped, lines), sep="\n", file=stream, flush=True)
    except OSError:
        _discard(stream)


def _discard(stream: TextIO) -> None:
    """Let a stream that cannot be written to lead to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def open_streams() -> None:
    """Prepare stdout and stderr of a program: a closed one discards its output, and no text is impossible to write."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller (`>&-`)
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 (for as long as the process lives)
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_streams() -> None:
    """Write what is left in stdout and stderr. Otherwise a full disk would change the exit code at the very end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _discard(stream)


@contextlib.contextmanager
def progress(description: str, total: int, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Show the progress of a long task.

    With COLORIZE_PROGRESS, a stage writes progress records, which `tools/run_cells.py` shows. Otherwise this shows a
    bar on a terminal, or prints a line every five seconds.

    Args:
        description: name of the task.
        total: number of units; 0 if unknown.
        unit: name of the unit, plural.

    Yields:
        function to call with the number of units done since the last call.
    """
    if _is_silent:
        yield lambda _: None
    elif path := environment.progress_record():
        yield _Records(path, description, total, unit).advance
        _write_record(path, {})  # not after an error or a signal, so that the last count stays visible
    elif sys.stderr.isatty():
        with _progress_bar(description, total, unit) as advance:
            yield advance
    else:
        yield _progress_lines(description, total, unit)


@contextlib.contextmanager
def _progress_bar(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    is_shared = sys.stdout.isatty()  # then lines on stdout must appear above the bar; otherwise they belong to a file
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=is_shared) as bar:
        task = bar.add_task(escaped(description), total=total)
        yield functools.partial(bar.advance, task)


def _progress_lines(description: str, total: int, unit: str) -> Callable[[int], None]:
    started = shown = time.monotonic()
    done = 0

    def advance(n: int = 1) -> None:
        nonlocal done, shown
        done += n
        now = time.monotonic()
        if now - shown >= _PAUSE_S:
            shown = now
            note(f"{description}: {done:,} of {total:,} {unit} after {now - started:.0f} s")

    return advance


def begin_records() -> None:
    """Write an empty record, which shows that DVC runs this stage; do nothing without COLORIZE_PROGRESS."""
    if path := environment.progress_record():
        _write_record(path, {})


class _Records:
    """Counts the units done, and writes the count at most twice per second."""

    def __init__(self, path: Path, description: str, total: int, unit: str):
        self._path, self._total = path, total
        self._record = {"description": description, "total": total, "unit": unit}
        self._done = 0
        self._began: tuple[float, int] | None = None  # time and count of the first call
        self._written = -float("inf")

    def advance(self, n: int = 1) -> None:
        """Add n units. The first call may count steps of an earlier run, so the speed does not include it."""
        now = time.monotonic()
        self._done += n
        self._began = self._began or (now, self._done)
        if now - self._written >= _RECORD_PAUSE_S or self._done == self._total:
            self._written = now
            _write_record(self._path, {**self._record, "done": self._done, "end": self._end(now, *self._began)})

    def _end(self, now: float, began: float, done_before: int) -> float | None:
        """Expected end at the current speed, in seconds since the epoch; None if the speed or the total is unknown."""
        done = self._done - done_before
        return time.time() + (self._total - self._done) * (now - began) / done if done and self._total else None


def _write_record(path: Path, record: dict) -> None:
    """Replace the record atomically. Errors are ignored: the display may have ended and removed the folder."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(record))
        temporary.replace(path)
