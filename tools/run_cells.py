"""Run the stages of the study in parallel and show the progress: `make repro`, or `make train-all`, which only trains.

    python tools/run_cells.py [train]

Each GPU runs one job at a time, or as many as COLORIZE_CELLS_PER_GPU says (`gpu_sharing.py`). Without a GPU, the jobs
share the CPU cores (COLORIZE_PROCS sets the number of cores).

A job is one `dvc repro` of its own stages. This works in parallel because DVC locks only the files that a stage reads
and writes, not the repository. Stages that are up to date do not run. If a job fails, the other jobs of its phase
continue. `.state/repro.log` has the output of DVC and of the stages, the commit, the machine and the time of each job.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from colorize import runtime
from colorize.config import params
from colorize.layout import Run, evaluation_stage, stage_name
from tools import display, facts, gpu_sharing, jobs
from tools.gpu_sharing import Sharing
from tools.jobs import Job

DVC = (sys.executable, "-m", "dvc")
_REFRESH_S = 0.25
_HOW_TO_GO_ON = "run `{}` again: finished jobs are kept, trainings continue at their checkpoint"


class Slot(NamedTuple):
    """A GPU, or a share of the CPU cores, that runs one job at a time."""

    name: str  # empty on a CPU
    environment: dict[str, str]  # variables for the job's process


def main(what: str = "evaluate") -> None:
    """Run the shards and priors (of unions last), then all models (the most expensive first), then the report."""
    if what not in ("train", "evaluate"):
        raise runtime.ParameterError(f"unknown word {what!r}; expected: train, evaluate")
    try:
        settings = params.load()
        with runtime.lock(runtime.state_dir() / "locks" / "make-repro", "make repro"):
            _run_study(settings, what)
    except (KeyboardInterrupt, SystemExit) as stop:
        command = "make train-all" if what == "train" else "make repro"
        runtime.note(f"stopped; {_HOW_TO_GO_ON.format(command)}")
        sys.exit(130 if isinstance(stop, KeyboardInterrupt) else stop.code)


def _run_study(settings, what: str) -> None:
    if _is_up_to_date():
        runtime.say("everything is up to date")
        return
    phases = plan(settings, what)
    with gpu_sharing.share(runtime.gpus(), runtime.cells_per_gpu()) as sharing:
        if sharing.how:
            runtime.say(sharing.how)
        with Runner([job for phase in phases for job in phase], sharing) as runner:
            for phase in phases:
                runner.run(phase)


def plan(settings, what: str) -> list[list[Job]]:
    """All jobs, in phases; a phase begins when the previous phase has ended without a failure."""
    preparations = [[_preparation(name) for name in settings.datasets if name not in settings.unions]]
    preparations += [[_preparation(name, "union")] for name in settings.datasets if name in settings.unions]
    by_cost = sorted(settings.models, key=lambda model: ("unet" not in model, "cnn" not in model))
    runs = [Run(dataset, model, seed) for model in by_cost for dataset in settings.datasets for seed in settings.seeds]
    if what == "train":
        return [*preparations, [_single(run.name, stage_name("train", run.name)) for run in runs]]
    cells = [_single(run.name, stage_name("train", run.name), evaluation_stage(run)) for run in runs]
    cells += [_single(f"{name} baselines", stage_name("baseline", name)) for name in settings.datasets]
    return [*preparations, cells, [Job("report", ("report",), ())]]  # the last job is `dvc repro` of all stages


def _preparation(dataset: str, *before: str) -> Job:
    """The job that makes the shards and the prior of a data set; for a union, also its description before them."""
    stages = tuple(stage_name(stage, dataset) for stage in (*before, "shard", "prior"))
    return Job(f"{dataset} data", stages, stages[-1:])


def _single(name: str, *stages: str) -> Job:
    return Job(name, stages, ("--single-item", *stages))


def _is_up_to_date() -> bool:
    """Whether `dvc repro` has nothing to do; also false if DVC cannot tell, for example during another run."""
    with display.waiting("checking what is up to date"):
        status = subprocess.run([*DVC, "status", "--quiet"], capture_output=True, check=False)
    return status.returncode == 0


def slots(num_jobs: int, gpus: Mapping[str, Mapping[str, str]]) -> list[Slot]:
    """The slots for a number of jobs: COLORIZE_CELLS_PER_GPU per GPU; without a GPU, one per job, at most one per core.

    Args:
        num_jobs: number of jobs.
        gpus: by GPU: the environment variables for a process that uses it.
    """
    if gpus:  # the first jobs are on different GPUs
        return [Slot(f"GPU {gpu}", dict(gpus[gpu])) for _ in range(runtime.cells_per_gpu()) for gpu in gpus]
    count = min(runtime.processes(), num_jobs)
    share = str(runtime.processes() // count)
    return [Slot("", {"COLORIZE_PROCS": share, "COLORIZE_THREADS": os.environ.get("COLORIZE_THREADS", share)})] * count


class Runner:
    """Runs jobs in parallel, displays them, and ends them all when this process gets a signal to end.

    Args:
        shown: all jobs, in the order in which they begin.
        sharing: how the jobs share the GPUs.
    """

    def __init__(self, shown: Sequence[Job], sharing: Sharing):
        self._shown, self._sharing = shown, sharing
        self._processes: set[subprocess.Popen] = set()
        self._is_stopping = False

    def __enter__(self) -> "Runner":
        self._folder = tempfile.TemporaryDirectory(prefix="colorize-progress-")
        self._records = Path(self._folder.name)
        self._log = Log(runtime.state_dir() / "repro.log")
        about = facts.describe()
        self._log.write("run", about)
        if self._sharing.how:
            self._log.write("run", self._sharing.how)
        self._display = display.open_display(self._shown, self._records, self._log.path, about)
        return self

    def __exit__(self, *_) -> None:
        with runtime.finish_step():
            for job in self._shown:
                if job.state == jobs.WAITING:
                    job.state = jobs.NOT_BEGUN
            self._display.close()
        self._log.close()
        self._folder.cleanup()

    def run(self, phase: Sequence[Job]) -> None:
        """Run jobs that do not depend on each other.

        Raises:
            DataError: some jobs failed; the message names them.
        """
        is_rest = not phase[0].arguments  # the last job covers the whole pipeline and runs alone
        places = [Slot("", {})] if is_rest else slots(len(phase), self._sharing.environments)
        free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in places:
            free.put(slot)
        with ThreadPoolExecutor(len(places)) as pool:
            futures = [pool.submit(self._run_job, job, free) for job in phase]
            try:
                self._watch(futures)
            except BaseException:  # Ctrl-C, SIGTERM
                self._stop()
                self._watch(futures)
                raise
        if failed := sorted(job.name for job in phase if job.state == jobs.FAILED):
            raise runtime.DataError(f"failed: {', '.join(failed)}; their errors are above")

    def _watch(self, futures: Sequence[Future]) -> None:
        """Refresh the display until the jobs of these futures have ended."""
        pending = futures
        while pending:
            _, pending = wait(pending, _REFRESH_S)
            with runtime.finish_step():  # a signal during a refresh would leave half a table
                self._display.refresh()
        for future in futures:
            future.result()  # raises the exception of the job's thread, if there is one

    def _stop(self) -> None:
        """Ask all jobs to end, and start no further jobs.

        From now on this process ignores signals; a terminal sends a second Ctrl-C directly to the stages too.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._is_stopping = True
        for job in self._shown:
            if job.state == jobs.RUNNING:
                job.state = jobs.STOPPING
        for process in list(self._processes):
            process.terminate()

    def _run_job(self, job: Job, free: queue.SimpleQueue) -> None:
        slot = free.get()
        try:
            if not self._is_stopping:
                self._run_process(job, slot)
        finally:
            free.put(slot)

    def _run_process(self, job: Job, slot: Slot) -> None:
        job.begin(slot.name)
        self._log.write(job.name, f"begins on {slot.name}" if slot.name else "begins")
        command = [*DVC, "--wait-for-lock", "repro", *job.arguments]
        environment = {**os.environ, **slot.environment, "COLORIZE_PROGRESS": str(self._records)}
        with subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=lambda: runtime.die_with_parent(signal.SIGTERM),  # if this process is killed
        ) as process:
            self._processes.add(process)
            if self._is_stopping:  # `_stop` ran before this process was registered
                job.state = jobs.STOPPING
                process.terminate()
            for line in process.stdout:
                job.output.append(runtime.escaped(line.rstrip().expandtabs()))
                self._log.write(job.name, job.output[-1])
        self._processes.discard(process)
        has_run = jobs.stage_of(job, self._records) is not None
        job.end(process.returncode, has_run)
        self._log.write(job.name, f"{job.state} after {job.seconds:.1f} s")


class Log:
    """File with the output of all jobs, each line with the job's name; the log of the previous run ends with `.1`."""

    def __init__(self, path: Path):
        self.path = path
        runtime.prepare_folder(path.parent)
        with contextlib.suppress(FileNotFoundError):
            path.replace(path.with_name(f"{path.name}.1"))
        self._file = path.open("w", buffering=1)
        self._lock = threading.Lock()

    def write(self, name: str, line: str) -> None:
        """Add one line, from any thread. Errors are ignored: on a full disk, the stages fail and report it."""
        with self._lock, contextlib.suppress(OSError):
            self._file.write(f"{name}: {line}\n")

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
