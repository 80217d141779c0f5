"""How far a long piece of work is."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

_PAUSE_S = 5  # between two lines


@contextlib.contextmanager
def progress(description: str, total: int, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Show how far a long piece of work is: a bar on a terminal, else a line every five seconds."""
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
        if now - shown >= _PAUSE_S:
            shown = now
            print(
                f"{description}: {done:,} of {total:,} {unit} after {now - started:.0f} s", file=sys.stderr, flush=True
            )

    return advance
