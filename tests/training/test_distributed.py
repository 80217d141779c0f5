"""Two processes under a real torchrun compute what one does."""

import os
import subprocess
import sys

import pytest
import torch

from colorize.runtime import ParameterError
from colorize.training import distributed


@pytest.fixture(scope="module")
def run(repo, tmp_path_factory):
    """`run(processes)` -> the gradients of one step."""

    def start(processes: int) -> dict[str, torch.Tensor]:
        path = tmp_path_factory.mktemp("distributed") / "gradients.pt"
        script = [str(repo / "tests" / "training" / "distributed_gradients.py"), str(path)]
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        environment = {**os.environ, "PYTHONPATH": str(repo), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *(torchrun if processes > 1 else []), *script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return torch.load(path, weights_only=True)

    return start


def test_the_gradients_of_two_processes_are_those_of_one(run):
    one, two = run(1), run(2)
    assert one.keys() == two.keys()
    for name, gradient in one.items():
        assert (two[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-9, name


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    group = distributed.Processes(0, 3, torch.device("cpu"), None)
    with pytest.raises(ParameterError, match="batch_size: 8 is not a multiple of the number of processes, 3"):
        group.share(8)
