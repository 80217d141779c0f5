"""Steps of training, loader included: ours, beside the straight port of the paper's method.

    python -m benchmarks.training [--rounds N] [--small]

On a CPU also the share of its own matrix rate that our convolutions reach, in bf16 where it multiplies in that; on a
GPU the share of the compute limit, sustained over 2,000 steps, and how long the GPU is idle; and on both how the rate
grows with the batch.
"""

from __future__ import annotations

import contextlib
import itertools
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

from benchmarks import harness, inputs, straight_port
from colorize import runtime, targets
from colorize.data import feed
from colorize.data.loader import Split
from colorize.data.transform import to_networks
from colorize.models import MODELS
from colorize.models.build import build
from colorize.training.step import Objective, Step

_OPTIONS = targets.Options(num_neighbors=10, sigma=5.0, encode="pixel")
_GPU_FLOPS = 800e12  # bf16, what an H100 reaches in large products
_TRAININGS = {"regression": 1, "cnn": 2, "unet": 2}  # trainings of 500,000 steps, a data set
_UNTIMED = 5  # first steps on a GPU: compiled, made as they are, recorded
_GROWTH = {"cpu": (32, 64, 128, 256, 512, 1024), "cuda": (32, 1024)}  # images a step


class Case(NamedTuple):
    """What is trained, and how."""

    model: str
    width: float
    batch: int
    device: torch.device

    @property
    def question(self) -> str:
        """Title of a table."""
        return f"training {self.model} of width {self.width:g}, batches of {self.batch}"


def main(rounds: int, small: bool) -> None:
    """Measure on the best device there is."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    width, batches = (0.25, [8]) if small else (1.0, [256, 32] if device.type == "cuda" else [16])
    with tempfile.TemporaryDirectory() as folder:
        split = inputs.write_shards(Path(folder), 512 if small else 8192)
        cases = [Case(model, width, batch, device) for model in ("regression", "cnn", "unet") for batch in batches]
        sustained = {case: _compare(case, split, rounds, small).get("sustained") for case in cases}
        if device.type == "cuda" and not small:
            _extrapolate({case.model: rate for case, rate in sustained.items() if case.batch == batches[-1]})
        for model in ("cnn", "unet") if device.type == "cpu" else ("unet",):  # compiling takes its time
            _grow(Case(model, 0.25 if device.type == "cpu" else width, 0, device), split, rounds, small)


def _compare(case: Case, split: Split, rounds: int, small: bool) -> dict:
    """Measure one case; returns how near it comes to its limit."""
    fast = fast_precision(case.device)
    precisions = {fast, "fp32"} if case.device.type == "cpu" else {fast}
    ours = {precision: our_steps(case, precision, split) for precision in precisions}
    works = {f"ours, {precision}": _next(steps, case.device) for precision, steps in sorted(ours.items())}
    works["straight port"] = _next(_port_steps(case, split), case.device)
    works = {name: harness.counted(work, case.batch) for name, work in works.items()}
    rows = harness.compare(works, f"ours, {fast}", rounds=rounds, device=case.device)
    limits = _on_gpu if case.device.type == "cuda" else _on_cpu
    conditions = {"width": case.width, "batch": case.batch, "device": case.device.type, "small": small}
    reached = limits(case, ours[fast], split, small)
    harness.report("training", case.question, rows, "img/s", **conditions, **reached)
    torch.compiler.reset()  # it compiles a network for a few shapes only, then gives up
    return reached


def fast_precision(device: torch.device) -> str:
    """bf16 where the device multiplies in it; processors that emulate it are several times slower than in fp32."""
    has_bf16 = device.type == "cuda" or {"avx512_bf16", "amx_bf16"} & set(harness.machine()["flags"])
    return "bf16" if has_bf16 else "fp32"


def _on_cpu(case: Case, steps: Iterator, split: Split, small: bool) -> dict:
    """How near the convolutions come to the processor's own matrix products."""
    precision = fast_precision(case.device)
    limit = matrix_rate({"bf16": torch.bfloat16, "fp32": torch.float32}[precision])
    reached = convolution_flop(case, split.size) * case.batch / _convolution_seconds(steps)
    share = f"{reached / limit:.0%} of a large {precision} product's {limit / 1e9:.0f}"
    print(f"convolutions: {reached / 1e9:.0f} GFLOP/s, {share}")
    return {"convolutions_gflops": reached / 1e9, "matrix_gflops": limit / 1e9, "share_of_matrix_rate": reached / limit}


def _on_gpu(case: Case, steps: Iterator, split: Split, small: bool) -> dict:
    """How near a long run comes to the GPU's compute limit."""
    limit = _GPU_FLOPS / training_flop(case, split.size)
    rate, idle = _sustained(steps, 50 if small else 2000, case.batch), _idle_share(steps)
    print(f"sustained: {rate:,.0f} img/s, {rate / limit:.0%} of the limit of {limit:,.0f}; the GPU is idle {idle:.1%}")
    return {"sustained": rate, "limit": limit, "share_of_limit": rate / limit, "idle": idle}


def _extrapolate(rates: dict[str, float]) -> None:
    """The wall time of the paper's ten trainings, validation left out, from images/s at its batch of 32."""
    hours = {model: 2 * _TRAININGS[model] * 500_000 * 32 / rate / 3600 for model, rate in rates.items()}
    notes = {model: f"{2 * _TRAININGS[model]} trainings, {taken:.1f} h" for model, taken in hours.items()}
    rows = [harness.Row(model, rate, None, None, notes[model]) for model, rate in rates.items()]
    question = f"the steps of the paper's ten trainings on one GPU: {sum(hours.values()):.1f} h"
    conditions = {"width": 1.0, "batch": 32, "device": "cuda", "small": False}
    harness.report("training", question, rows, "img/s", **conditions, hours=sum(hours.values()))


def _grow(case: Case, split: Split, rounds: int, small: bool) -> None:
    sizes = [size for size in _GROWTH[case.device.type] if size <= (64 if small else len(split))]
    cases = {f"batch {size}": case._replace(batch=size) for size in sizes}
    precision = fast_precision(case.device)
    works = {
        name: harness.counted(_next(our_steps(of_size, precision, split), case.device), of_size.batch)
        for name, of_size in cases.items()
    }
    rows = harness.compare(works, "batch 32", rounds=rounds, device=case.device)
    question = f"training {case.model} of width {case.width:g}, by batch"
    harness.report("training", question, rows, "img/s", device=case.device.type, small=small)
    torch.compiler.reset()


def _next(steps: Iterator, device: torch.device) -> Callable[[], object]:
    """Takes a step; on a GPU the first ones, after which the allocator begins anew as well, are taken here."""
    if device.type == "cuda":
        for _ in itertools.islice(steps, _UNTIMED):
            pass
    return lambda: next(steps)


def our_steps(case: Case, precision: str, split: Split) -> Iterator[Tensor]:
    """Endless steps of our engine, fed from the shards."""
    torch.manual_seed(0)
    model = build(case.model, case.width).to(case.device, memory_format=torch.channels_last).train()
    objective = Objective(MODELS[case.model], model, torch.ones(313, device=case.device), _OPTIONS, precision)
    take_step = Step(objective, _settings(case.batch, precision), case.device)
    batches = feed.training_feed(split, case.batch, 0, case.device)
    for number in itertools.count():
        with _deterministic():
            loss = take_step(number, *to_networks(next(batches)))
        yield loss


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """As trainings are, but for the others."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def _port_steps(case: Case, split: Split) -> Iterator[float]:
    torch.manual_seed(0)
    settings = _settings(case.batch, "fp32")
    port = straight_port.StraightPort(case.model, case.width, torch.ones(313), settings, case.device)
    batches = straight_port.loader(split.images(np.arange(len(split))), case.batch, runtime.processes())
    epochs = itertools.chain.from_iterable(itertools.repeat(batches))
    return (port(*(part.to(case.device, non_blocking=True) for part in pair)) for pair in epochs)


def _settings(batch: int, precision: str) -> SimpleNamespace:
    """The section `train` of the paper's parameters, as far as a step needs it."""
    paper = {"lr": 3e-5, "beta1": 0.9, "beta2": 0.99, "weight_decay": 1e-3, "clip_norm": 5.0, "schedule": "constant"}
    return SimpleNamespace(**paper, steps=500_000, batch_size=batch, precision=precision)


def convolution_flop(case: Case, size: int) -> float:
    """Arithmetic of the convolutions in a step, an image: forward, and twice that backward (but for the first input).

    What `UpConv2d` computes is counted, 4/9 of what upsampling and convolution would; the head is not a convolution.
    """
    model, total = build(case.model, case.width).eval(), 0

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
    """Arithmetic of a step by the paper's own layers, an image: what the compute limit is about."""
    model = straight_port.unfuse(build(case.model, case.width)).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 1, size, size))
    return 3 * counter.get_total_flops()


def matrix_rate(dtype: torch.dtype, side: int = 2048) -> float:
    """FLOP/s of a large matrix product, the best of ten."""
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def _convolution_seconds(steps: Iterator) -> float:
    """Seconds that the convolutions of one step take, the median of five."""
    seconds = []
    for _ in range(5):
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            next(steps)
        of_convolutions = (event for event in profiled.key_averages() if "convolution" in event.key)
        seconds.append(sum(event.self_cpu_time_total for event in of_convolutions) / 1e6)
    return float(np.median(seconds))


def _idle_share(steps: Iterator, count: int = 30) -> float:
    """Share of the time in which no kernel runs on the GPU."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            next(steps)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    busy = sum(event.self_device_time_total for event in profiled.key_averages()) / 1e6
    return max(0.0, 1 - busy / seconds)


def _sustained(steps: Iterator, count: int, batch: int) -> float:
    """Images/s over many steps."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        next(steps)
    torch.cuda.synchronize()
    return count * batch / (time.perf_counter() - start)


if __name__ == "__main__":
    harness.run(main, __doc__)
