"""The display of `make repro`: a live table on a terminal, otherwise one line per job."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from colorize import runtime
from tools import jobs
from tools.jobs import Job

_SIGN_OF_LIFE_S = 60.0  # after so many seconds without a line, print which jobs are running
_BAR = 16  # width of a progress bar, characters; less where the terminal is narrow
_OTHER_LINES = 6  # title, column headers, the line for the other jobs, commit and machine, the log, one spare line
_STYLES = {
    jobs.WAITING: "dim",
    jobs.NOT_BEGUN: "dim",
    jobs.RUNNING: "bold",
    jobs.STOPPING: "bold yellow",
    jobs.STOPPED: "yellow",
    jobs.FAILED: "bold red",
}


def open_display(shown: Sequence[Job], records: Path, log: Path, about: str) -> Lines | Screen:
    """The display for stdout: `Screen` on a terminal, otherwise `Lines`; takes the same arguments as `Lines`."""
    return (Screen if _can_move_cursor() else Lines)(shown, records, log, about)


def waiting(what: str) -> contextlib.AbstractContextManager:
    """Show a status message on a terminal until the block ends."""
    return Console().status(what) if _can_move_cursor() else contextlib.nullcontext()


def _can_move_cursor() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def clock(seconds: float) -> str:
    """Format a duration in seconds, such as 0:07, 12:30 or 49:00:00."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Lines:
    """Prints one line for each job that ends, its full error if it failed, and the running jobs once per minute.

    Args:
        shown: the jobs, in the order in which they begin.
        records: folder of the stages' progress records.
        log: path of the log, which contains all other output.
        about: commit, machine and versions.
    """

    def __init__(self, shown: Sequence[Job], records: Path, log: Path, about: str):
        self._jobs, self._records = shown, records
        self._ended: list[Job] = []
        self._said = time.monotonic()
        self._say(f"{len(shown)} jobs; the log is {log}")
        self._say(about)

    def refresh(self) -> None:
        """Print the jobs that have ended since the last call."""
        for job in self._jobs:
            if job.state in jobs.ENDED and job not in self._ended:
                self._ended.append(job)
                self._say(f"{_summary(job)} ({len(self._ended)} of {len(self._jobs)})")
                if job.state == jobs.FAILED:
                    self._say(*job.error())
        if time.monotonic() - self._said >= _SIGN_OF_LIFE_S:
            running = [job for job in self._jobs if job.state in (jobs.RUNNING, jobs.STOPPING)]
            self._say("; ".join(_life(job, self._records) for job in running))

    def close(self) -> None:
        """Print the last jobs that have ended."""
        self.refresh()

    def _say(self, *lines: str) -> None:
        self._said = time.monotonic()
        runtime.say(*lines)


def _summary(job: Job) -> str:
    result = f", {job.result}" if job.result and job.state != jobs.FAILED else ""
    return f"{job.name}: {job.state} after {clock(job.elapsed_s())}{result}"


def _life(job: Job, records: Path) -> str:
    """Short text about a running job: name, state, progress and time left."""
    stage, progress = jobs.stage_of(job, records), jobs.progress_of(job, records)
    state = "waiting" if job.waits_for() else stage.partition("@")[0] if stage else job.state
    words = [f"{job.name}: {state} for {clock(job.elapsed_s())}"]
    words += [str(progress)] if progress else []
    words += [f"{clock(progress.left_s)} left"] if progress and progress.left_s is not None else []
    return ", ".join(words)


class Screen:
    """A table that is redrawn in place, and printed in full at the end; takes the same arguments as `Lines`."""

    def __init__(self, shown: Sequence[Job], records: Path, log: Path, about: str):
        self._jobs, self._records, self._log, self._about = shown, records, log, about
        self._began = time.monotonic()
        for name in ("COLUMNS", "LINES"):  # if a shell exports them, rich does not ask the terminal for its size
            os.environ.pop(name, None)
        self._console = Console()
        self._size = self._console.size
        self._live = self._open()

    def _open(self) -> Live:
        live = Live(console=self._console, auto_refresh=False, transient=True)
        live.start()
        return live

    def refresh(self) -> None:
        """Draw the table again."""
        if self._console.size != self._size:  # the terminal has wrapped the old lines: clear them
            self._size = self._console.size
            self._live.stop()
            self._console.clear()
            self._live = self._open()
        self._live.update(self._content(max(1, self._size.height - _OTHER_LINES)), refresh=True)

    def close(self) -> None:
        """Print the whole table and, below it, the full errors."""
        self._live.stop()
        self._console.print(self._content(len(self._jobs)), "")
        for job in self._jobs:
            if job.state == jobs.FAILED:
                self._console.print(Text(f"{job.name} failed:", style="bold red"))
                self._console.print(Text("\n".join(job.error())), "", soft_wrap=True)

    def _content(self, num_rows: int) -> Group:
        table = Table(box=None, expand=True, pad_edge=False)
        table.title, table.title_style, table.title_justify = self._title(), "bold", "left"
        table.add_column("job", no_wrap=True)
        table.add_column("state", no_wrap=True)
        table.add_column("progress, or result on the test images", ratio=1, no_wrap=True)
        table.add_column("time", no_wrap=True, justify="right", min_width=5)
        table.add_column("left", no_wrap=True, justify="right", min_width=5)
        chosen = _most_important(self._jobs, num_rows)
        for job in chosen:
            table.add_row(*self._row(job), style=_STYLES.get(job.state, ""))
        if others := [job for job in self._jobs if job not in chosen]:
            table.add_row(f"{len(others)} more", "", _states(others))
        log = Text(f"log: {self._log}", style="dim", no_wrap=True)  # not padded: the terminal prints ^C after it
        return Group(table, Text(self._about, style="dim", no_wrap=True, overflow="ellipsis"), log)

    def _title(self) -> Text:
        counts = f"{len(self._jobs)} jobs: {_states(self._jobs)}; {clock(time.monotonic() - self._began)}"
        return Text(counts, no_wrap=True, overflow="ellipsis")

    def _row(self, job: Job) -> tuple:
        if job.state in (jobs.WAITING, jobs.NOT_BEGUN):
            return job.name, job.state
        state, result, left = job.state, Text(job.result), ""
        progress = jobs.progress_of(job, self._records)
        if job.state == jobs.RUNNING:
            stage = jobs.stage_of(job, self._records)
            state = "waiting" if job.waits_for() else stage.partition("@")[0] if stage else "starting"
            state += f", {job.where}" if job.where else ""
            result = Text(job.waits_for()) if job.waits_for() else _bar(progress) if progress else ""
            left = clock(progress.left_s) if progress and progress.left_s is not None else ""
        elif progress and job.state in (jobs.STOPPING, jobs.STOPPED):
            result = str(progress)
        return job.name, state, result, clock(job.elapsed_s()), left


def _bar(progress: jobs.Progress) -> Table:
    bar = Table.grid(padding=(0, 1))
    bar.add_column(max_width=_BAR)
    bar.add_column(no_wrap=True, min_width=len(str(progress)))
    bar.add_row(ProgressBar(progress.total, progress.done), str(progress))
    return bar


def _most_important(shown: Sequence[Job], count: int) -> list[Job]:
    """Choose up to `count` jobs, in their order. Priority: running, then failed, then waiting, then ended jobs."""
    ranks = {jobs.RUNNING: 0, jobs.STOPPING: 0, jobs.STOPPED: 0, jobs.FAILED: 1, jobs.WAITING: 2}
    by_rank = sorted(range(len(shown)), key=lambda n: ranks.get(shown[n].state, 3))
    return [shown[n] for n in sorted(by_rank[:count])]


def _states(shown: Sequence[Job]) -> str:
    counts = Counter(job.state for job in shown)
    return ", ".join(f"{counts[state]} {state}" for state in jobs.STATES if counts[state])
