"""Training steps, loader included, compared with ports of the paper's method: the straight one, an expert's on a GPU.

    python -m benchmarks.training [--rounds N] [--small]

The limit on a CPU is the rate of a large matrix product, in bf16 if the CPU has bf16 instructions; our share is that of
the convolutions alone. The limit on a GPU is the arithmetic of the paper's layers at 800 TFLOP/s; our share is the
rate over many steps without peers. The script also measures how long the GPU is idle, and how much time each kind of
kernel takes (`kernels.py`).
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import expert_port, harness, inputs, kernels, straight_port
from colorize import runtime
from colorize.color import targets
from colorize.data import loader
from colorize.data.split import Split
from colorize.data.transform import to_networks
from colorize.models.contract import build_model
from colorize.training.step import Objective, Step

OPTIONS = targets.Options(num_neighbors=10, sigma=5.0, encode="pixel")
_GPU_FLOPS = 800e12  # what an H100 reaches in large bf16 products
_TRAININGS = {"regression": 1, "cnn": 2, "unet": 2}  # trainings of 500,000 steps per data set
UNTIMED = 5  # first steps on a GPU, in which kernels are compiled and the CUDA graph is recorded
QUESTION = "Training: steps, loader included"


class Case(NamedTuple):
    """The model, its width, the batch size and the device."""

    model: str
    width: float
    batch: int
    device: torch.device


class Reached(NamedTuple):
    """Our share of the limit."""

    share: float
    limit: str
    note: str
    details: dict


def main(rounds: int, small: bool) -> None:
    """Measure on a GPU if there is one, otherwise on the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    width, batches = (0.25, [8]) if small else (1.0, [256, 32] if device.type == "cuda" else [16])
    with tempfile.TemporaryDirectory() as folder:
        split = inputs.write_shards(Path(folder), 512 if small else 8192)
        cases = _in_order([Case(model, width, batch, device) for batch in batches for model in networks()])
        if device.type == "cuda":
            _compile_ahead(cases, split)
        reached = {case: _compare(case, split, rounds, small).details for case in cases}
        if device.type == "cuda" and not small:
            paper = {case.model: details["sustained"] for case, details in reached.items() if case.batch == batches[-1]}
            _extrapolate(paper)


def _in_order(cases: list[Case]) -> list[Case]:
    """The regression last, as its steps are the cheapest: an interruption loses the least important records."""
    return sorted(cases, key=lambda case: case.model == "regression")


def _compile_ahead(cases: list[Case], split: Split) -> None:
    """Compile all networks at the same time, in one process each; this process then finds the compiled code."""
    command = [sys.executable, "-m", "benchmarks.training", "compile", str(split.folder)]
    environment = {**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "2"}
    children = [
        subprocess.Popen([*command, case.model, str(case.width), str(case.batch), who], env=environment)
        for case in cases
        for who in _COMPILED
    ]
    for child in children:
        child.wait()  # if it fails, this process compiles


def compile_case(folder: str, model: str, width: str, batch: str, who: str) -> None:
    """Take one step; the child process of `_compile_ahead`."""
    runtime.die_with_parent(9)
    case = Case(model, float(width), int(batch), torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    next(_COMPILED[who](case, fast_precision(case.device), Split(Path(folder))))


def networks() -> list[str]:
    """The paper's different networks, without the regression if torchvision is missing, which has its encoder."""
    try:
        importlib.import_module("torchvision")
    except ImportError as error:
        runtime.say(f"regression is left out ({error})")
        return ["cnn", "unet"]
    return ["regression", "cnn", "unet"]


def _compare(case: Case, split: Split, rounds: int, small: bool) -> Reached:
    """Measure one case and return its share of the limit."""
    fast = fast_precision(case.device)
    precisions = {fast, "fp32"} if case.device.type == "cpu" else {fast}
    ours = {precision: our_steps(case, precision, split) for precision in precisions}
    works = {f"ours, {precision}": next_of(steps, case.device) for precision, steps in sorted(ours.items())}
    works["straight port"] = next_of(_port_steps(case, split), case.device)
    if case.device.type == "cuda":
        works["expert's port"] = next_of(_expert_steps(case, fast, split), case.device)
    works = {name: harness.counted(work, case.batch) for name, work in works.items()}
    rows = harness.compare(works, f"ours, {fast}", rounds=rounds, device=case.device)
    reached = (_on_gpu if case.device.type == "cuda" else _on_cpu)(case, ours[fast], split, small)
    is_ours = f"ours, {fast}"
    rows = [row._replace(share=reached.share, note=reached.note) if row.name == is_ours else row for row in rows]
    conditions = {"model": case.model, "precision": fast, "width": case.width, "batch": case.batch}
    harness.report(
        "training", QUESTION, rows, "img/s", reached.limit, reached.details,
        **conditions, device=case.device.type, small=small,
    )  # fmt: skip
    torch.compiler.reset()  # torch compiles a network for a few shapes only, then gives up
    return reached


def fast_precision(device: torch.device) -> str:
    """Return bf16 if the device has instructions for it; processors that emulate it are faster in fp32."""
    has_bf16 = device.type == "cuda" or {"avx512_bf16", "amx_bf16"} & set(harness.machine()["flags"])
    return "bf16" if has_bf16 else "fp32"


def _on_cpu(case: Case, steps: Iterator, split: Split, small: bool) -> Reached:
    """Compare the FLOP/s of the convolutions with those of a large matrix product."""
    precision = fast_precision(case.device)
    limit = matrix_rate({"bf16": torch.bfloat16, "fp32": torch.float32}[precision])
    reached = convolution_flop(case, split.size) * case.batch / _convolution_seconds(steps)
    details = {"convolutions_gflops": reached / 1e9, "matrix_gflops": limit / 1e9}
    return Reached(reached / limit, f"a large {precision} product (convolutions only)", "", details)


def _on_gpu(case: Case, steps: Iterator, split: Split, small: bool) -> Reached:
    """Compare the rate of many steps with the GPU's compute limit."""
    limit = _GPU_FLOPS / training_flop(case, split.size)
    count = 50 if small else 2000 if case.batch <= 32 else 500
    rate = _sustained(steps, count, case.batch)
    found, idle = kernels.measure(steps)
    kernels.show(f"a step of {case.model}, batch {case.batch}", found)
    note = f"{float(f'{rate:.3g}'):,.0f} img/s over {count:,} steps, GPU idle {idle:.0%}"
    details = {"sustained": rate, "limit": limit, "idle": idle, **kernels.details(found)}
    return Reached(rate / limit, "800 TFLOP/s", note, details)


def _extrapolate(rates: dict[str, float]) -> None:
    """Extrapolate img/s at the paper's batch size of 32 to the time of its ten trainings, without validation."""
    hours = {model: 2 * _TRAININGS[model] * 500_000 * 32 / rate / 3600 for model, rate in rates.items()}
    notes = {model: f"{2 * _TRAININGS[model]} trainings, {taken:.1f} h" for model, taken in hours.items()}
    rows = [harness.Row(model, rate, None, None, notes[model]) for model, rate in rates.items()]
    count = sum(2 * _TRAININGS[model] for model in hours)
    question = f"Training: the steps of {count} of the paper's ten trainings on one GPU: {sum(hours.values()):.1f} h"
    details = {"hours": sum(hours.values())}
    harness.report("training", question, rows, "img/s", None, details, width=1.0, batch=32, device="cuda", small=False)


def next_of(steps: Iterator, device: torch.device) -> Callable[[], object]:
    """Return a function that takes one step; on a GPU this takes the first steps, which are slower, at once."""
    if device.type == "cuda":
        for _ in itertools.islice(steps, UNTIMED):
            pass
    return lambda: next(steps)


def our_steps(case: Case, precision: str, split: Split) -> Iterator[Tensor]:
    """Take endless steps with our engine, with batches from the shards."""
    torch.manual_seed(0)
    model = build_model(case.model, case.width).to(case.device, memory_format=torch.channels_last).train()
    objective = Objective(model, torch.ones(313, device=case.device), OPTIONS, precision)
    take_step = Step(objective, settings_of(case.batch, precision), case.device)
    batches = loader.training_batches(split, case.batch, 0, case.device)
    for number in itertools.count():
        with _deterministic():
            loss = take_step(number, *to_networks(next(batches)))
        yield loss


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """Use deterministic algorithms, as our trainings do, but only during our steps."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def _port_steps(case: Case, split: Split) -> Iterator[float]:
    torch.manual_seed(0)
    settings = settings_of(case.batch, "fp32")
    port = straight_port.StraightPort(case.model, case.width, torch.ones(313), settings, case.device)
    batches = straight_port.loader(split.images(np.arange(len(split))), case.batch, runtime.processes())
    epochs = itertools.chain.from_iterable(itertools.repeat(batches))
    return (port(*(part.to(case.device, non_blocking=True) for part in pair)) for pair in epochs)


def _expert_steps(case: Case, precision: str, split: Split) -> Iterator[Tensor]:
    torch.manual_seed(0)
    settings, images = settings_of(case.batch, precision), split.images(np.arange(len(split)))
    port = expert_port.ExpertPort(case.model, case.width, torch.ones(313), settings, case.device, images)
    return port.steps(case.batch)


_COMPILED = {"ours": our_steps, "expert": _expert_steps}  # who compiles on a GPU


def settings_of(batch: int, precision: str) -> SimpleNamespace:
    """The values of the section `train` in the paper's parameters that a step needs."""
    paper = {"lr": 3e-5, "beta1": 0.9, "beta2": 0.99, "weight_decay": 1e-3, "clip_norm": 5.0, "schedule": "constant"}
    return SimpleNamespace(**paper, steps=500_000, batch_size=batch, precision=precision)


def convolution_flop(case: Case, size: int) -> float:
    """FLOP per image of the convolutions in a step: forward, and twice as many backward (once for the first layer).

    `UpConv2d` counts with what it computes, 4/9 of upsampling and convolution. The head counts as no convolution.
    """
    model, total = build_model(case.model, case.width).eval(), 0

    def count(module: nn.Conv2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        taps = 2 * 2 / (3 * 3) if type(module) is not nn.Conv2d else 1
        forward = 2 * taps * module.weight.numel() * output.shape[-2] * output.shape[-1]
        total += forward * (2 if module.in_channels == 1 else 3)

    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
            module.register_forward_hook(count)
    with torch.inference_mode():
        model(torch.zeros(1, 1, size, size))
    return total


def training_flop(case: Case, size: int) -> float:
    """FLOP per image of a step with the paper's own layers, from which the compute limit follows."""
    model = straight_port.unfuse(build_model(case.model, case.width)).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 1, size, size))
    return 3 * counter.get_total_flops()


def matrix_rate(dtype: torch.dtype, side: int = 2048) -> float:
    """FLOP/s of a large matrix product, the best of ten runs."""
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def _convolution_seconds(steps: Iterator) -> float:
    """Time of the convolutions in one step, seconds, median of five steps."""
    seconds = []
    for _ in range(5):
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            next(steps)
        of_convolutions = (event for event in profiled.key_averages() if "convolution" in event.key)
        seconds.append(sum(event.self_cpu_time_total for event in of_convolutions) / 1e6)
    return float(np.median(seconds))


def _sustained(steps: Iterator, count: int, batch: int) -> float:
    """Images per second over many steps."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        next(steps)
    torch.cuda.synchronize()
    return count * batch / (time.perf_counter() - start)


if __name__ == "__main__":
    if sys.argv[1:2] == ["compile"]:
        compile_case(*sys.argv[2:])
    else:
        harness.run(main, __doc__)
