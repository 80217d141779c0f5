"""Fault points: named points in the code at which a process sends itself a signal, for tests.

COLORIZE_FAULT=shard-member          SIGKILL when the process reaches the point for the first time
COLORIZE_FAULT=shard-member:3        SIGKILL when it reaches the point for the third time
COLORIZE_FAULT=shard-member:3:TERM   SIGTERM when it reaches the point for the third time
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter

from colorize.runtime.errors import ParameterError

FAULT_POINTS = (
    "shard-member",  # in a worker, after a member was written
    "shard-rename",  # in a worker, after a shard was written, before it is renamed
    "shard-manifest",  # after all shards and tables were written, before the manifests
    "write-rename",  # any file, after it was written, before it is renamed
    "write-sync",  # any file, after it was renamed, before its folder is synchronized
    "prior-write",  # between two arrays of a prior
    "checkpoint-written",
    "checkpoint-prune",  # after a new checkpoint was written, before an old one is removed
    "train-final",  # after the last step, before the model is written
    "train-sidecar",  # after the weights were written, before the sidecar
    "train-remove",  # after the model was written, before the checkpoints are removed
    "evaluate-details",  # after predictions and table were written, before details.json
    "report-files",  # between two files of the report
    "stage-checked",  # after a stage's last check of its dependencies, before its record is written
)

_passes: Counter = Counter()  # how often this process has reached each point


def fault_point(name: str) -> None:
    """Send this process a signal if COLORIZE_FAULT names this fault point.

    Raises:
        ParameterError: COLORIZE_FAULT does not name a fault point.
    """
    if armed := os.environ.get("COLORIZE_FAULT"):
        _pass(name, armed)


def _pass(name: str, armed: str) -> None:
    wanted, count, number, *rest = [*armed.split(":"), *("", "1", "KILL")[armed.count(":") + 1 :]]
    if (
        rest
        or wanted not in FAULT_POINTS
        or not re.fullmatch("[0-9]{1,9}", count)
        or not hasattr(signal, f"SIG{number}")
    ):
        raise ParameterError(
            f"COLORIZE_FAULT={armed}: no such fault point; the fault points are {', '.join(FAULT_POINTS)}"
        )
    _passes[name] += 1
    if name == wanted and _passes[name] == int(count):
        os.kill(os.getpid(), getattr(signal, f"SIG{number}"))
