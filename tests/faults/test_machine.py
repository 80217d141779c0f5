"""What the machine does to a stage: full and read-only disks, no memory. One line each, and what was there stands."""

import contextlib
import os
import resource
import subprocess
from pathlib import Path

import pytest

from colorize import runtime
from tests.helpers import processes, projects

MODEL = "cnn"
SHARD, PRIOR, TRAIN = ("shard", "tiny"), ("prior", "tiny"), ("train", "tiny", MODEL, "0")


@contextlib.contextmanager
def mounted(folder: Path, options: str):
    """A small file system of its own; skips the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory, without_plots) -> Path:
    """A project before its training."""
    processes.load_everything()
    folder = tmp_path_factory.mktemp("machine")
    project = projects.make_project(folder / "project", (MODEL,), steps=3)
    for stage in (SHARD, PRIOR):
        processes.run(project, stage, folder / "log")
    return project


@pytest.fixture
def project(made, tmp_path) -> Path:
    subprocess.run(["cp", "-a", made, tmp_path / "project"], check=True)
    return tmp_path / "project"


def error_of(project: Path, stage: tuple[str, ...], **environment: str) -> str:
    """The one line with which a stage ends."""
    log = project.parent / "log"
    log.unlink(missing_ok=True)
    assert processes.wait(processes.start(project, stage, log, **environment)) == 3
    line = log.read_text()
    assert line.startswith("error: ") and line.count("\n") == 1
    return line


def test_a_full_disk_while_sharding_is_named_and_the_next_run_succeeds(project, made):
    with mounted(project / "data/shards/train/tiny", "size=24k"):
        line = error_of(project, SHARD)
        assert line.startswith("error: disk full: data/shards/train/tiny/")
        assert not list((project / "data/shards").rglob("*.tmp"))
        assert not (project / "data/shards/train/tiny/manifest.json").exists()
    assert processes.wait(processes.start(project, SHARD, project.parent / "log")) == 0
    assert projects.tree(project) == projects.tree(made)


def test_a_full_disk_at_a_checkpoint_stops_training_which_then_goes_on(project, tmp_path):
    expected = project.parent / "undisturbed"
    subprocess.run(["cp", "-a", project, expected], check=True)
    assert processes.wait(processes.start(expected, TRAIN, tmp_path / "log")) == 0
    weights = (expected / f"data/models/tiny-{MODEL}-0/model.safetensors").stat().st_size
    with mounted(project / ".state/checkpoints", f"size={6 * weights}"):  # each has them, the best, and two moments
        line = error_of(project, TRAIN, COLORIZE_CHECKPOINT_SECONDS="0")
        assert line.startswith("error: disk full: .state/checkpoints/tiny-cnn-0/")
        (kept,) = (project / ".state/checkpoints").rglob("*.ckpt")
        content = kept.read_bytes()
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    log = tmp_path / "again"
    assert processes.wait(processes.start(project, TRAIN, log)) == 0
    assert "resumes after step 1\n" in log.read_text()
    assert projects.tree(project) == projects.tree(expected)


@pytest.mark.parametrize(("stage", "folder"), [(PRIOR, "data/priors/tiny"), (TRAIN, f"data/models/tiny-{MODEL}-0")])
def test_a_folder_that_may_not_be_written_to_is_an_error_before_any_work(project, stage, folder):
    with mounted(project / folder, "ro"):
        line = error_of(project, stage)
    assert line == f"error: {folder}: cannot be written (Read-only file system); check the folder and its permissions\n"
    assert not (project / f"data/histories/tiny-{MODEL}-0").exists()


def test_missing_inputs_name_the_stage_that_makes_them(project):
    (project / "data/shards/train/tiny/manifest.json").unlink()
    assert "make it with `dvc repro shard@tiny`" in error_of(project, PRIOR)
    (project / "data/priors/tiny" / f"initial_distribution-{MODEL}.npy").unlink()
    assert "make it with `dvc repro prior@tiny`" in error_of(project, TRAIN)


def exhaust_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 26), used + (1 << 26)))
    bytearray(1 << 28)


def test_a_worker_without_memory_is_named_with_its_remedy():
    with (
        pytest.raises(runtime.DataError, match="a worker was killed, probably because memory ran out; lower"),
        runtime.executor(1) as pool,
    ):
        pool.submit(exhaust_memory).result()


@pytest.mark.parametrize("body", [exhaust_memory, lambda: __import__("torch").empty(1 << 60)], ids=["python", "torch"])
def test_a_stage_without_memory_is_one_line(tmp_path, body):
    assert processes.wait(processes.fork(lambda: runtime.run(body, []), tmp_path, tmp_path / "log")) == 3
    line = (tmp_path / "log").read_text()
    assert line.startswith("error: out of memory") and line.count("\n") == 1
