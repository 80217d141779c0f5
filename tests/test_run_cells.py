"""`make repro` runs cells side by side: one that fails stops no other, and whoever ends it ends them all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from colorize import runtime
from tests.runtime.test_locks import until
from tools import run_cells, soak

KNOBS = {"COLORIZE_DEVICE": "cpu", "COLORIZE_PROCS": "1", "COLORIZE_CHECKPOINT_SECONDS": "0", "PYTHONPATH": ""}


def start(project: Path) -> subprocess.Popen:
    """The tool in a project, one cell at a time; without SHELL, as cron would, so that DVC takes /bin/sh."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (project.parent / "log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, soak.ROOT / "tools" / "run_cells.py"],
            cwd=project,
            env={**os.environ, **KNOBS, "PATH": path, "SHELL": ""},
            stdout=log,
            stderr=log,
        )


def test_a_job_that_fails_is_named_and_stops_no_other(tmp_path, monkeypatch, capfd):
    project = soak.make_project(tmp_path / "project", ("cnn",))
    monkeypatch.chdir(project)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLORIZE_PROCS", "1")
    jobs = [run_cells.Job("broken", ("train@tiny-nothing",)), run_cells.Job("sound", ("shard@tiny",))]
    with pytest.raises(runtime.DataError, match="failed: broken; their errors are above"):
        run_cells.run(jobs)
    lines = capfd.readouterr().out.splitlines()
    assert any("train@tiny-nothing" in line for line in lines)  # DVC's own words
    assert [line for line in lines if " of 2" in line] == ["broken: FAILED, 1 of 2", "sound: done, 2 of 2"]
    assert (project / "data/shards/tiny/manifest.json").exists()


def test_asked_to_end_it_ends_what_runs_and_begins_no_more(tmp_path):
    project = soak.make_project(tmp_path / "project", ("regression", "cnn"), steps=1_000_000)
    process = start(project)
    until(lambda: list(project.glob(".state/checkpoints/tiny-cnn/*/*.ckpt")))
    process.send_signal(signal.SIGTERM)
    assert process.wait(soak.HANGS_AFTER_S) == 143
    log = (tmp_path / "log").read_text()
    assert "train tiny-cnn: stops after step " in log
    assert "tiny-regression: begins" not in log
    assert not list((project / ".state/locks").iterdir())  # nobody trains any more
    assert sorted(yaml.safe_load((project / "dvc.lock").read_text())["stages"]) == ["prior@tiny", "shard@tiny"]


@pytest.mark.parametrize(("cores", "jobs", "count", "share"), [(2, 10, 2, "1"), (8, 2, 2, "4"), (1, 3, 1, "1")])
def test_without_a_gpu_cells_share_the_cores(monkeypatch, cores, jobs, count, share):
    monkeypatch.setenv("COLORIZE_DEVICE", "cpu")
    monkeypatch.setenv("COLORIZE_PROCS", str(cores))
    places = run_cells.slots(jobs)
    assert len(places) == count
    assert {place.environment["COLORIZE_THREADS"] for place in places} == {share}


def test_with_gpus_every_cell_has_one_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert [place.environment for place in run_cells.slots(10)] == [
        {"CUDA_VISIBLE_DEVICES": "2"},
        {"CUDA_VISIBLE_DEVICES": "3"},
    ]
