"""Two processes under a real torchrun compute what one does."""

from pathlib import Path

import pytest
import torch
from torch.distributed import run as torchrun

from colorize.runtime import ParameterError
from colorize.training import distributed
from tests.helpers import processes
from tests.training import distributed_gradients


def gradients_of_one(folder: Path) -> dict[str, torch.Tensor]:
    """The gradients of one step, computed by one process."""
    pid = processes.fork(lambda: distributed_gradients.main(str(folder / "one.pt")), folder, folder / "log")
    assert processes.wait(pid) == 0, (folder / "log").read_text()
    return torch.load(folder / "one.pt", weights_only=True)


def gradients_of_two(repo: Path, folder: Path) -> dict[str, torch.Tensor]:
    """The same, computed by the two processes that torchrun starts."""
    command = ["--standalone", "--nproc-per-node", "2", distributed_gradients.__file__, str(folder / "two.pt")]
    environment = {"PYTHONPATH": str(repo), "OMP_NUM_THREADS": "1"}
    pid = processes.fork(lambda: torchrun.main(command), folder, folder / "log", **environment)
    assert processes.wait(pid) == 0, (folder / "log").read_text()
    return torch.load(folder / "two.pt", weights_only=True)


def test_the_gradients_of_two_processes_are_those_of_one(repo, tmp_path):
    one, two = gradients_of_one(tmp_path), gradients_of_two(repo, tmp_path)
    assert one.keys() == two.keys()
    for name, gradient in one.items():
        assert (two[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-9, name


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    group = distributed.Processes(0, 3, torch.device("cpu"), None)
    with pytest.raises(ParameterError, match="batch_size: 8 is not a multiple of the number of processes, 3"):
        group.share(8)
