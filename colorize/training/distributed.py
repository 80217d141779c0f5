"""One training on several processes, as `torchrun` starts them; without it, a group of one.

    torchrun --nproc-per-node 8 -m stages.train places365 unet

Every process takes its part of each global batch, whose images and order are those of a single process; torch's own
DistributedDataParallel averages the gradients, and on GPUs SyncBatchNorm takes the statistics of the global batch. The
first process writes the results; what the others write goes to a folder that is thrown away.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

from colorize import runtime
from colorize.runtime import ParameterError


class Processes(NamedTuple):
    """The processes that train together, seen from one of them."""

    rank: int
    size: int
    device: torch.device
    scratch: Path | None  # where this process writes, if it is not the first

    def share(self, batch_size: int) -> tuple[int, int]:
        """(rank, size), once the global batch is known to be divisible.

        Raises:
            ParameterError: it is not.
        """
        if batch_size % self.size:
            raise ParameterError(
                f"train.batch_size: {batch_size} is not a multiple of the number of processes, {self.size}"
            )
        return self.rank, self.size

    def distribute(self, objective: nn.Module) -> nn.Module:
        """The module that computes the same over the global batch; BatchNorm does so on GPUs alone.

        After its first step torch lays out anew what the processes exchange: where there are three or more, whose
        sums can be rounded in several ways, a training that is resumed differs by rounding from one that is not.
        """
        if self.size == 1:
            return objective
        if self.device.type == "cuda":
            objective = nn.SyncBatchNorm.convert_sync_batchnorm(objective)
        elif self.rank == 0:
            print("warning: on a CPU, BatchNorm uses only the part of a batch that its process has", file=sys.stderr)
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # of a head of 1 x 1
        return nn.parallel.DistributedDataParallel(objective)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of the processes' values."""
        if self.size == 1:
            return value
        distributed.all_reduce(value)
        return value / self.size

    def output(self, path: Path) -> Path:
        """The folder to write to in place of `path`."""
        return path if self.scratch is None else self.scratch / path


@contextlib.contextmanager
def join(device: str) -> Iterator[Processes]:
    """Join the group that `torchrun` announces in the environment.

    Args:
        device: `cuda` becomes the process's own GPU.
    """
    rank, local_rank, size = runtime.torchrun_ranks()
    if size == 1:
        yield Processes(0, 1, torch.device(device), None)
        return
    own = torch.device("cuda", local_rank) if torch.device(device).type == "cuda" else torch.device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Processes(rank, size, own, Path(folder) if rank else None)
            distributed.barrier()  # the others stay until the first has written
    finally:
        distributed.destroy_process_group()
