"""What differs from run to run and must not be in any result: commit, machine, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from colorize import runtime


def describe() -> str:
    """One line, such as `commit 1a2b3c4 with changes; 2 cores, Intel(R) Xeon(R) CPU; Python 3.11.7, torch 2.9.1`."""
    return "; ".join([_commit(), _machine(), f"Python {platform.python_version()}, torch {metadata.version('torch')}"])


def _commit() -> str:
    commit = _git("rev-parse", "--short", "HEAD")
    if not commit:
        return "no commit"
    return f"commit {commit}" + (" with changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str:
    """What git prints; empty if there is no git or no repository."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def _machine() -> str:
    gpus = runtime.gpus()
    devices = [f"{len(gpus)} GPUs" if len(gpus) > 1 else "1 GPU"] if gpus else []
    return ", ".join([*devices, f"{len(os.sched_getaffinity(0))} cores", _processor()])


def _processor() -> str:
    return processor_fields().get("model name", platform.machine())


def processor_fields() -> dict[str, str]:
    """The fields of /proc/cpuinfo, of the last core; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
