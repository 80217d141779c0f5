"""Faults that come through DVC itself, and two runs of one cell; real processes throughout."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers import processes, projects
from tests.helpers.waiting import until

MODEL = "cnn"
STAGE = f"train@tiny-{MODEL}-0"
CELL = ("train", "tiny", MODEL, "0")
STOP = "checkpoint-written:3:STOP"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, without_plots) -> Path:
    """A project before its training, and beside it as `done` one after it."""
    processes.load_everything()
    folder = tmp_path_factory.mktemp("dvc")
    project = projects.make_project(folder / "project", (MODEL,), steps=60, val_every=20, pictures_every=50)
    for stage in projects.STAGES[:2]:
        processes.run(project, stage, folder / "log")
    shutil.copytree(project, folder / "done")
    processes.run(folder / "done", CELL, folder / "log")
    return project


def repro(project: Path, **environment: str) -> subprocess.Popen:
    """`dvc repro` of the training alone, in a session of its own as in a terminal; /bin/sh, as without SHELL."""
    with (project.parent / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro", "--single-item", STAGE],
            cwd=project,
            env=processes.environment(COLORIZE_CHECKPOINT_SECONDS="0", SHELL="", **environment),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def recorded(project: Path) -> list[str]:
    lock = project / "dvc.lock"
    return list(yaml.safe_load(lock.read_text())["stages"]) if lock.exists() else []


@pytest.fixture
def start():
    """`processes.start` of the training, ended with the test."""
    pids = []

    def run(project: Path, log: Path, **environment: str) -> int:
        pids.append(processes.start(project, CELL, log, **environment))
        return pids[-1]

    yield run
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def holder(project: Path) -> int:
    """PID of the training that DVC has started."""
    path = project / f".state/locks/train-tiny-{MODEL}-0"
    until(lambda: path.exists() and path.read_text().endswith("}"))
    return json.loads(path.read_text())["pid"]


def until_stopped(pid: int) -> None:
    """Wait until its armed fault point has stopped it."""
    until(lambda: status(pid, "State").startswith("T"))


def status(pid: int, field: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith(f"{field}:"))


def test_whatever_ends_dvc_nothing_is_recorded_and_training_goes_on(undisturbed, tmp_path):
    """One training, ended by Ctrl-C, by SIGTERM to DVC and by SIGKILL to DVC, and then left alone.

    Each comes while the training stands still, and it goes on when the signal has reached it too.
    """
    project = Path(shutil.copytree(undisturbed, tmp_path / "project"))
    log = tmp_path / "log"
    to_dvc, to_all = os.kill, os.killpg
    for send, number in ((to_all, signal.SIGINT), (to_dvc, signal.SIGTERM), (to_dvc, signal.SIGKILL)):
        dvc = repro(project, COLORIZE_FAULT=STOP)
        pid = holder(project)
        until_stopped(pid)
        send(dvc.pid, number)
        until(lambda pid=pid: int(status(pid, "ShdPnd"), 16))
        os.kill(pid, signal.SIGCONT)
        assert dvc.wait(processes.HANGS_AFTER_S) != 0
        until(lambda: not list((project / ".state/locks").iterdir()))  # the orphan ends by itself
        assert recorded(project) == []
        assert not list((project / "data/models").rglob("*.json"))
    stops = [line for line in log.read_text().splitlines() if ": stops after step " in line]
    assert len(stops) == 3
    code, output = processes.dvc(project, "repro", "--single-item", STAGE)
    assert code == 0, output
    assert recorded(project) == [STAGE]
    done = projects.tree(undisturbed.parent / "done")
    assert {name: content for name, content in projects.tree(project).items() if name in done} == done
    assert not [name for name in projects.tree(project) if name.startswith(".state")]


def test_two_runs_of_one_cell_train_it_once(undisturbed, tmp_path, start):
    """As two queued experiments do: in copies of the repository, with the state in the main one."""
    copies = [Path(shutil.copytree(undisturbed, tmp_path / name)) for name in ("first", "second")]
    root = {"DVC_ROOT": str(tmp_path)}
    first = start(copies[0], tmp_path / "first.log", COLORIZE_FAULT=STOP, **root)
    until_stopped(first)
    second = start(copies[1], tmp_path / "second.log", **root)
    until(lambda: any("waiting for" in path.read_text() for path in tmp_path.glob("second.log")))
    os.kill(first, signal.SIGCONT)
    assert (processes.wait(first), processes.wait(second)) == (0, 0)
    lines = (tmp_path / "second.log").read_text().splitlines()
    assert lines[0].startswith(f"waiting for train tiny-{MODEL}-0, which is already running (PID {first} on ")
    assert lines[1:] == [f"train tiny-{MODEL}-0: uses the result of the run that has just ended"]
    done = projects.tree(undisturbed.parent / "done")
    assert projects.tree(copies[0]) == projects.tree(copies[1]) == done
    assert projects.tree(tmp_path) == {}


def test_a_second_run_in_the_same_place_waits_or_ends(undisturbed, tmp_path, start):
    project = Path(shutil.copytree(undisturbed, tmp_path / "project"))
    first = start(project, tmp_path / "first.log", COLORIZE_FAULT=STOP)
    until_stopped(first)
    assert processes.wait(start(project, tmp_path / "second.log", COLORIZE_NO_WAIT="1")) == 3
    line = (tmp_path / "second.log").read_text()
    assert line.startswith(f"error: train tiny-{MODEL}-0 is already running (PID {first} on ") and line.count("\n") == 1
    os.kill(first, signal.SIGCONT)
    assert processes.wait(first) == 0
    assert projects.tree(project) == projects.tree(undisturbed.parent / "done")
