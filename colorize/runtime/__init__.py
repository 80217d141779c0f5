"""Services of the operating system: environment variables, files, locks, processes, progress display, exit codes.

And the text that others read: on a terminal, and inside an HTML page (`inline.py`).

Not here: anything about color, images or networks.

Importing this package does not change the process: the programs (stages, the command line, benchmarks) call
`set_up_process` instead. No other package of colorize/ reads the environment. The variables are not parameters because
they change the speed, and at most the last digits of a result:

    COLORIZE_RAW                 folder of the raw archives               (default: data/raw of the main repository)
    COLORIZE_PROCS               worker processes for sharding            (default: the cores this process may use)
    COLORIZE_DASK                address of a Dask scheduler, for sharding (default: none, processes of this machine)
    COLORIZE_THREADS             CPU threads of torch, in programs only   (default: torch's own choice);
                                 for a folder of photos, each thread colors a photo of its own
    COLORIZE_DEVICE              cpu, cuda, cuda:1, ...                   (default: cuda if available)
    COLORIZE_CELLS_PER_GPU       models that `make repro` trains on a GPU at the same time, and the number by which
                                 each of them divides the memory it may use (default: 1)
    COLORIZE_CACHE               device, host, stream, see data/loader.py (default: auto, which chooses one)
    COLORIZE_COMPILE             0: no torch.compile, no CUDA graphs      (default: 1, both on CUDA)
    COLORIZE_CHECKPOINT_SECONDS  seconds between two checkpoints          (default: at least 60; 0: after every step)
    COLORIZE_PROGRESS            folder of the stages' progress records   (default: a stage prints its progress)
    COLORIZE_NO_WAIT             1: fail if another run holds a lock      (default: wait for the other run)
    COLORIZE_FAULT               a fault point, for tests: faults.py      (default: none)
"""

import sys

if sys.platform == "win32":
    raise ImportError("colorize needs Linux or macOS; on Windows, use it in WSL")

from colorize.runtime.cluster import Killed
from colorize.runtime.environment import (
    CACHE_PLACES,
    cache_place,
    cells_per_gpu,
    check_compiler,
    checkpoint_seconds,
    choose_device,
    dask_address,
    discard_compiled_code,
    expanded,
    gpus,
    is_compiling,
    is_run_by_dvc,
    keep_compiled_code,
    may_wait,
    processes,
    raw_dir,
    repo_root,
    set_up_process,
    set_up_torch,
    state_dir,
    tasks_at_once,
    torchrun_ranks,
)
from colorize.runtime.errors import (
    Damaged,
    DataError,
    ParameterError,
    UserError,
    explain_os_error,
    first_line,
    repair_command,
    without_secrets,
)
from colorize.runtime.faults import FAULT_POINTS, fault_point
from colorize.runtime.files import (
    atomic_text,
    atomic_write,
    check_size,
    check_written,
    comma_separated,
    link,
    note_written,
    open_regular,
    prepare_folder,
    read_bytes,
    sha256_of,
    sweep,
    write_array,
    write_json,
    write_text,
)
from colorize.runtime.locks import Lock, holder_of, lock
from colorize.runtime.program import call_in_child, executor, outputs, run, workers
from colorize.runtime.signals import (
    Stalled,
    cpu_limit,
    die_with_parent,
    finish_step,
    is_orphaned,
    stall_limit,
    stop_requested,
)
from colorize.runtime.terminal import escaped, note, progress, say

__all__ = [
    "CACHE_PLACES",
    "FAULT_POINTS",
    "Damaged",
    "DataError",
    "Killed",
    "Lock",
    "ParameterError",
    "Stalled",
    "UserError",
    "atomic_text",
    "atomic_write",
    "cache_place",
    "call_in_child",
    "cells_per_gpu",
    "check_compiler",
    "check_size",
    "check_written",
    "checkpoint_seconds",
    "choose_device",
    "comma_separated",
    "cpu_limit",
    "dask_address",
    "die_with_parent",
    "discard_compiled_code",
    "escaped",
    "executor",
    "expanded",
    "explain_os_error",
    "fault_point",
    "finish_step",
    "first_line",
    "gpus",
    "holder_of",
    "is_compiling",
    "is_orphaned",
    "is_run_by_dvc",
    "keep_compiled_code",
    "link",
    "lock",
    "may_wait",
    "note",
    "note_written",
    "open_regular",
    "outputs",
    "prepare_folder",
    "processes",
    "progress",
    "raw_dir",
    "read_bytes",
    "repair_command",
    "repo_root",
    "run",
    "say",
    "set_up_process",
    "set_up_torch",
    "sha256_of",
    "stall_limit",
    "state_dir",
    "stop_requested",
    "sweep",
    "tasks_at_once",
    "torchrun_ranks",
    "without_secrets",
    "workers",
    "write_array",
    "write_json",
    "write_text",
]
