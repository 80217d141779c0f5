"""The paper's ten trainings as processes that share one GPU, 1, 2, 5 or 10 at the same time, with and without MPS.

    python -m benchmarks.side_by_side [--rounds N] [--small]

All processes are started and compiled before the first measurement; a process that does not train waits. In a turn,
every training takes the same number of steps at batch size 32, in the order of `make repro`: when one ends, the next
one begins. The rate is the number of images of all ten, divided by the time until the last one has ended. The time of
the paper's trainings, with 500,000 steps each, follows from the rate. The limit is the rate of one training at a time,
at batch size 256 and with the same number of images of each model.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks import harness, inputs, training
from colorize import runtime
from colorize.data.split import Split
from tools import gpu_sharing

_BATCH, _LARGE_BATCH = 32, 256  # of the paper, and of the peer
_PAPER_STEPS = 500_000
_NETWORKS = ("unet", "unet", "cnn", "cnn", "regression")  # of the five models of a data set, the most expensive first
_DATASETS = 2


class Plan(NamedTuple):
    """What is measured."""

    networks: tuple[str, ...]  # of all trainings, in their order
    at_once: tuple[int, ...]
    steps: int  # of each training in a turn
    batch: int
    large_batch: int
    width: float


class Worker:
    """A process that trains when it is asked to.

    Args:
        network: name of its model.
        batch: images per step.
        width: factor for the number of channels.
        folder: a split.
        environment: further variables.
    """

    def __init__(self, network: str, batch: int, width: float, folder: Path, environment: dict[str, str]):
        self.batch = batch
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.side_by_side", "work", network, str(batch), str(width), str(folder)],
            env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def expect(self, word: str) -> None:
        """Wait until the process says this word."""
        if (said := self._process.stdout.readline().strip()) != word:
            raise runtime.DataError(f"a training said {said!r} instead of {word!r}; its error is above")

    def take(self, steps: int) -> int:
        """Take so many steps, and return the number of images."""
        self._process.stdin.write(f"{steps}\n")
        self.expect("done")
        return steps * self.batch

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def main(rounds: int, small: bool) -> None:
    """Measure on a GPU if there is one, otherwise on the CPU."""
    gpus = (runtime.gpus() or ["0"]) if torch.cuda.is_available() else []
    possible = training.networks()
    ten = tuple(name for name in _NETWORKS for _ in range(_DATASETS) if name in possible)
    plan = Plan(ten, (1, 2, 5, 10), 40, _BATCH, _LARGE_BATCH, 1.0)
    if small or not gpus:
        plan = Plan(("unet", "cnn", "cnn"), (1, 2), 2, 4, 8, 0.05)
    with (
        tempfile.TemporaryDirectory() as folder,
        gpu_sharing.share(gpus[:1], len(plan.networks)) as sharing,
        contextlib.ExitStack() as workers,
    ):
        inputs.write_shards(Path(folder), 64 if small else 8192)
        found = _contenders(plan, Path(folder), sharing, gpus, workers)
        ours = _name(plan.at_once[-1], _has_mps(sharing))
        rows = harness.compare(found, ours, rounds=rounds)
    _report(plan, rows, ours, sharing, "cuda" if gpus else "cpu", small)


def _contenders(
    plan: Plan, folder: Path, sharing: gpu_sharing.Sharing, gpus: Sequence[str], workers: contextlib.ExitStack
) -> dict[str, harness.Contender]:
    alone = {} if gpus else {"OMP_NUM_THREADS": "1"}
    shared = {**alone, "COLORIZE_CELLS_PER_GPU": str(len(plan.networks))}

    def start(networks: Sequence[str], batch: int, environment: dict[str, str]) -> list[Worker]:
        started = [Worker(network, batch, plan.width, folder, environment) for network in networks]
        for worker in started:
            workers.callback(worker.end)
        for worker in started:
            worker.expect("ready")
        return started

    distinct = dict.fromkeys(plan.networks)
    large = dict(zip(distinct, start([*distinct], plan.large_batch, alone), strict=True))
    sliced = start(plan.networks, plan.batch, shared)
    mps = start(plan.networks, plan.batch, {**shared, **sharing.environments[gpus[0]]}) if _has_mps(sharing) else []
    found: dict[str, harness.Contender] = {}
    for count in plan.at_once:
        found[_name(count, False)] = _turn(sliced, count, plan.steps)
        reason = sharing.how.partition("not available: ")[2] or "there is no GPU"
        found[_name(count, True)] = _turn(mps, count, plan.steps) if mps else harness.Missing(reason)
    steps = max(1, plan.steps * plan.batch // plan.large_batch)
    found[_large(plan)] = _turn([large[network] for network in plan.networks], 1, steps)
    return found


def _has_mps(sharing: gpu_sharing.Sharing) -> bool:
    return any("CUDA_MPS_PIPE_DIRECTORY" in variables for variables in sharing.environments.values())


def _name(count: int, has_mps: bool) -> str:
    return f"{count} at the same time, {'MPS' if has_mps else 'time slicing'}"


def _large(plan: Plan) -> str:
    return f"1 at a time, batch {plan.large_batch}"


def _turn(workers: Sequence[Worker], count: int, steps: int) -> harness.Contender:
    """All trainings take their steps, `count` of them at the same time."""

    def run() -> int:
        with ThreadPoolExecutor(count) as pool:
            return sum(pool.map(lambda worker: worker.take(steps), workers))

    return run


def _report(
    plan: Plan, rows: list[harness.Row], ours: str, sharing: gpu_sharing.Sharing, device: str, small: bool
) -> None:
    large = next(row.rate for row in rows if row.name == _large(plan))
    hours = {
        row.name: _PAPER_STEPS * _BATCH * len(plan.networks) / row.rate / 3600
        for row in rows
        if row.rate and row.name != _large(plan)
    }
    rows = [
        row._replace(
            share=row.rate / large if row.rate else None,
            note=f"the paper's trainings: {hours[row.name]:.1f} h" if row.name in hours else row.note,
        )
        for row in rows
    ]
    conditions = {"batch": plan.batch, "width": plan.width, "trainings": len(plan.networks), "device": device}
    harness.report(
        "side_by_side", f"Training: the paper's trainings on one GPU, {ours}", rows, "img/s", _large(plan),
        {"hours": hours, "sharing": sharing.how}, **conditions, small=small,
    )  # fmt: skip


def work(network: str, batch: int, width: float, folder: Path) -> None:
    """Take as many steps as each line of stdin says; the child process of a `Worker`."""
    runtime.die_with_parent(9)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    case = training.Case(network, width, batch, device)
    steps = training.our_steps(case, training.fast_precision(device), Split(folder))
    _take(steps, training.UNTIMED, device)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # the first steps are not replayed; others need their memory
    print("ready", flush=True)
    for line in sys.stdin:
        _take(steps, int(line), device)
        print("done", flush=True)


def _take(steps: Iterator, count: int, device: torch.device) -> None:
    for _ in itertools.islice(steps, count):
        pass
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]))
    else:
        harness.run(main, __doc__)
