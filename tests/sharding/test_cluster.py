"""Sharding on a real Dask cluster: the bytes of a local run, whatever dies; each shard is finished once."""

import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import clusters

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="the package for Dask is missing: `make scale` installs it"
)

IMAGES = 300


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with a zip of photos, in shards of 5."""
    folder = tmp_path_factory.mktemp("cluster") / "project"
    (folder / "sources").mkdir(parents=True)
    (folder / "sources/mine.yaml").write_text("path: mine.zip\nfractions: {val: 0.1, test: 0.1}\n")
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "mine.zip", "w") as archive:
        for number in range(IMAGES):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (96, 96, 3), np.uint8)).save(file, "JPEG", quality=90)
            archive.writestr(f"{number:04d}.jpg", file.getvalue())
    return folder


PROGRAM = """
import sys
from pathlib import Path
from colorize import runtime
from colorize.config.params import Shard
from colorize.layout import Folders
from colorize.sharding import build

def main(out):
    settings = Shard(size=64, per_shard=5, gray="keep", min_colorfulness=0.0, max_reject_fraction=0.0, max_leaked=None)
    build.shard("mine", settings, Folders(Path(out)), "code")
    loaded = [name for name in sys.modules if name.partition(".")[0] in ("dask", "distributed", "obstore")]
    print("loaded", len(loaded))

runtime.run(main, sys.argv[1:])
"""


def start(project: Path, out: str, **environment: str) -> subprocess.Popen:
    """Run the coordinator as a process of its own."""
    (project / "program.py").write_text(PROGRAM)
    root = str(Path(__file__).parents[2])
    values = {**os.environ, "PYTHONPATH": root, "COLORIZE_RAW": str(project), "COLORIZE_PROCS": "1", **environment}
    return subprocess.Popen(
        [sys.executable, "program.py", out], cwd=project, env=values, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: subprocess.Popen, code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    return out, err


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def forget(project: Path) -> None:
    subprocess.run(["rm", "-rf", project / ".state"], check=True)


def records(project: Path) -> list[Path]:
    return list((project / ".state/shards").glob("mine-*/t*/*.csv")) + list(
        (project / ".state/shards").glob("mine-*/val/*.csv")
    )


@pytest.fixture(scope="module")
def local(project) -> dict[str, bytes]:
    """The tree of a local run."""
    out, _ = finish(start(project, "local"))
    assert out == "loaded 0\n"
    forget(project)
    return tree(project / "local")


@pytest.fixture(autouse=True)
def unmade(project) -> None:
    """Have every test make all shards."""
    forget(project)


@pytest.fixture
def cluster(tmp_path):
    """A scheduler without workers."""
    made = clusters.Cluster(tmp_path)
    yield made
    made.stop()


def test_any_number_of_workers_of_which_some_die_makes_the_same_bytes(project, local, cluster):
    for out in ("one", "two"):
        cluster.add_workers(1)
        printed, _ = finish(start(project, out, COLORIZE_DASK=cluster.address))
        assert printed != "loaded 0\n"
        assert tree(project / out) == local
        forget(project)
    cluster.add_workers(2)
    running = start(project, "killed", COLORIZE_DASK=cluster.address)
    clusters.wait_until(lambda: len(records(project)) > 5)
    cluster.kill(cluster.workers[0])
    finish(running)
    assert tree(project / "killed") == local
    assert len(records(project)) == len([name for name in local if name.endswith(".tar")])


def test_a_scheduler_that_dies_and_comes_back_loses_nothing(project, local, cluster):
    cluster.add_workers(2)
    running = start(project, "restarted", COLORIZE_DASK=cluster.address)
    clusters.wait_until(lambda: len(records(project)) > 5)
    before = {path: path.stat().st_mtime_ns for path in records(project)}
    cluster.kill(cluster.scheduler, *cluster.workers)
    cluster.restart()
    cluster.add_workers(2)
    _, err = finish(running)
    assert f"lost the scheduler {cluster.address}; trying to reach it again" in err
    assert "Traceback" not in err
    assert tree(project / "restarted") == local
    assert {path: path.stat().st_mtime_ns for path in before} == before  # none is made twice


def test_a_scheduler_that_does_not_answer_is_one_line(project):
    address = f"tcp://127.0.0.1:{clusters.free_port()}"
    _, err = finish(start(project, "unreachable", COLORIZE_DASK=address), 3)
    assert err.startswith(f"error: COLORIZE_DASK={address}: no scheduler answers (") and err.count("\n") == 1


def test_a_task_that_kills_its_workers_is_given_up_and_named(project, tmp_path):
    cluster = clusters.Cluster(tmp_path, allowed_failures=1)
    try:
        cluster.add_workers(1, "--nanny", COLORIZE_FAULT="shard-member")
        _, err = finish(start(project, "poisoned", COLORIZE_DASK=cluster.address), 3)
    finally:
        cluster.stop()
    assert re.search(
        r"^error: .*/mine.zip: the 5 images from '\d+.jpg': each worker that ran it was killed; ", err, re.M
    )
    assert "Traceback" not in err


def test_a_worker_with_other_code_is_refused(project, cluster, tmp_path):
    copy = Path(shutil.copytree(Path(__file__).parents[2] / "colorize", tmp_path / "other/colorize"))
    (copy / "sharding/images.py").open("a").write("# edited\n")
    cluster.add_workers(1, PYTHONPATH=str(copy.parent))
    _, err = finish(start(project, "refused", COLORIZE_DASK=cluster.address), 3)
    assert re.fullmatch(
        r"error: the worker tcp://127.0.0.1:\d+ has other code; update its files and start it again",
        err.splitlines()[-1],
    )
