"""Measures contenders in interleaved rounds, prints a table and writes a record.

Every contender runs once per round, in random order, so that other load on the machine affects all contenders alike. A
ratio compares two rates of the same round. The table shows its median, lowest and highest value over the rounds.
Ratios are comparable between machines of one kind; rates are not.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.figures import LIMIT, conditions_text
from colorize import runtime
from tools.facts import processor_fields

RECORDS = Path(__file__).parent / "records"  # ignored by git
MIN_ROUNDS = 5
_REPO = Path(__file__).resolve().parents[1]
_TURN_S = 0.3  # the work is repeated until the turn has lasted at least this long
_PAUSE_S = 0.3  # before each turn, while worker processes of the previous contender still fill their queues
_PACKAGES = (
    "torch", "torchvision", "triton", "numpy", "pillow", "simplejpeg", "scikit-image", "scikit-learn", "webdataset",
    "mosaicml-streaming", "opencv-python-headless",
)  # fmt: skip
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # names of processor features in /proc/cpuinfo


class Missing(NamedTuple):
    """A contender that cannot run on this machine, and the reason."""

    reason: str


Contender = Callable[[], int] | Missing  # works once and returns the number of processed items


class Row(NamedTuple):
    """The result of one contender."""

    name: str
    rate: float | None  # items per second, median over the rounds; None if the contender did not run
    ratio: tuple[float, float, float] | None  # our rate divided by this rate: median, lowest, highest; None for ours
    share: float | None  # this rate divided by the rate of the limit, median
    note: str = ""


def run(main: Callable[[int, bool], None], description: str) -> None:
    """Run `main(rounds, small)` with the options of the command line."""
    options = arguments(description)
    try:
        main(options.rounds, options.small)
    except KeyboardInterrupt:
        sys.exit(f"interrupted; finished measurements are in {os.path.relpath(RECORDS)}")


def arguments(description: str) -> argparse.Namespace:
    """Parse the options that every benchmark has: `rounds` and `small`."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    help_text = f"number of rounds, at least {MIN_ROUNDS} (default: 7); every contender runs once per round"
    parser.add_argument("--rounds", type=int, default=7, help=help_text)
    parser.add_argument("--small", action="store_true", help="use small inputs; takes a few minutes at most")
    found = parser.parse_args()
    if found.rounds < MIN_ROUNDS:
        parser.error(f"--rounds {found.rounds}: expected at least {MIN_ROUNDS}")
    return found


def compare(
    contenders: dict[str, Contender],
    ours: str,
    limit: str | None = None,
    rounds: int = 7,
    device: torch.device | str = "cpu",
) -> list[Row]:
    """Measure contenders in interleaved rounds, after one round of warm-up that is not counted.

    Args:
        contenders: the contenders by name.
        ours: name of the contender that all others are compared with.
        limit: name of the contender that measures the limit, if there is one.
        rounds: number of turns of each contender.
        device: the device of the work; each turn starts and ends with its queue empty.

    Returns:
        One row per contender, in the given order.
    """
    present = {name: work for name, work in contenders.items() if not isinstance(work, Missing)}
    rates: dict[str, list[float]] = {name: [] for name in present}
    names = list(present)
    with runtime.progress("measure", (rounds + 1) * len(names), "turns") as advance:
        for turn in range(rounds + 1):
            for name in random.Random(turn).sample(names, len(names)):  # so that no two always follow each other
                time.sleep(_PAUSE_S)
                rate = _rate(present[name], torch.device(device))
                rates[name] += [rate] if turn else []
                advance(1)
    return [_row(name, work, rates, ours, limit) for name, work in contenders.items()]


def _rate(work: Callable[[], int], device: torch.device) -> float:
    _wait(device)
    items, start, seconds = 0, time.perf_counter(), 0.0
    while seconds < _TURN_S:
        items += work()
        _wait(device)
        seconds = time.perf_counter() - start
    return items / seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _row(name: str, work: Contender, rates: dict[str, list[float]], ours: str, limit: str | None) -> Row:
    if isinstance(work, Missing):
        return Row(name, None, None, None, work.reason)
    ratios = [our / its for our, its in zip(rates[ours], rates[name], strict=True)]
    shares = [its / most for its, most in zip(rates[name], rates[limit], strict=True)] if limit else []
    spread = (median(ratios), min(ratios), max(ratios))
    return Row(name, median(rates[name]), None if name == ours else spread, median(shares) if shares else None)


def counted(work: Callable[[], object] | Missing, items: int) -> Contender:
    """Make a contender of work that always processes the same number of items."""
    if isinstance(work, Missing):
        return work

    def run() -> int:
        work()
        return items

    return run


def importable(module: str, set_up: Callable[[], Callable]) -> Callable | Missing:
    """Return what `set_up` returns, or `Missing` if the package that it needs is not installed."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return Missing(f"not installed ({error})")
    return set_up()


def report(
    benchmark: str,
    question: str,
    rows: Sequence[Row],
    unit: str,
    limit: str | None = None,
    details: dict | None = None,
    **conditions: object,
) -> None:
    """Print a table and write it as `benchmarks/records/<benchmark>-<time>.json`.

    Args:
        benchmark: name of the script.
        question: what was measured.
        rows: the result of `compare`.
        unit: unit of the rates.
        limit: what our share is a share of; by default the row whose name ends with "(limit)".
        details: further values that were measured.
        conditions: settings of the measurement, such as the number of images.
    """
    now = datetime.now(UTC)
    commit, clean_tree = code_version()
    limits = [row.name.removesuffix(LIMIT) for row in rows if row.name.endswith(LIMIT)]
    record = {"benchmark": benchmark, "question": question, "unit": unit, "conditions": conditions}
    record |= {"limit": limit or next(iter(limits), None), "details": details or {}, "machine": machine()}
    record |= {"date": now.isoformat(timespec="seconds"), "commit": commit, "clean_tree": clean_tree}
    record |= {"versions": _versions(), "rows": [row._asdict() for row in rows]}
    path = RECORDS / f"{benchmark}-{now:%Y%m%d-%H%M%S-%f}.json"
    runtime.write_json(path, record)
    title = ", ".join(text for text in (question, conditions_text(conditions)) if text)
    Console(width=110).print(_table(title, rows, unit))
    print(f"record: {os.path.relpath(path)}\n")


def _table(title: str, rows: Sequence[Row], unit: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("contender")
    for heading in (unit, "ratio", "range", "share of limit", "note"):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.rate is None:
            table.add_row(row.name, "", "", "", "", row.note)
            continue
        ratio = (f"{row.ratio[0]:.3g}", f"{row.ratio[1]:.3g} to {row.ratio[2]:.3g}") if row.ratio else ("", "")
        share = "" if row.share is None else f"{row.share:.0%}"
        table.add_row(row.name, f"{float(f'{row.rate:.3g}'):,.10g}", *ratio, share, row.note)
    return table


def machine() -> dict:
    """Describe the processor, the usable cores, the GPU and the load."""
    fields = processor_fields()
    flags = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name", platform.processor()),
        "cores": runtime.processes(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": round(os.getloadavg()[0], 1),  # mean of the last minute, this benchmark included
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code_version() -> tuple[str | None, bool | None]:
    """Return the commit, and whether the working tree is clean; None where neither git nor BENCHMARK_COMMIT says it.

    BENCHMARK_COMMIT is for machines that have a copy of the files without `.git`. A plus at its end means that some
    files differed from the commit.
    """
    if named := os.environ.get("BENCHMARK_COMMIT"):
        return named.removesuffix("+"), not named.endswith("+")
    git = ["git", "-C", str(_REPO)]
    options = {"capture_output": True, "text": True, "check": True}
    options["env"] = os.environ | {"GIT_CEILING_DIRECTORIES": str(_REPO.parent)}  # never the repository around a copy
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], **options).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], **options).stdout
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit, not changes
