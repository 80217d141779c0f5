"""What a training costs besides its steps: the first one, which compiles, and the second one, which finds the code.

    python -m benchmarks.cell [--rounds N] [--small]

Each training is a process of its own, with the paper's batch size and two validations like those of the paper. From
the time between its start and its end, the script subtracts the number of steps times the duration of a later step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

_STARTED = time.time()  # before torch is imported

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks import harness, inputs, training  # noqa: E402 - see above
from colorize import runtime  # noqa: E402
from colorize.color.gamut import NUM_BINS  # noqa: E402
from colorize.layout import Folders, Run  # noqa: E402
from colorize.training import loop  # noqa: E402

_MODEL = "unet"
_DATASET = "crops"
_UNTIMED = 20  # first steps, some of which compile or record


class Plan(NamedTuple):
    """The size of a training."""

    width: float
    batch: int
    steps: int
    train_images: int
    val_images: int


def main(rounds: int, small: bool) -> None:
    """Measure on a GPU if there is one, otherwise on the CPU; `rounds` has no effect, as only one training is first."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plan = Plan(1.0, 32, 500, 16384, 10_000) if device == "cuda" and not small else Plan(0.05, 4, 40, 32, 8)
    with tempfile.TemporaryDirectory() as name:
        folders = _prepare(Path(name), plan)
        found = {which: _train_in_child(folders, plan) for which in ("first training", "second training")}
    rows = [harness.Row(which, parts["besides steps"], None, None, _note(parts)) for which, parts in found.items()]
    conditions = {"model": _MODEL, "width": plan.width, "batch": plan.batch, "device": device, "small": small}
    question = "A training's cost besides its steps"
    harness.report("cell", question, rows, "s", None, found, **conditions)


def _prepare(root: Path, plan: Plan) -> Folders:
    """Write the shards, and a prior in which all colors are equal."""
    folders = Folders(root)
    for split, count in (("train", plan.train_images), ("val", plan.val_images)):
        inputs.write_shards(folders.shards(split, _DATASET), count, 64 if plan.width == 1 else 16)
    equal = {"class_weights": 1.0, "measured_weights": 1.0, "initial_distribution": 1 / NUM_BINS}
    for name, value in equal.items():
        array = np.full(NUM_BINS, value)
        runtime.write_array(folders.prior(_DATASET) / f"{name}-{_MODEL}.npy", array)
    return folders


def _train_in_child(folders: Folders, plan: Plan) -> dict[str, float]:
    """Seconds of the parts of a training; code that was compiled by another benchmark is not used."""
    root = folders.root.resolve()
    kept = root / ".state" / "compiled"
    environment = {
        **os.environ,
        "DVC_ROOT": str(root),
        "TORCHINDUCTOR_CACHE_DIR": str(kept),
        "TRITON_CACHE_DIR": str(kept / "triton"),
    }
    started = time.time()
    command = [sys.executable, "-m", "benchmarks.cell", "train", str(root), json.dumps(plan)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    wall = time.time() - started
    parts = json.loads(done.stdout.splitlines()[-1])
    return {"besides steps": wall - parts.pop("steps"), **parts, "wall": wall}


def _note(parts: dict[str, float]) -> str:
    names = [name for name in parts if name not in ("besides steps", "wall")]
    return ", ".join(f"{name} {parts[name]:.1f} s" for name in names)


def train(root: Path, plan: Plan) -> None:
    """Train, and print the seconds of the parts as JSON; the child process."""
    clock = _Clock(plan.steps)
    clock.add("imports", time.time() - _STARTED)
    for owner, name, part in (
        (loop, "_open", "data"),
        (loop, "_build", "model"),
        (loop.validation, "validate", "validations"),
        (loop.validation, "write_picture", "picture"),
        (loop.files, "save", "save"),
    ):
        setattr(owner, name, clock.timed(part, getattr(owner, name)))
    loop.Step.__call__ = clock.timed_steps(loop.Step.__call__)
    device = runtime.set_up_torch()
    settings = _Settings(
        **vars(training.settings_of(plan.batch, training.fast_precision(torch.device(device)))),
        width=plan.width, pretrained=False, head_bias="zero", select="last", val_every=10**9,
        val_images=plan.val_images, pictures_every=10**9,
    )  # fmt: skip
    settings.steps = plan.steps
    loop.train(Run(_DATASET, _MODEL, 0), settings, training.OPTIONS, Folders(root), "code", device).remove()
    print(json.dumps(clock.parts))


class _Settings(SimpleNamespace):
    """The section `train` of the parameters, without pydantic."""

    def model_dump(self) -> dict:
        return vars(self)


class _Clock:
    """Adds up the seconds of parts of a training."""

    def __init__(self, steps: int):
        self.parts: dict[str, float] = {}
        self._steps = steps
        self._last = 0.0

    def add(self, part: str, seconds: float) -> None:
        self.parts[part] = self.parts.get(part, 0.0) + seconds

    def timed(self, part: str, function: Callable) -> Callable:
        """The same function; its seconds are added to a part."""

        def run(*arguments: object, **options: object) -> object:
            start = _now()
            result = function(*arguments, **options)
            self.add(part, _now() - start)
            return result

        return run

    def timed_steps(self, function: Callable) -> Callable:
        """The same method; "first steps" compile and record, "steps" is what all would cost without that."""

        def take(step: object, number: int, *batch: object) -> object:
            if number in (0, _UNTIMED):
                self.add("first steps", _now() - self._last if number else 0)
                self._last = _now()
            result = function(step, number, *batch)
            if number == self._steps - 1:
                each = (_now() - self._last) / (self._steps - _UNTIMED)
                self.add("steps", self._steps * each)
            return result

        return take


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train(Path(sys.argv[2]), Plan(*json.loads(sys.argv[3])))
    else:
        harness.run(main, __doc__)
