"""Files that become shorter or change below a running program: one line that names the file, and exit code 3."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.helpers import processes, waiting
from tests.helpers.projects import make_project


def start(project: Path, *arguments: str, **knobs: str) -> subprocess.Popen:
    """`python -m ...` in a project."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {"COLORIZE_DEVICE": "cpu", "COLORIZE_PROCS": "1", "COLORIZE_THREADS": "1", **knobs}
    line = [sys.executable, "-m", *arguments]
    return subprocess.Popen(
        line, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(is_reached, program: subprocess.Popen) -> None:
    """Wait for something that a running program does."""
    end = time.monotonic() + 60
    while not is_reached():
        assert program.poll() is None, program.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.005)


def assert_one_line(program: subprocess.Popen, *words: str) -> None:
    """It ends with 3 and a single line on stderr."""
    try:
        _, errors = program.communicate(timeout=60)
    finally:
        program.kill()
    assert (program.returncode, len(errors.splitlines())) == (3, 1), errors[-2000:]
    assert all(word in errors for word in words), errors


def make(folder: Path, size: int) -> Path:
    """A sharded project whose training takes hours."""
    project = make_project(folder, ("unet",), steps=10**6, val_every=10**6, pictures_every=10**6, batch_size=12)
    parameters = yaml.safe_load((project / "params.yaml").read_text())
    parameters["shard"]["size"] = size
    (project / "params.yaml").write_text(yaml.safe_dump(parameters))
    processes.load_everything()
    for stage in ("shard", "prior"):
        processes.run(project, (stage, "tiny"), folder.parent / "log")
    return project


@pytest.fixture(scope="module")
def sharded(tmp_path_factory) -> Path:
    """A sharded project of images of 16x16."""
    return make(tmp_path_factory.mktemp("shrunk") / "project", 16)


def shorten_shards(project: Path) -> None:
    """Make the shards shorter under a training that has written its first history."""
    time.sleep(0.5)
    for path in (project / "data/shards/train/tiny").glob("*.tar"):
        os.truncate(path, 0)


TRAIN = ("train", "tiny", "unet", "0")
HISTORY = "data/histories/tiny-unet-0/history.csv"
WORDS = ("data/shards/train/tiny/00000", ".tar: ", "became shorter while it was being read")


@pytest.mark.parametrize("cache", ["host", "stream"])
def test_a_shard_that_becomes_shorter_under_a_training_is_named(sharded, tmp_path, cache):
    project = shutil.copytree(sharded, tmp_path / "project")
    knobs = {"COLORIZE_CACHE": cache, "COLORIZE_CHECKPOINT_SECONDS": "1000"}  # a checkpoint would notice the change
    pid = processes.start(project, TRAIN, tmp_path / "log", **knobs)
    waiting.until((project / HISTORY).exists)
    shorten_shards(project)
    assert processes.wait(pid) == 3
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert all(word in line for word in WORDS), line


def test_a_shard_that_threads_of_openmp_read_is_named_once(tmp_path):
    project = make(tmp_path / "project", 128)  # large enough for two threads
    program = start(project, "stages.train", *TRAIN[1:], COLORIZE_THREADS="2")
    until((project / HISTORY).exists, program)
    shorten_shards(project)
    assert_one_line(program, *WORDS)


def test_an_archive_that_becomes_shorter_while_it_is_sharded_is_named(tmp_path):
    project = make_project(tmp_path / "project", ("unet",))
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)).save(file, "PNG")
    raw = project / "data/raw/tiny.zip"
    with zipfile.ZipFile(raw, "w") as archive:
        for split, count in (("train", 400), ("val", 2), ("test", 2)):
            for number in range(count):
                archive.writestr(f"{split}/{number:03d}.png", file.getvalue())
    parameters = yaml.safe_load((project / "params.yaml").read_text())
    parameters["shard"]["per_shard"] = 200  # so that a worker is in the middle of one
    (project / "params.yaml").write_text(yaml.safe_dump(parameters))
    program = start(project, "stages.shard", "tiny", COLORIZE_PROCS="2")
    until(lambda: list(project.glob(".state/shards/tiny-*/train/.0*.tmp")), program)
    os.truncate(raw, 4096)
    assert_one_line(program, "data/raw/tiny.zip: became shorter while it was being read")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["size"], "16"),
        (["shards"], None),
        (["shards", 0, "name"], 0),
    ],
)
def test_a_manifest_of_another_shape_is_one_line(sharded, keys, value):
    path = sharded / "data/shards/train/tiny/manifest.json"
    before = path.read_text()
    manifest = place = json.loads(before)
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(manifest))
    try:
        command = "python -m colorize.verify --repair data/shards/train/tiny && dvc repro shard@tiny"
        done = processes.call("stages.prior", "tiny", folder=sharded)
        assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
        assert "manifest.json: damaged" in done.stderr and command in done.stderr
    finally:
        path.write_text(before)
