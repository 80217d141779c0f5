"""The kernels of a training step on a GPU by kind: how many there are, and how long they take."""

from __future__ import annotations

import itertools
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

_PATTERNS = {  # kind of a kernel -> what its name contains; the first pattern that matches decides
    "workspace initialization": r"init_device_workspace|Memset|ompute\w*OffsetsKernel|setTensor\dd_kernel|scalePacked",
    "our loss kernel": r"_overwrite_logits",
    "our input kernels": r"_weighted_targets|_to_networks",
    "BatchNorm": r"triton_(red|per|mix)_fused\w*batch_norm|^(?!triton_).*(batch_norm_|bn_[fb]w_)",
    "pointwise by Inductor": r"^triton_",
    "optimizer": r"multi_tensor_apply|lpnorm_cleanup|[aA]dam",
    "convolutions": r"fprop|dgrad|wgrad|implicit|conv|cudnn|nchwTo|nhwcTo|winograd",
    "products of the head": r"gemm|nvjet|cublas|splitKreduce|gemv|cutlass",
}
OTHER = "other"
KINDS = (*_PATTERNS, OTHER)
_EXAMPLES = 60  # kernels that a record lists by name, the longest first


class Kernel(NamedTuple):
    """All calls of one kernel in a step."""

    ms: float
    calls: float


def kind_of(name: str) -> str:
    """The kind of a kernel, one of KINDS, from its name in torch's profiler."""
    return next((kind for kind, pattern in _PATTERNS.items() if re.search(pattern, name)), OTHER)


def measure(steps: Iterator, count: int = 30) -> tuple[dict[str, Kernel], float]:
    """The kernels of a step by name, means over `count` steps; the share of the time in which no kernel runs."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in itertools.islice(steps, count):
            pass
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    events = [event for event in profiled.key_averages() if event.self_device_time_total]
    found = {event.key: Kernel(event.self_device_time_total / 1e3 / count, event.count / count) for event in events}
    busy = sum(event.self_device_time_total for event in events) / 1e6
    return found, max(0.0, 1 - busy / seconds)


def by_kind(found: Mapping[str, Kernel]) -> dict[str, Kernel]:
    """Sums over the kernels of each kind, in the order of KINDS."""
    groups = defaultdict(list)
    for name, kernel in found.items():
        groups[kind_of(name)].append(kernel)
    return {kind: Kernel(*map(sum, zip(*groups[kind], strict=True))) for kind in KINDS if kind in groups}


def details(found: Mapping[str, Kernel]) -> dict:
    """What a record keeps: the sums by kind, and the longest kernels, which show whether the kinds are right."""
    longest = sorted(found.items(), key=lambda item: -item[1].ms)[:_EXAMPLES]
    return {
        "kernels": {kind: kernel._asdict() for kind, kernel in by_kind(found).items()},
        "longest_kernels": [
            {"name": name[:160], "kind": kind_of(name), **kernel._asdict()} for name, kernel in longest
        ],
    }


def show(title: str, found: Mapping[str, Kernel]) -> None:
    """Print the table of kinds."""
    table = Table(title=title, title_justify="left")
    table.add_column("kernels")
    for heading in ("ms per step", "kernels per step"):
        table.add_column(heading, justify="right")
    sums = by_kind(found)
    for kind, kernel in [*sums.items(), ("all", Kernel(*map(sum, zip((0, 0), *sums.values(), strict=True))))]:
        table.add_row(kind, f"{kernel.ms:.3f}", f"{kernel.calls:.0f}")
    Console(width=110).print(table)
