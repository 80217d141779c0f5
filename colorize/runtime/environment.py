"""Settings from environment variables: folders, processes, device, pause between checkpoints, waiting for locks."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from colorize.runtime.errors import ParameterError, first_line

CACHE_PLACES = ("auto", "device", "host", "stream")

_MANY_FILES = 1 << 16  # open files; COLORIZE_CACHE=stream opens all shards of a split at once
_LARGEST = 10**9  # of numbers without an own limit
_LARGEST_COUNT = 1024  # of processes and threads; more do not fit on a machine
_CLIENTS_OF_MPS = 48  # processes on one GPU; NVIDIA's Multi-Process Service allows no more
_TASKS_OF_CLUSTER = 1000  # 2,000 waiting tasks take 36 MB of a scheduler's memory


def repo_root() -> Path:
    """The main repository, even in `dvc exp run --temp` and `--queue`, which work in a copy and set DVC_ROOT."""
    return Path(os.environ.get("DVC_ROOT") or ".")


def raw_dir() -> Path:
    """Folder of the raw archives.

    Raises:
        ParameterError: COLORIZE_RAW starts with the home folder (`~name`) of an unknown user.
    """
    return repo_root() / expanded(os.environ.get("COLORIZE_RAW") or "data/raw", "COLORIZE_RAW")


def expanded(path: str, key: str) -> Path:
    """A path of the user; `~` and `~name` at its start are replaced by home folders.

    Args:
        path: the path.
        key: name of the variable or parameter, for the error message.

    Raises:
        ParameterError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ParameterError(f"{key}: {path}: there is no such user; write the whole path") from None


def state_dir() -> Path:
    """Folder for state that outlives an interrupted run: checkpoints, and locks that experiments share."""
    return repo_root() / ".state"


def _whole_number(name: str, default: int, at_least: int = 1, at_most: int = _LARGEST) -> int:
    text = os.environ.get(name) or str(default)
    is_short = re.fullmatch(r"[0-9]{1,12}", text)  # Python refuses to convert thousands of digits
    if not is_short or not at_least <= int(text) <= at_most:
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise ParameterError(f"{name}={shown}: expected a whole number of at least {at_least} and at most {at_most}")
    return int(text)


def processes() -> int:
    """Number of worker processes."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return _whole_number("COLORIZE_PROCS", cores, at_most=_LARGEST_COUNT)


def dask_address() -> str | None:
    """Address of the Dask scheduler whose workers run the tasks; None for processes of this machine."""
    return os.environ.get("COLORIZE_DASK") or None


def tasks_at_once() -> int:
    """Number of tasks to submit before one is finished: enough for all workers, and few enough for little memory."""
    return _TASKS_OF_CLUSTER if dask_address() else 4 * processes()


def checkpoint_seconds(default: int) -> int:
    """Seconds between two checkpoints; 0 means a checkpoint after every step."""
    return _whole_number("COLORIZE_CHECKPOINT_SECONDS", default, at_least=0)


def may_wait() -> bool:
    """Whether to wait, rather than fail, if another run holds a lock."""
    return not _whole_number("COLORIZE_NO_WAIT", 0, at_least=0)


def gpus() -> list[str]:
    """Names of the usable CUDA devices, as in CUDA_VISIBLE_DEVICES; found without torch, because its import is slow."""
    if os.environ.get("COLORIZE_DEVICE", "cuda") == "cpu":
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # no driver, or one that does not answer
            listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=60)
            return [str(n) for n, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]
    return [name for name in (visible or "").split(",") if name]


def cells_per_gpu() -> int:
    """Number of trainings and evaluations that `make repro` runs at the same time on each GPU."""
    return _whole_number("COLORIZE_CELLS_PER_GPU", 1, at_most=_CLIENTS_OF_MPS)


def cache_place() -> str:
    """Where the training images are cached: one of CACHE_PLACES.

    Raises:
        ParameterError: COLORIZE_CACHE has another value.
    """
    place = os.environ.get("COLORIZE_CACHE") or CACHE_PLACES[0]
    if place not in CACHE_PLACES:
        raise ParameterError(f"COLORIZE_CACHE={place}: expected one of {', '.join(CACHE_PLACES)}")
    return place


def is_compiling() -> bool:
    """Whether networks may be compiled, and steps recorded as CUDA graphs."""
    return os.environ.get("COLORIZE_COMPILE", "1") != "0"


def torchrun_ranks() -> tuple[int, int, int]:
    """Rank, local rank and world size of this process, as set by `torchrun`; (0, 0, 1) without `torchrun`.

    Raises:
        ParameterError: a variable has a wrong value. Or another program, such as the scheduler of a cluster, set the
            variables of a group of several processes: then this process would wait forever for the others.
    """
    size = _whole_number("WORLD_SIZE", 1)
    rank, local_rank = (_whole_number(name, 0, at_least=0) for name in ("RANK", "LOCAL_RANK"))
    if max(rank, local_rank) >= size:
        raise ParameterError(
            f"RANK={rank}, LOCAL_RANK={local_rank}: expected less than WORLD_SIZE, {size}; run `unset RANK LOCAL_RANK`"
        )
    if size > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        raise ParameterError(
            f"WORLD_SIZE={size}, but `torchrun` did not start this process; start it with `torchrun`, or run "
            "`unset WORLD_SIZE RANK LOCAL_RANK` before it"
        )
    return rank, local_rank, size


def is_run_by_dvc() -> bool:
    """Whether DVC started this process as a stage."""
    return "DVC_STAGE" in os.environ


def progress_record() -> Path | None:
    """File for the progress record of this stage; None if the stage prints its progress."""
    folder, stage = os.environ.get("COLORIZE_PROGRESS"), os.environ.get("DVC_STAGE")
    return Path(folder, f"{stage}.json") if folder and stage else None


def set_up_process() -> None:
    """Set environment variables for libraries and allow many open files; a program calls this before it imports torch.

    Only programs (stages, the command line, benchmarks) call it: importing the library does not change the process.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS allows less than it says
        wanted = _MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, _MANY_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    # How often an idle OpenMP thread checks for work before it sleeps. GNU OpenMP reads it when torch is loaded. By
    # default, threads spin for milliseconds; two trainings on two cores then take fifty times as long as one.
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "2000"
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # otherwise cuBLAS results may vary between runs


def keep_compiled_code() -> None:
    """Make torch and Triton keep compiled code in `.state/compiled`, for the next stage that compiles the same.

    Several processes may use the folder at the same time. A program calls this before it imports torch. Variables that
    the user has set are kept.
    """
    folder = _compiled_code()
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
    os.environ.setdefault("TRITON_CACHE_DIR", str(folder / "triton"))


def discard_compiled_code() -> bool:
    """Remove the folder of `keep_compiled_code`; returns false if it does not exist, or is not used."""
    folder = _compiled_code()
    if os.environ.get("TORCHINDUCTOR_CACHE_DIR") != str(folder) or not folder.exists():
        return False
    with contextlib.suppress(FileNotFoundError):  # another process removes it too
        folder.rename(removed := folder.with_name(f"compiled-{os.getpid()}"))
        shutil.rmtree(removed, ignore_errors=True)
    return True


def _compiled_code() -> Path:
    return (state_dir() / "compiled").resolve()


def set_up_torch(device: str | None = None) -> str:
    """Apply COLORIZE_THREADS, make the device from `choose_device` the current one, and return its name.

    Only programs call it, because it changes the process.
    """
    import torch

    if os.environ.get("COLORIZE_THREADS"):
        torch.set_num_threads(_whole_number("COLORIZE_THREADS", 1, at_most=_LARGEST_COUNT))
    name = choose_device(device)
    if torch.device(name).type == "cuda" and torch.device(name).index is not None:
        torch.cuda.set_device(name)  # Triton starts its kernels on the current device
    return name


def choose_device(device: str | None = None) -> str:
    """Name of the device to compute on: the given one, else COLORIZE_DEVICE, else a GPU if available, else the CPU.

    Raises:
        ParameterError: the device cannot be used on this machine.
    """
    import torch

    name = device or os.environ.get("COLORIZE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name).tolist()  # a device such as `meta` has no values
    except Exception as error:  # torch raises almost anything for a device that it does not know or that is not there
        reason = first_line(error)
        raise ParameterError(f"the device {name} cannot be used here ({reason}); try COLORIZE_DEVICE=cpu") from None
    return name


@functools.lru_cache
def check_compiler() -> None:
    """Check that Triton can build the CUDA kernels of training and evaluation.

    Raises:
        ParameterError: Triton or a C compiler is missing.
    """
    found = os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang")))
    if not (found and importlib.util.find_spec("triton")):
        raise ParameterError("CUDA needs Triton and a C compiler; install gcc, or set COLORIZE_DEVICE=cpu")
