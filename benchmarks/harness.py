"""Rounds in which every contender has its turn, so that what else the machine does strikes all alike.

A ratio is taken within each round, and its median over the rounds is shown with the lowest and the highest. Absolute
rates belong to a machine and a moment; ratios travel.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from colorize import runtime

RESULTS = Path(__file__).parent / "results"
MIN_ROUNDS = 5
_TURN_S = 0.3  # a piece of work is repeated until a turn has lasted so long
_PAUSE_S = 0.3  # before a turn: the workers of the last one still prepare what they will not be asked for
_PACKAGES = ("torch", "torchvision", "triton", "numpy", "pillow", "simplejpeg", "scikit-learn", "webdataset")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # of the processor, as Linux names them


class Missing(NamedTuple):
    """A contender that cannot run here, and why."""

    reason: str


Contender = Callable[[], int] | Missing  # does a piece of work and returns how many items it was


class Row(NamedTuple):
    """What came of one contender."""

    name: str
    rate: float | None  # items a second, median; None if it did not run
    ratio: tuple[float, float, float] | None  # our rate by its rate: median, lowest, highest
    share: float | None  # its rate by the limit's, median
    note: str = ""


def run(main: Callable[[int, bool], None], description: str) -> None:
    """A benchmark as a program: `main(rounds, small)` with the options of the command line."""
    options = arguments(description)
    try:
        main(options.rounds, options.small)
    except KeyboardInterrupt:
        sys.exit("interrupted; what was measured before is in benchmarks/results")


def arguments(description: str) -> argparse.Namespace:
    """The options of every benchmark: `rounds` and `small`."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(
        "--rounds", type=int, default=7, help=f"at least {MIN_ROUNDS}, which is what counts as a result"
    )
    parser.add_argument("--small", action="store_true", help="small inputs: a few minutes at most")
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
    """Measure contenders in interleaved rounds, after a first turn of each that does not count.

    Args:
        contenders: by name.
        ours: the one that the others are compared with.
        limit: the one that nothing can be faster than, if it is among them.
        rounds: turns of each.
        device: where they work; its queue is empty at the start and at the end of every turn.

    Returns:
        a row each, in the order given.
    """
    present = {name: work for name, work in contenders.items() if not isinstance(work, Missing)}
    rates: dict[str, list[float]] = {name: [] for name in present}
    names = list(present)
    with runtime.progress("measure", (rounds + 1) * len(names), "turns") as advance:
        for turn in range(rounds + 1):
            for name in random.Random(turn).sample(names, len(names)):  # nobody is always behind the same one
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
    """A contender of a piece of work that is always as many items."""
    if isinstance(work, Missing):
        return work

    def run() -> int:
        work()
        return items

    return run


def importable(module: str, set_up: Callable[[], Callable]) -> Callable | Missing:
    """What `set_up` returns, or that the package it needs is not installed."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return Missing(f"not installed ({error})")
    return set_up()


def report(benchmark: str, question: str, rows: Sequence[Row], unit: str, **conditions: object) -> None:
    """Print a table and append it to `benchmarks/results/<benchmark>.json`.

    Args:
        benchmark: name of the file.
        question: what was measured; the table's title.
        rows: from `compare`.
        unit: of the rates.
        conditions: under which it was measured, such as the number of images.
    """
    Console(width=110).print(_table(question, rows, unit))
    record = {"question": question, "unit": unit, "conditions": conditions, "machine": machine(), "commit": _commit()}
    record |= {"versions": _versions(), "rows": [row._asdict() for row in rows]}
    path = RESULTS / f"{benchmark}.json"
    records = json.loads(path.read_text()) if path.exists() else []
    runtime.write_json(path, [*records, record])


def _table(question: str, rows: Sequence[Row], unit: str) -> Table:
    table = Table(title=question, title_justify="left")
    table.add_column("")
    for title in (unit, "ours is x times", "lowest to highest", "of the limit", ""):
        table.add_column(title, justify="right")
    for row in rows:
        if row.rate is None:
            table.add_row(row.name, "", "", "", "", row.note)
            continue
        ratio = (f"{row.ratio[0]:.3g}", f"{row.ratio[1]:.3g} to {row.ratio[2]:.3g}") if row.ratio else ("", "")
        share = "" if row.share is None else f"{row.share:.0%}"
        table.add_row(row.name, f"{float(f'{row.rate:.3g}'):,.10g}", *ratio, share, row.note)
    return table


def machine() -> dict:
    """Processor, cores that may be used, what it computes in, GPU."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name", platform.processor()),
        "cores": runtime.processes(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": round(os.getloadavg()[0], 1),  # above the number of cores: others were at work
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """Of the repository, with a plus where files differ from it."""
    command = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
