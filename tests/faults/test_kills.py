"""Every stage, killed for real at every named point and run again: the tree of an undisturbed run, byte for byte."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.helpers import processes, projects

MODEL = "unet_weighted"
STAGES = {
    "shard": ("shard", projects.DATASET),
    "prior": ("prior", projects.DATASET),
    "train": ("train", projects.DATASET, MODEL, "0"),
    "evaluate": ("evaluate", projects.DATASET, MODEL, "0"),
    "baseline": ("evaluate", projects.DATASET, "baselines"),
    "report": ("report",),
}
POINTS = [
    (name, f"{point}:{count}")
    for name, stage in STAGES.items()
    for point in projects.POINTS[stage[0]] + projects.EVERYWHERE
    for count in ((1, 2) if point in ("shard-member", "checkpoint-written", "report-files") else (1,))
]


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory, without_plots) -> dict[str, Path]:
    """Copies of a project in which all stages up to the named one were run undisturbed."""
    processes.load_everything()
    folder = tmp_path_factory.mktemp("undisturbed")
    project = projects.make_project(folder / "project", (MODEL,), steps=4, val_every=2, pictures_every=3)
    made = {}
    for name, stage in STAGES.items():
        made[f"before {name}"] = Path(shutil.copytree(project, folder / f"before-{name}"))
        processes.run(project, stage, folder / "log")
        made[name] = Path(shutil.copytree(project, folder / f"after-{name}"))
    return made


@pytest.fixture
def project(snapshots, tmp_path):
    """`project("train")` -> a project in which everything before that stage was run."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(snapshots[f"before {name}"], tmp_path / "project", copy_function=os.link))

    return copy


@pytest.mark.parametrize(("name", "fault"), POINTS)
def test_killed_there_and_run_again_gives_the_same_tree(snapshots, project, tmp_path, name, fault):
    place, log = project(name), tmp_path / "log"
    killed = processes.wait(processes.start(place, STAGES[name], log, COLORIZE_FAULT=fault))
    if fault.startswith(("shard-member", "shard-rename")):  # in a worker
        assert killed == 3
        assert log.read_text() == "error: a worker was killed, probably because memory ran out; lower COLORIZE_PROCS\n"
    else:
        assert killed == -signal.SIGKILL
    assert processes.wait(processes.start(place, STAGES[name], log)) == 0, log.read_text()
    assert projects.tree(place) == projects.tree(snapshots[name])


@pytest.mark.parametrize(
    ("name", "point", "number", "code"),
    [
        ("shard", "shard-manifest:1", "TERM", 143),
        ("prior", "prior-write:3", "INT", 130),
        ("evaluate", "evaluate-details:1", "TERM", 143),
        ("report", "report-files:2", "INT", 130),
    ],
)
def test_interrupted_and_run_again_gives_the_same_tree(snapshots, project, tmp_path, name, point, number, code):
    place, log = project(name), tmp_path / "log"
    assert processes.wait(processes.start(place, STAGES[name], log, COLORIZE_FAULT=f"{point}:{number}")) == code
    assert log.read_text() == {143: "", 130: "interrupted\n"}[code]
    assert not list(place.rglob("*.tmp"))
    assert processes.wait(processes.start(place, STAGES[name], log)) == 0
    assert projects.tree(place) == projects.tree(snapshots[name])
