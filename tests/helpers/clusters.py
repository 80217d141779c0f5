"""A real Dask scheduler and real workers on loopback, which tests kill."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Cluster:
    """A scheduler and its workers, each a process; `log` is the folder of their output."""

    def __init__(self, log: Path, allowed_failures: int = 3):
        """Start the scheduler."""
        self.log, self.port = log, free_port()
        self.environment = {
            **os.environ,
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self.workers: list[subprocess.Popen] = []
        self.scheduler = self._start("scheduler", "--port", str(self.port), "--no-dashboard")

    @property
    def address(self) -> str:
        """Address of the scheduler."""
        return f"tcp://127.0.0.1:{self.port}"

    def add_workers(self, count: int, nanny: str = "--no-nanny", **environment: str) -> None:
        """Start workers with one thread each; with `--nanny`, each is started again when it dies."""
        for _ in range(count):
            options = ("--nthreads", "1", "--memory-limit", "0", nanny, "--no-dashboard")
            self.workers.append(self._start("worker", self.address, *options, **environment))

    def restart(self) -> None:
        """Start a scheduler at the same address."""
        self.scheduler = self._start("scheduler", "--port", str(self.port), "--no-dashboard")

    def kill(self, *processes: subprocess.Popen) -> None:
        """End processes by SIGKILL."""
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """End everything; a nanny ends its worker."""
        for process in (self.scheduler, *self.workers):
            process.terminate()
        for process in (self.scheduler, *self.workers):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill(process)

    def _start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        number = len(list(self.log.glob("*.log")))
        with (self.log / f"{arguments[0]}-{number}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
                env={**self.environment, **environment},
                cwd=self.log,  # not the repository, from which Python would import the package
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def wait_until(condition, seconds: float = 60.0) -> None:
    """Wait until a condition holds; fail if it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.02)
