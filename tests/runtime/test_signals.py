"""Signals and orphans: what is done is finished, and the exit code says that it was not all."""

import os
import signal
import time

import pytest

from colorize import runtime
from tests.runtime.test_locks import until
from tools import soak


def steps(folder) -> None:
    """Hundred steps; signals that come within one wait for its end, and the state is saved then."""
    for step in range(100):
        with runtime.finish_step():
            (folder / "begun").write_text(str(step))
            time.sleep(0.2)
            (folder / "ended").write_text(str(step))
            if runtime.stop_requested():
                (folder / "saved").write_text(str(step))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_waits_for_the_end_of_the_step(tmp_path, number, code):
    pid = soak.fork(lambda: runtime.run(steps, [tmp_path]), tmp_path, tmp_path / "log")
    until((tmp_path / "begun").exists)
    os.kill(pid, number)
    assert soak.wait(pid) == code
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
        assert soak.wait(soak.fork(twice(number), tmp_path, tmp_path / "log")) == code
        assert (tmp_path / f"ended {number:d}").exists() == is_ended


def test_a_block_within_a_block_does_not_end_the_wait(tmp_path):
    def body():
        with runtime.finish_step():
            with runtime.finish_step():
                os.kill(os.getpid(), signal.SIGTERM)
            (tmp_path / "ended").touch()
        (tmp_path / "went on").touch()

    assert soak.wait(soak.fork(lambda: runtime.run(body, []), tmp_path, tmp_path / "log")) == 143
    assert (tmp_path / "ended").exists()
    assert not (tmp_path / "went on").exists()


def test_an_interrupt_that_the_shell_ignores_stays_ignored(tmp_path):
    def body():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        runtime.run(lambda: os.kill(os.getpid(), signal.SIGINT), [])

    assert soak.wait(soak.fork(body, tmp_path, tmp_path / "log")) == 0


def orphan(folder, body, **environment) -> int:
    """Start `body` as the child of a process that is then killed; returns its PID."""

    def parent():
        child = soak.fork(lambda: runtime.run(body, [folder]), folder, folder / "log", **environment)
        runtime.write_text(folder / "pid", str(child))
        soak.wait(child)

    pid = soak.fork(parent, folder, folder / "log")
    until(lambda: (folder / "begun").exists() and (folder / "pid").exists())
    os.kill(pid, signal.SIGKILL)
    soak.wait(pid)
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
    assert (tmp_path / "log").read_text() == "stopped: the dvc that started this stage is gone\n"


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

    orphaned = soak.fork(lambda: runtime.run(stage, [tmp_path]), tmp_path, tmp_path / "log")
    until((tmp_path / "begun").exists)
    os.kill(orphaned, signal.SIGKILL)
    soak.wait(orphaned)
    until(lambda: is_gone(int((tmp_path / "worker").read_text())))


def test_ctrl_c_is_one_line_and_not_one_a_worker(tmp_path):
    """A terminal sends SIGINT to the stage and its workers alike."""

    def stage(folder):
        os.setpgid(0, 0)
        with runtime.executor(2) as pool:
            work = [pool.submit(time.sleep, 0.5) for _ in range(4)]
            (folder / "begun").touch()
            [future.result() for future in work]

    pid = soak.fork(lambda: runtime.run(stage, [tmp_path]), tmp_path, tmp_path / "log")
    until((tmp_path / "begun").exists)
    os.killpg(pid, signal.SIGINT)
    assert soak.wait(pid) == 130
    assert (tmp_path / "log").read_text() == "interrupted\n"
