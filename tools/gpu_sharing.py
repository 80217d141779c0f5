"""Several processes on one GPU at the same time: with MPS if it starts, otherwise by time slicing.

MPS is NVIDIA's Multi-Process Service, a daemon that belongs to the driver. With it, kernels of several processes run on
the GPU at the same moment. Without it, the GPU switches between the processes, which is called time slicing. Each GPU
gets a daemon of its own with its own folder, so neither settings of the GPU nor other daemons are touched, and no
rights of an administrator are needed. If one daemon cannot be used, all GPUs use time slicing.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from colorize import runtime

CONTROL = "nvidia-cuda-mps-control"
_WAIT_S = 60  # for an answer of the daemon
_LONGEST_PATH = 107 - len("/control_privileged")  # bytes; a path of a socket has at most 107
# The daemon starts even if no process can use it, so a small process tries. Without a driver, there is nothing to try.
_TRY = """
import ctypes, sys
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError:
    sys.exit(0)
device, context = ctypes.c_int(), ctypes.c_void_p()
sys.exit(f"CUDA error {code}" if (code := cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0)
         or cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device)) else 0)
"""


class NotAvailable(Exception):
    """MPS cannot be used; the message is the reason."""


class Sharing(NamedTuple):
    """How processes share the GPUs."""

    environments: dict[str, dict[str, str]]  # by GPU: the variables for a process that uses it
    how: str  # one line for the user; empty if there is nothing to share


@contextlib.contextmanager
def share(gpus: Sequence[str], cells: int) -> Iterator[Sharing]:
    """Prepare the GPUs for `cells` processes on each at the same time, until the block ends.

    Args:
        gpus: names of the GPUs, as in CUDA_VISIBLE_DEVICES.
        cells: number of processes on each GPU at the same time.
    """
    environments = {gpu: {"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus}
    if cells == 1 or not gpus:
        yield Sharing(environments, "")
        return
    with contextlib.ExitStack() as daemons:
        try:
            environments = {gpu: daemons.enter_context(_daemon(gpu)) for gpu in gpus}
            how = f"{cells} jobs at the same time on each GPU, with MPS"
        except NotAvailable as reason:
            daemons.close()
            how = f"{cells} jobs at the same time on each GPU, by time slicing, because MPS is not available: {reason}"
        yield Sharing(environments, how)


@contextlib.contextmanager
def _daemon(gpu: str) -> Iterator[dict[str, str]]:
    """Run the MPS daemon of a GPU until the block ends; yields the variables for its clients.

    Raises:
        NotAvailable: the daemon does not start, or no process can use it.
    """
    folder = (runtime.state_dir() / "mps" / gpu).resolve()
    pipe, log = folder / "pipe", folder / "log"
    if len(os.fsencode(pipe)) > _LONGEST_PATH:
        raise NotAvailable(f"the path {pipe} is longer than {_LONGEST_PATH} bytes")
    if shutil.which(CONTROL) is None:
        raise NotAvailable(f"there is no program {CONTROL}")
    folders = {"CUDA_MPS_PIPE_DIRECTORY": str(pipe), "CUDA_MPS_LOG_DIRECTORY": str(log)}
    if pipe.exists():  # `make repro` was killed
        _quit(folders)
    try:
        with runtime.finish_step():  # a signal takes effect when it is known that there is a daemon
            for path in (pipe, log):
                path.mkdir(parents=True, exist_ok=True)
            _call([CONTROL, "-d"], {**folders, "CUDA_VISIBLE_DEVICES": gpu}, folder / "start.log")
        client = {**folders, "CUDA_VISIBLE_DEVICES": "0"}  # a client counts only the GPUs that its daemon has
        _call([sys.executable, "-c", _TRY], client, folder / "try.log")
        yield client
    finally:
        with runtime.finish_step():
            _quit(folders)


def _call(command: Sequence[str], environment: Mapping[str, str], output: Path) -> None:
    """Run a command; its output goes to a file, because a daemon would keep a pipe open."""
    try:
        with output.open("wb") as file:
            done = subprocess.run(
                command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, timeout=_WAIT_S, check=False, start_new_session=True,
            )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAvailable(runtime.first_line(error)) from None
    if done.returncode:
        said = output.read_text(errors="replace").strip().splitlines()
        raise NotAvailable(runtime.escaped(said[-1]) if said else f"{command[0]} ended with {done.returncode}")


def _quit(folders: Mapping[str, str]) -> None:
    """End the daemon of these folders, if there is one, and remove its pipes."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [CONTROL], env={**os.environ, **folders}, input=b"quit\n", stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=_WAIT_S, check=False, start_new_session=True,
        )  # fmt: skip
    shutil.rmtree(folders["CUDA_MPS_PIPE_DIRECTORY"], ignore_errors=True)
