"""Locks between real processes."""

import contextlib
import fcntl
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from colorize import runtime
from tests.helpers import processes
from tests.helpers.waiting import until


@pytest.fixture
def run(tmp_path):
    """`run(body, log)` -> PID of a child that is ended with the test."""
    pids = []

    def start(body, log: str, **environment) -> int:
        pids.append(processes.fork(body, tmp_path, tmp_path / log, **environment))
        return pids[-1]

    yield start
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def hold(tmp_path, run):
    """`hold(name)` -> PID of a child that holds the lock until the file `release` is there."""

    def body(name):
        with runtime.lock(tmp_path / "lock", "train a-unet"):
            (tmp_path / name).touch()
            until((tmp_path / "release").exists)

    def start(name, **environment) -> int:
        return run(lambda: body(name), f"{name}.log", **environment)

    return start


def test_the_second_names_the_first_waits_and_follows(tmp_path, hold):
    first = hold("first")
    until((tmp_path / "first").exists)
    second = hold("second")
    until((tmp_path / "lock.waiting").exists)
    assert not (tmp_path / "second").exists()
    (tmp_path / "release").touch()
    assert (processes.wait(first), processes.wait(second)) == (0, 0)
    assert (tmp_path / "second").exists()
    line = (tmp_path / "second.log").read_text()
    assert line.startswith(f"waiting for train a-unet, which is already running (PID {first} on ")
    assert line.count("\n") == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("lock")]


def test_who_may_not_wait_ends_at_once_naming_the_holder(tmp_path, hold, run):
    first = hold("first")
    until((tmp_path / "first").exists)

    def body():
        with runtime.lock(tmp_path / "lock", "train a-unet"):
            pass

    pid = run(lambda: runtime.run(body, []), "second.log", COLORIZE_NO_WAIT="1")
    assert processes.wait(pid) == 3
    line = (tmp_path / "second.log").read_text()
    assert line.startswith(f"error: train a-unet is already running (PID {first} on ") and line.count("\n") == 1
    (tmp_path / "release").touch()
    assert processes.wait(first) == 0


def test_a_killed_holder_releases_its_lock_though_its_worker_lives_on(tmp_path, run):
    def holder():
        with runtime.lock(tmp_path / "lock", "shard a"), ProcessPoolExecutor(1) as pool:
            (tmp_path / "worker").write_text(str(pool.submit(os.getpid).result()))
            (tmp_path / "ready").touch()
            time.sleep(60)

    pid = run(holder, "log")
    until((tmp_path / "ready").exists)
    os.kill(pid, signal.SIGKILL)
    processes.wait(pid)
    worker = int((tmp_path / "worker").read_text())
    os.kill(worker, 0)
    with runtime.lock(tmp_path / "lock", "shard a", wait=False):
        os.kill(worker, signal.SIGKILL)


def test_a_holder_knows_whether_somebody_waits(tmp_path, hold):
    with runtime.lock(tmp_path / "lock", "train a-unet") as lock:
        assert not lock.is_awaited()
        waiting = hold("second")
        until(lock.is_awaited)
        os.kill(waiting, signal.SIGKILL)
        processes.wait(waiting)
        assert not lock.is_awaited()


def test_a_file_that_nobody_holds_locks_nobody_out(tmp_path):
    (tmp_path / "lock").write_text("left by a machine that lost its power")
    with (
        runtime.lock(tmp_path / "lock", "train a-unet", wait=False),
        (tmp_path / "lock").open() as file,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_one_of_many_at_a_time(tmp_path, run):
    """Five processes add one to a number, each twenty times; unlinked lock files must let none in beside another."""
    (tmp_path / "number").write_text("0")

    def body():
        for _ in range(20):
            with runtime.lock(tmp_path / "lock", "count"):
                number = int((tmp_path / "number").read_text())
                time.sleep(0.001)
                (tmp_path / "number").write_text(str(number + 1))

    assert [processes.wait(pid) for pid in [run(body, "log") for _ in range(5)]] == [0] * 5
    assert (tmp_path / "number").read_text() == "100"


def test_outputs_are_ready_and_nobody_elses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with runtime.outputs("shard a", tmp_path / "out"):
        assert (tmp_path / "out").is_dir()
        assert [path.name for path in (tmp_path / ".state/locks").iterdir()] == ["shard-a"]
    assert list((tmp_path / ".state/locks").iterdir()) == []
