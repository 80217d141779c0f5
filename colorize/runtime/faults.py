"""Named places at which a test can send a real process a signal.

COLORIZE_FAULT=shard-member          SIGKILL at the first pass
COLORIZE_FAULT=shard-member:3        at the third
COLORIZE_FAULT=shard-member:3:TERM   SIGTERM
"""

from __future__ import annotations

import os
import signal
from collections import Counter

from colorize.runtime.errors import ParameterError

FAULT_POINTS = (
    "shard-member",  # in a worker, after a member was written
    "shard-rename",  # in a worker, the whole shard still under its temporary name
    "shard-manifest",  # all shards and tables there, the manifest not
    "write-rename",  # any file, still under its temporary name
    "write-sync",  # any file, renamed, its folder not yet synchronised
    "prior-write",  # between the arrays of a prior
    "checkpoint-written",
    "checkpoint-prune",  # a new checkpoint written, an old one not yet gone
    "train-final",  # after the last step, nothing of the model written
    "train-sidecar",  # weights written, the sidecar not
    "train-remove",  # the model complete, the checkpoints still there
    "evaluate-metrics",  # predictions and table written, the metrics not
    "report-files",  # between two files of the report
    "stage-checked",  # after a stage's last look at what it depends on, the record not yet written
)

_passes: Counter = Counter()  # of this process


def fault_point(name: str) -> None:
    """Send this process the signal here, where COLORIZE_FAULT says so.

    Raises:
        ParameterError: COLORIZE_FAULT is none of these.
    """
    if armed := os.environ.get("COLORIZE_FAULT"):
        _pass(name, armed)


def _pass(name: str, armed: str) -> None:
    wanted, count, number, *rest = [*armed.split(":"), *("", "1", "KILL")[armed.count(":") + 1 :]]
    if rest or wanted not in FAULT_POINTS or not count.isdecimal() or not hasattr(signal, f"SIG{number}"):
        raise ParameterError(
            f"COLORIZE_FAULT={armed}: no such fault point; the fault points are {', '.join(FAULT_POINTS)}"
        )
    _passes[name] += 1
    if name == wanted and _passes[name] == int(count):
        os.kill(os.getpid(), getattr(signal, f"SIG{number}"))
