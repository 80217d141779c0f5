"""Training on several processes that `torchrun` starts. Without `torchrun`, the group has one process.

    torchrun --nproc-per-node 8 -m stages.train places365 unet

The global batches have the same images in the same order as with a single process. Every process computes on its share
of each global batch. Torch's DistributedDataParallel averages the gradients. On GPUs, SyncBatchNorm uses the statistics
of the global batch. The first process writes the results. The other processes write to temporary folders.
"""

from __future__ import annotations

import contextlib
import datetime
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

from colorize import runtime
from colorize.runtime import DataError, ParameterError

_PATIENCE = datetime.timedelta(minutes=30)  # for the other processes, at the start and at each exchange
_SILENT_S = 5.0  # a longer wait is announced


class Processes(NamedTuple):
    """This process, and the size of the group of processes that train one model together."""

    rank: int  # number of this process, from 0
    size: int  # number of processes in the group
    device: torch.device
    scratch: Path | None  # temporary folder for the outputs; None for the first process

    def share(self, batch_size: int) -> tuple[int, int]:
        """Check that the batch size is a multiple of the number of processes, and return (rank, size).

        Args:
            batch_size: images of a global batch.

        Raises:
            ParameterError: the batch size is not a multiple of the number of processes.
        """
        if batch_size % self.size:
            raise ParameterError(
                f"train.batch_size: {batch_size} is not a multiple of the number of processes, {self.size}"
            )
        return self.rank, self.size

    def distribute(self, objective: nn.Module) -> nn.Module:
        """Wrap the objective so that its gradients are averaged over the global batch.

        On GPUs, BatchNorm uses the statistics of the global batch. On a CPU, it uses those of this process's share.
        After the first step, torch rearranges the gradients that the processes exchange. With three or more processes,
        this can change the order of the sums. A resumed training can then differ from an uninterrupted one by rounding.
        """
        if self.size == 1:
            return objective
        if self.device.type == "cuda":
            objective = nn.SyncBatchNorm.convert_sync_batchnorm(objective)
        elif self.rank == 0:
            runtime.note("warning: on a CPU, BatchNorm uses only the part of a batch that its process has")
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # caused by the 1x1 head
        return nn.parallel.DistributedDataParallel(objective)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of `value` over all processes; with several processes, `value` is overwritten with the sum."""
        if self.size == 1:
            return value
        distributed.all_reduce(value)
        return value / self.size

    def output(self, path: Path) -> Path:
        """The folder that this process writes to: `path` for the first process, else a temporary folder."""
        return path if self.scratch is None else self.scratch / path


def _meet(device: torch.device, size: int) -> None:
    """Wait for the other processes of the group.

    A thread waits, because this wait of torch handles no signals: the main thread can then be ended at any time.

    Raises:
        DataError: the group could not be formed.
    """
    failures: list[Exception] = []

    def enter() -> None:
        try:
            if device.type == "cuda":
                torch.cuda.set_device(device)  # of this thread
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
        except Exception as error:  # torch raises errors of many types
            failures.append(error)

    if device.type == "cuda":
        torch.cuda.set_device(device)
    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    thread.join(_SILENT_S)
    if thread.is_alive():
        runtime.note(f"waiting for the other {size - 1} processes of torchrun (WORLD_SIZE={size})")
    while thread.is_alive():
        thread.join(0.5)
    if failures:
        what = f"the {size} processes of torchrun did not find each other ({runtime.first_line(failures[0])})"
        raise DataError(f"{what}; check MASTER_ADDR, MASTER_PORT and the other machines") from failures[0]


@contextlib.contextmanager
def join(device: str) -> Iterator[Processes]:
    """Join the group of processes that `torchrun` describes in environment variables, and leave it at the end.

    Args:
        device: device to train on; with several processes, `cuda` is replaced by the GPU of this process.

    Yields:
        this process of the group.

    Raises:
        DataError: the group could not be formed.
    """
    rank, local_rank, size = runtime.torchrun_ranks()
    if size == 1:
        yield Processes(0, 1, torch.device(device), None)
        return
    own = torch.device("cuda", local_rank) if torch.device(device).type == "cuda" else torch.device(device)
    _meet(own, size)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Processes(rank, size, own, Path(folder) if rank else None)
            distributed.barrier()  # the other processes wait until the first one has written
    finally:
        distributed.destroy_process_group()
