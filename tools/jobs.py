"""The jobs of a run as its display shows them: state, progress, result."""

from __future__ import annotations

import csv
import json
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from colorize.data.shards import SPLITS
from colorize.layout import Folders, Run
from colorize.report import labels

ENDED = DONE, UP_TO_DATE, FROM_CACHE, FAILED = "done", "up to date", "from cache", "failed"
OTHERS = RUNNING, STOPPING, STOPPED, WAITING, NOT_BEGUN = "running", "stopping", "stopped", "waiting", "not begun"
STATES = (*ENDED, *OTHERS)
_TRACEBACK = "Traceback (most recent call last):"
_ERRORS = ("error: ", "ERROR: ", _TRACEBACK)  # first words of errors from stages and from DVC
_WAITING = "waiting for "  # first words of a stage's line when another process holds its lock
_CACHED = "is cached - skipping run"  # from DVC's output


class Progress(NamedTuple):
    """Progress that a stage reports; see `colorize/runtime/terminal.py`."""

    done: int
    total: int
    unit: str
    left_s: float | None  # expected time left, seconds; None until the speed is known

    def __str__(self) -> str:
        of_total = f" of {self.total:,}" if self.total else ""  # 0: unknown, such as the length of a download
        return f"{self.done:,}{of_total} {self.unit}"


@dataclass(eq=False)
class Job:
    """Stages that one `dvc repro` runs one after the other, with their state.

    Args:
        name: name in the display.
        stages: names of the stages, as in `dvc.lock`.
        arguments: arguments of `dvc repro`.
    """

    name: str
    stages: tuple[str, ...]
    arguments: tuple[str, ...]
    state: str = WAITING
    where: str = ""  # such as "GPU 0"; empty on a CPU
    began: float = 0.0  # seconds of the monotonic clock
    seconds: float = 0.0  # duration, set when the job has ended
    result: str = ""
    output: list[str] = field(default_factory=list)  # lines

    def begin(self, where: str) -> None:
        """Record that the job's process starts on the slot `where`."""
        self.state, self.where, self.began = RUNNING, where, time.monotonic()

    def end(self, exit_code: int, has_run: bool) -> None:
        """Record that the job's process has ended: set state, result and duration.

        Args:
            exit_code: exit code of the process; if negative, minus the number of the signal that ended it.
            has_run: whether DVC ran at least one stage of the job.
        """
        self.seconds = time.monotonic() - self.began
        if exit_code == 0:
            is_cached = any(_CACHED in line for line in self.output)
            self.result = read_result(self.stages[-1])
            self.state = DONE if has_run else FROM_CACHE if is_cached else UP_TO_DATE
        elif self.state == STOPPING:
            self.state = STOPPED
        else:
            if exit_code < 0:
                self.output.append(f"ERROR: DVC was ended by {signal.Signals(-exit_code).name}; run the command again")
            self.result = self._summary()
            self.state = FAILED

    def waits_for(self) -> str:
        """The line in which the stage names the process that it waits for; empty if it does not wait."""
        return self.output[-1] if self.output and self.output[-1].startswith(_WAITING) else ""

    def elapsed_s(self) -> float:
        """Seconds that the job's process has run."""
        return time.monotonic() - self.began if self.state in (RUNNING, STOPPING) else self.seconds

    def error(self) -> list[str]:
        """The printed lines, starting with the first error; all lines if no line looks like an error."""
        first = next((n for n, line in enumerate(self.output) if line.startswith(_ERRORS)), 0)
        return self.output[first:] or ["it printed nothing"]

    def _summary(self) -> str:
        """The error in one line. For a traceback, this is its first line without indentation: the exception."""
        first, *others = self.error()
        return next((line for line in others if line and line[0] != " "), first) if first == _TRACEBACK else first


def stage_of(job: Job, records: Path) -> str | None:
    """The stage that a job runs, or ran last; None before the first stage."""
    return next((stage for stage in reversed(job.stages) if (records / f"{stage}.json").exists()), None)


def progress_of(job: Job, records: Path) -> Progress | None:
    """Progress of the job's current stage; None before the stage reports any."""
    try:
        record = json.loads((records / f"{stage_of(job, records)}.json").read_text())
    except (OSError, ValueError):
        return None
    if not record:
        return None
    left_s = None if record["end"] is None else max(0.0, record["end"] - time.time())
    return Progress(record["done"], record["total"], record["unit"], left_s)


def read_result(stage: str) -> str:
    """Short text about the result of a stage, such as its measures; empty if there is none."""
    name, _, item = stage.partition("@")
    try:
        return _RESULTS[name](item) if name in _RESULTS else ""
    except (OSError, ValueError, LookupError):  # missing or damaged; `make verify` reports it
        return ""


def _images(dataset: str) -> str:
    manifests = (Folders().shards(split, dataset) / "manifest.json" for split in SPLITS)
    return f"{sum(json.loads(path.read_text())['images'] for path in manifests):,} images"


def _validation(name: str) -> str:
    with (Folders().history(_run(name)) / "history.csv").open(newline="") as file:
        *_, last = csv.DictReader(file)
    return f"validation loss {float(last['val_loss']):.4g}"


def _measures(name: str) -> str:
    """Some measures of a run on the test images of the data set that it was trained on."""
    run = _run(name)
    found = json.loads((Folders().evaluation(run, run.dataset) / "details.json").read_text())["measures"]
    shown = [name for name in ("l2", "accuracy", "cross_entropy") if name in found]
    return "  ".join(f"{labels.metric_title(name)} {labels.format_number(found[name], name)}" for name in shown)


def _run(name: str) -> Run:
    dataset, model, *seed = name.split("-")
    return Run(dataset, model, int(seed[0]) if seed else None)


_RESULTS = {
    "prior": _images,
    "train": _validation,
    "evaluate": _measures,
    "baseline": lambda dataset: _measures(f"{dataset}-prior"),
    "report": lambda _: "data/report.html, results/table1.md",
}
