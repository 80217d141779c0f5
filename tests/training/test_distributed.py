"""Two processes under a real torchrun compute what one does."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from torch.distributed import run as torchrun

from colorize import runtime
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


def test_a_process_that_waits_for_the_others_says_so_and_obeys_signals(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "_SILENT_S", 0.2)
    with socket.socket() as server:  # connects, but never answers
        server.bind(("127.0.0.1", 0))
        server.listen()
        group = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "x"}
        group |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.getsockname()[1])}
        log = tmp_path / "log"

        def main() -> None:
            with distributed.join("cpu"):
                pass

        pid = processes.fork(lambda: runtime.run(main, []), tmp_path, log, **group)
        begun = time.monotonic()
        while "waiting for the other 1 processes of torchrun" not in (log.read_text() if log.exists() else ""):
            assert time.monotonic() - begun < 60
            time.sleep(0.05)
        os.kill(pid, signal.SIGTERM)
        assert processes.wait(pid) == 143
    assert time.monotonic() - begun < 60
