"""What the environment says: folders, processes, device, and when to save or to wait."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from colorize.runtime.errors import ParameterError, first_line

CACHE_PLACES = ("auto", "device", "host", "stream")

_TORCHRUN = (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))


def repo_root() -> Path:
    """The main repository: DVC_ROOT also inside `dvc exp run --temp` and `--queue`, which work in a copy."""
    return Path(os.environ.get("DVC_ROOT") or ".")


def raw_dir() -> Path:
    """Folder of the raw archives."""
    return repo_root() / (os.environ.get("COLORIZE_RAW") or Path("data", "raw"))


def state_dir() -> Path:
    """Folder of what outlives an interrupted run: checkpoints, and the locks of trainings that experiments share."""
    return repo_root() / ".state"


def _whole_number(name: str, default: int, at_least: int = 1) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < at_least:
        raise ParameterError(f"{name}={text}: expected a whole number of at least {at_least}")
    return int(text)


def processes() -> int:
    """Number of worker processes."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return _whole_number("COLORIZE_PROCS", cores)


def checkpoint_seconds(default: int) -> int:
    """Seconds from one checkpoint to the next; 0 saves one after every step."""
    return _whole_number("COLORIZE_CHECKPOINT_SECONDS", default, at_least=0)


def may_wait() -> bool:
    """Whether to wait for another run of the same thing, rather than to end at once."""
    return not _whole_number("COLORIZE_NO_WAIT", 0, at_least=0)


def gpus() -> list[str]:
    """CUDA devices that may be used, as CUDA_VISIBLE_DEVICES names them; asked of the driver, not of slow torch."""
    if os.environ.get("COLORIZE_DEVICE", "cuda") == "cpu":
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        with contextlib.suppress(FileNotFoundError):
            listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
            return [str(n) for n, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]
    return [name for name in (visible or "").split(",") if name]


def cache_place() -> str:
    """Where the training images wait for their turn."""
    place = os.environ.get("COLORIZE_CACHE") or CACHE_PLACES[0]
    if place not in CACHE_PLACES:
        raise ParameterError(f"COLORIZE_CACHE={place}: expected one of {', '.join(CACHE_PLACES)}")
    return place


def is_compiling() -> bool:
    """Whether networks may be compiled, and steps recorded as CUDA graphs."""
    return os.environ.get("COLORIZE_COMPILE", "1") != "0"


def torchrun_ranks() -> tuple[int, int, int]:
    """Rank, rank on this machine and number of the processes that `torchrun` started; (0, 0, 1) without it."""
    rank, local_rank, size = (int(os.environ.get(name, default)) for name, default in _TORCHRUN)
    return rank, local_rank, size


def is_run_by_dvc() -> bool:
    """Whether DVC started this process as a stage."""
    return "DVC_STAGE" in os.environ


def progress_record() -> Path | None:
    """The file in which this stage keeps the record of its progress; None where it prints it."""
    folder, stage = os.environ.get("COLORIZE_PROGRESS"), os.environ.get("DVC_STAGE")
    return Path(folder, f"{stage}.json") if folder and stage else None


def set_up_process() -> None:
    """Set what libraries read from the environment; a program calls this before it imports torch.

    Only programs do so (stages, the command line, benchmarks): importing the library changes nothing in a process.
    """
    # How often an idle OpenMP thread checks for work before it sleeps; GNU's library reads it when torch is loaded. By
    # default threads spin for milliseconds, and two trainings on two cores take fifty times as long as one.
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "2000"
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else CUDA's matrix products may vary between runs


def set_up_torch(device: str | None = None) -> str:
    """Apply COLORIZE_THREADS, and make the device that `choose_device` returns the current one; for programs only."""
    import torch

    if os.environ.get("COLORIZE_THREADS"):
        torch.set_num_threads(_whole_number("COLORIZE_THREADS", 1))
    name = choose_device(device)
    if torch.device(name).type == "cuda" and torch.device(name).index is not None:
        torch.cuda.set_device(name)  # where Triton starts its kernels
    return name


def choose_device(device: str | None = None) -> str:
    """Name of the device to compute on: the given one, COLORIZE_DEVICE, or the best there is.

    Raises:
        ParameterError: it cannot be used on this machine.
    """
    import torch

    name = device or os.environ.get("COLORIZE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise ParameterError(f"the device {name} cannot be used here ({reason}); try COLORIZE_DEVICE=cpu") from None
    return name


@functools.lru_cache
def check_compiler() -> None:
    """Know that Triton can build the kernels that training and evaluation need on CUDA.

    Raises:
        ParameterError: it cannot.
    """
    found = os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang")))
    if not (found and importlib.util.find_spec("triton")):
        raise ParameterError("CUDA needs Triton and a C compiler; install gcc, or set COLORIZE_DEVICE=cpu")
