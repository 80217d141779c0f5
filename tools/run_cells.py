"""Train and evaluate all cells side by side: `make repro`, or `make train-all`, which only trains.

    python tools/run_cells.py [train]

One cell a GPU at a time; without any, one a core (COLORIZE_PROCS says how many), with its share of the threads. Each
is a `dvc repro` of its own stages: DVC locks what a stage reads and writes, not the repository. What is up to date is
left as it is, a cell that fails stops no other, and `dvc repro` does the rest.
"""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from colorize import params, runtime


class Job(NamedTuple):
    """Stages that one process runs one after the other."""

    name: str
    arguments: tuple[str, ...]  # of `dvc repro`


class Slot(NamedTuple):
    """A place where one job runs at a time."""

    name: str
    environment: dict[str, str]


def main(what: str = "evaluate") -> None:
    """Shards and priors of all data sets, then the cells of `params.yaml`, the most expensive models first."""
    if what not in ("train", "evaluate"):
        raise runtime.ParameterError(f"unknown word {what!r}; expected: train, evaluate")
    settings = params.load()
    if subprocess.run(["dvc", "status", "--quiet"], check=False).returncode == 0:
        return
    run([Job(name, (f"prior@{name}",)) for name in settings.datasets])
    by_cost = sorted(settings.models, key=lambda model: ("unet" not in model, "cnn" not in model))
    cells = [f"{dataset}-{model}" for model in by_cost for dataset in settings.datasets]
    stages = ("train",) if what == "train" else ("train", "evaluate")
    jobs = [Job(cell, ("--single-item", *(f"{stage}@{cell}" for stage in stages))) for cell in cells]
    if what == "evaluate":
        jobs += [Job(f"{name}, baselines", ("--single-item", f"baseline@{name}")) for name in settings.datasets]
    run(jobs)


def slots(num_jobs: int) -> list[Slot]:
    """Where so many jobs run: a GPU each, or a share of the cores each."""
    if gpus := runtime.gpus():
        return [Slot(f"GPU {gpu}", {"CUDA_VISIBLE_DEVICES": gpu}) for gpu in gpus]
    count = min(runtime.processes(), num_jobs)
    share = str(runtime.processes() // count)
    environment = {"COLORIZE_PROCS": share, "COLORIZE_THREADS": os.environ.get("COLORIZE_THREADS", share)}
    return [Slot(f"CPU, {count} at a time", environment)] * count


def run(jobs: Sequence[Job]) -> None:
    """Run jobs side by side; ends them all when this process is asked to end.

    Raises:
        DataError: some of them failed; names them.
    """
    free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
    places = slots(len(jobs))
    for slot in places:
        free.put(slot)
    running, stopping = set(), threading.Event()
    failed = []
    with ThreadPoolExecutor(len(places)) as pool:
        pending = {pool.submit(_run_job, job, free, running, stopping): job for job in jobs}
        try:
            for number, done in enumerate(as_completed(pending), start=1):
                name, is_complete = pending[done].name, done.result()
                failed += [] if is_complete else [name]
                _say(f"{name}: {'done' if is_complete else 'FAILED'}, {number} of {len(jobs)}")
        except BaseException:  # Ctrl-C, SIGTERM
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                process.terminate()
            raise
    if failed:
        raise runtime.DataError(f"failed: {', '.join(sorted(failed))}; their errors are above")


def _run_job(job: Job, free: queue.SimpleQueue, running: set[subprocess.Popen], stopping: threading.Event) -> bool:
    """Whether the stages of a job ended well; what they print is passed on by whole lines."""
    slot = free.get()
    _say(f"{job.name}: begins ({slot.name})")
    command = ["dvc", "--wait-for-lock", "repro", *job.arguments]
    environment = {**os.environ, **slot.environment}
    try:
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            running.add(process)
            if stopping.is_set():  # since the others were ended
                process.terminate()
            for line in process.stdout:
                _say(line.rstrip("\n"))
        running.discard(process)
        return process.returncode == 0
    finally:
        free.put(slot)


def _say(line: str) -> None:
    """Print a line in one piece: `print` writes its end on its own, and another thread's line between."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
