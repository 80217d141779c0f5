"""Signals and orphans: what is done is finished, and the exit code says that it was not all."""

import mmap
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from colorize import runtime
from tests.helpers import processes
from tests.helpers.waiting import until


def steps(folder) -> None:
    """Hundred steps; signals that come within one wait for its end, and the state is saved then."""
    for step in range(100):
        with runtime.finish_step():
            (folder / "begun").write_text(str(step))
            time.sleep(0.2)
            (folder / "ended").write_text(str(step))
            if runtime.stop_requested():
                (folder / "saved").write_text(str(step))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_waits_for_the_end_of_the_step(tmp_path, number, code):
    pid = processes.fork(lambda: runtime.run(steps, [tmp_path]), tmp_path, tmp_path / "log")
    until((tmp_path / "begun").exists)
    os.kill(pid, number)
    assert processes.wait(pid) == code
    begun, ended, saved = ((tmp_path / name).read_text() for name in ("begun", "ended", "saved"))
    assert begun == ended == saved


def test_a_second_signal_waits_as_well_but_not_a_second_ctrl_c(tmp_path):
    def twice(number: int):
        def body():
            with runtime.finish_step():
                os.kill(os.getpid(), number)
                os.kill(os.getpid(), number)
                (tmp_path / f"ended {number:d}").touch()

        return lambda: runtime.run(body, [])

    for number, code, is_ended in ((signal.SIGTERM, 143, True), (signal.SIGINT, 130, False)):
        assert processes.wait(processes.fork(twice(number), tmp_path, tmp_path / "log")) == code
        assert (tmp_path / f"ended {number:d}").exists() == is_ended


def test_a_block_within_a_block_does_not_end_the_wait(tmp_path):
    def body():
        with runtime.finish_step():
            with runtime.finish_step():
                os.kill(os.getpid(), signal.SIGTERM)
            (tmp_path / "ended").touch()
        (tmp_path / "went on").touch()

    assert processes.wait(processes.fork(lambda: runtime.run(body, []), tmp_path, tmp_path / "log")) == 143
    assert (tmp_path / "ended").exists()
    assert not (tmp_path / "went on").exists()


def test_an_interrupt_that_the_shell_ignores_stays_ignored(tmp_path):
    def body():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        runtime.run(lambda: os.kill(os.getpid(), signal.SIGINT), [])

    assert processes.wait(processes.fork(body, tmp_path, tmp_path / "log")) == 0


def orphan(folder, body, **environment) -> int:
    """Start `body` as the child of a process that is then killed; returns its PID."""

    def parent():
        child = processes.fork(lambda: runtime.run(body, [folder]), folder, folder / "log", **environment)
        runtime.write_text(folder / "pid", str(child))
        processes.wait(child)

    pid = processes.fork(parent, folder, folder / "log")
    until(lambda: (folder / "begun").exists() and (folder / "pid").exists())
    os.kill(pid, signal.SIGKILL)
    processes.wait(pid)
    return int((folder / "pid").read_text())


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_stage_whose_dvc_was_killed_saves_and_ends(tmp_path):
    pid = orphan(tmp_path, steps, DVC_STAGE="train")
    until(lambda: is_gone(pid))
    assert (tmp_path / "saved").read_text() == (tmp_path / "begun").read_text() != "99"


def test_elsewhere_than_on_linux_it_notices_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    pid = orphan(tmp_path, steps, DVC_STAGE="train")
    until(lambda: is_gone(pid))
    assert (tmp_path / "saved").read_text() == (tmp_path / "begun").read_text() != "99"
    assert (tmp_path / "log").read_text() == "stopped: the dvc process that started this stage has ended\n"


def test_a_stage_started_by_hand_outlives_its_shell(tmp_path):
    pid = orphan(tmp_path, steps)
    time.sleep(0.5)
    assert not is_gone(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_killed_stage_takes_its_workers_with_it(tmp_path):
    def stage(folder):
        with runtime.executor(1) as pool:
            (folder / "worker").write_text(str(pool.submit(os.getpid).result()))
            (folder / "begun").touch()
            time.sleep(60)

    orphaned = processes.fork(lambda: runtime.run(stage, [tmp_path]), tmp_path, tmp_path / "log")
    until((tmp_path / "begun").exists)
    os.kill(orphaned, signal.SIGKILL)
    processes.wait(orphaned)
    until(lambda: is_gone(int((tmp_path / "worker").read_text())))


def test_ctrl_c_is_one_line_and_not_one_a_worker(tmp_path):
    """A terminal sends SIGINT to the stage and its workers alike."""

    def stage(folder):
        os.setpgid(0, 0)
        with runtime.executor(2) as pool:
            work = [pool.submit(time.sleep, 0.5) for _ in range(4)]
            (folder / "begun").touch()
            [future.result() for future in work]

    pid = processes.fork(lambda: runtime.run(stage, [tmp_path]), tmp_path, tmp_path / "log")
    until((tmp_path / "begun").exists)
    os.killpg(pid, signal.SIGINT)
    assert processes.wait(pid) == 130
    assert (tmp_path / "log").read_text() == "interrupted\n"


# --- a mapped file that becomes shorter ------------------------------------------------------------------------------

MAPPED = """
import mmap, os, sys, threading, time
from colorize import runtime

def main(kind, path):
    with open(path, "wb") as file:
        file.truncate(1 << 26)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if kind in ("openmp", "thread"):
        import torch
        tensor = torch.frombuffer(mapped, dtype=torch.uint8)
        torch.set_num_threads(2)
    if kind == "interpreter":
        os.truncate(path, 0)
        bytes(mapped[:9])
    elif kind == "openmp":  # its second thread alone reads what is gone
        os.truncate(path, 1 << 25)
        tensor.view(-1, 64).sum(1)
    elif kind == "thread":  # while the main thread multiplies
        def read():
            time.sleep(0.5)
            os.truncate(path, 4096)
            tensor.sum()
        threading.Thread(target=read).start()
        matrix = torch.rand(2000, 2000)
        while True:
            matrix @ matrix
    elif kind == "unlinked":
        os.truncate(path, 0)
        os.unlink(path)
        mapped[0]

runtime.run(main, sys.argv[1:])
"""


@pytest.mark.parametrize("kind", ["interpreter", "openmp", "thread", "unlinked"])
def test_a_mapped_file_that_becomes_shorter_ends_the_program_with_one_line(tmp_path, kind, repo):
    line = [sys.executable, "-W", "ignore", "-c", MAPPED, kind, str(tmp_path / "a")]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(line, capture_output=True, text=True, cwd=repo, timeout=60, env=environment)
    name = "a file" if kind == "unlinked" else f"{tmp_path / 'a'}:"
    ending = " became shorter while it was being read; run the command again: its error names the repair\n"
    assert (done.returncode, done.stderr) == (3, f"error: {name}{ending}")


def _read_in_worker(path: str) -> int:
    with open(path, "rb+") as file:  # noqa: PTH123
        mapped = mmap.mmap(file.fileno(), 1 << 16, access=mmap.ACCESS_READ)
        file.truncate(0)
        return mapped[0]


def test_of_workers_that_end_for_this_reason_the_parent_prints_one_line(tmp_path):
    def stage():
        paths = [tmp_path / f"file-{number}" for number in range(8)]  # each worker shortens a file of its own
        for path in paths:
            path.write_bytes(bytes(1 << 16))
        with runtime.executor(4) as pool:
            [future.result() for future in [pool.submit(_read_in_worker, str(path)) for path in paths]]

    pid = processes.fork(lambda: runtime.run(stage, []), tmp_path, tmp_path / "log")
    assert processes.wait(pid) == 3
    assert re.fullmatch(rf"error: {tmp_path}/file-\d: became shorter .*\n", (tmp_path / "log").read_text())
