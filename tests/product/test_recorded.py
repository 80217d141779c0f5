"""What DVC records is what was computed: edits while a stage runs, files that vanish, records that contradict."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tests.helpers import processes, projects
from tests.helpers.waiting import until

MODEL = "unet"
TRAIN = f"train@tiny-{MODEL}-0"
STAGES = {  # DVC's name -> script and arguments, and a point that it passes when its work is nearly done
    "shard@tiny": (("shard", "tiny"), "shard-manifest:1"),
    "prior@tiny": (("prior", "tiny"), "prior-write:9"),
    TRAIN: (("train", "tiny", MODEL, "0"), "checkpoint-written:3"),
    f"evaluate@tiny-{MODEL}-0": (("evaluate", "tiny", MODEL, "0"), "evaluate-details:1"),
    "baseline@tiny": (("evaluate", "tiny", "baselines"), "evaluate-details:1"),
    "report": (("report",), "report-files:6"),
}
OWN_EDITS = {  # an edit of each stage's own: file, old text, new text
    "params, shard": ("shard@tiny", "params.yaml", "per_shard: 5", "per_shard: 4"),
    "params, prior": ("prior@tiny", "params.yaml", "lambda: 0.5", "lambda: 0.25"),
    "params, train": (TRAIN, "params.yaml", "lr: 0.001", "lr: 0.005"),
    "params, evaluate": (f"evaluate@tiny-{MODEL}-0", "params.yaml", "num_worst: 2", "num_worst: 1"),
    "params, report": ("report", "params.yaml", "columns: 2", "columns: 3"),
    "type of a parameter": (TRAIN, "params.yaml", "weight_decay: 0.001", "weight_decay: 0.0010001"),
    "code, shard": ("shard@tiny", "colorize/sharding/build.py", "import Sequence", "import Sequence  # a remark"),
    "code, train": (TRAIN, "colorize/models/unet.py", "NETWORK = UNet", "NETWORK  = UNet"),
    "code, report": ("report", "colorize/report/table.py", "import csv", "import csv  # a remark"),
    "source": ("shard@tiny", "sources/tiny.yaml", "path: tiny.zip", "path: ./tiny.zip"),
}


def dvc(project: Path, *arguments: str) -> SimpleNamespace:
    returncode, stdout = processes.dvc(project, *arguments)
    return SimpleNamespace(returncode=returncode, stdout=stdout)


def verify(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    return processes.call("colorize.verify", *arguments, folder=project)


@contextlib.contextmanager
def halted(project: Path, stage: str, point: str = "") -> Iterator[SimpleNamespace]:
    """A stage that stands still when its work is nearly done; it goes on after the block, to its end.

    After the block, `returncode` of what it yields is the exit code.
    """
    command, last_point = STAGES[stage]
    pid = processes.start(project, command, project / "log", **stop_at(point or last_point))
    with going_on_later(project, pid) as ended:
        yield ended


@contextlib.contextmanager
def halted_in_dvc(project: Path) -> Iterator[SimpleNamespace]:
    """`dvc repro` of the training, which stands still after its third checkpoint; like `halted`."""
    arguments = ("repro", "--single-item", TRAIN)
    pid = processes.start_dvc(project, arguments, project / "log", **stop_at(STAGES[TRAIN][1]))
    with going_on_later(project, pid) as ended:
        yield ended


def stop_at(point: str) -> dict[str, str]:
    """Environment variables with which a stage stops at a point."""
    return {"COLORIZE_FAULT": f"{point}:STOP", "COLORIZE_PROCS": "1"}


@contextlib.contextmanager
def going_on_later(project: Path, pid: int) -> Iterator[SimpleNamespace]:
    """Wait until a process, or a child of it, has stopped; it goes on after the block, to its end."""
    until(lambda: stopped_in(pid) or state_of(pid) == "Z")
    stopped = stopped_in(pid)
    assert stopped, (project / "log").read_text()
    ended = SimpleNamespace(returncode=None)
    try:
        yield ended
    finally:
        os.kill(stopped, signal.SIGCONT)
        ended.returncode = processes.wait(pid)


def stopped_in(pid: int) -> int | None:
    """The process or child of it that was stopped."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next((int(name) for name in (pid, *children) if state_of(name) == "T"), None)


def state_of(pid: int | str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def recorded(project: Path) -> dict:
    lock = project / "dvc.lock"
    return yaml.safe_load(lock.read_text())["stages"] if lock.exists() else {}


@pytest.fixture(scope="module")
def made(tmp_path_factory, without_plots) -> dict[str, Path]:
    """Copies of a project before each stage, those before it recorded by DVC, and as `done` one with all of them."""
    folder = tmp_path_factory.mktemp("made")
    project = projects.make_project(folder / "project", (MODEL,), steps=20)
    copies = {}
    processes.load_everything()
    for stage, (command, _) in STAGES.items():
        copies[stage] = Path(shutil.copytree(project, folder / f"before-{stage}", symlinks=True))
        processes.run(project, command, folder / "log")
    done = dvc(project, "commit", "--force")
    assert done.returncode == 0, done.stdout
    copies["done"] = project
    return copies


@pytest.fixture
def project(made, tmp_path):
    """`project(stage)` -> a copy of the project before that stage."""
    return lambda stage: Path(shutil.copytree(made[stage], tmp_path / "project", symlinks=True))


@pytest.mark.parametrize("kind", OWN_EDITS)
def test_an_edit_while_a_stage_runs_is_not_recorded_for_what_was_computed_before_it(project, kind):
    stage, file, old, new = OWN_EDITS[kind]
    folder = project(stage)
    with halted(folder, stage) as process:
        edit(folder / file, old, new)
    said = (folder / "log").read_text()
    assert process.returncode == 3
    assert f"{file}" in said and "changed during the run" in said and "undo the change and run again" in said
    if file == "params.yaml":
        assert f"{old.split()[-1]} -> {new.split()[-1]}" in said
    assert "Traceback" not in said


def test_dvc_records_nothing_of_it_and_undoing_the_edit_costs_no_step(project):
    folder = project(TRAIN)
    with halted_in_dvc(folder) as process:
        edit(folder / "params.yaml", "lr: 0.001", "lr: 0.005")
    assert process.returncode != 0 and TRAIN not in recorded(folder)
    edit(folder / "params.yaml", "lr: 0.005", "lr: 0.001")
    assert "resumes after step 3" in dvc(folder, "repro", TRAIN).stdout
    assert TRAIN in recorded(folder)


def git(project: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *identity, *arguments], cwd=project, check=True)


def test_an_experiment_beside_a_running_stage_is_noticed_and_can_be_undone(project):
    """DVC refuses the experiment, but has written its value to params.yaml by then."""
    folder = project(TRAIN)
    config = folder / ".dvc/config"
    config.write_text(config.read_text().replace("    no_scm = true\n", ""))
    git(folder, "init", "--quiet")
    assert dvc(folder, "commit", "--force", "shard@tiny", "prior@tiny").returncode == 0
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "test")
    with halted_in_dvc(folder) as process:
        refused = dvc(folder, "exp", "run", "-S", "train.lr=0.005", TRAIN)
    assert refused.returncode != 0 and "is busy" in refused.stdout
    assert "lr: 0.005" in (folder / "params.yaml").read_text()
    assert process.returncode != 0 and TRAIN not in recorded(folder)
    assert "params.yaml changed during the run (train.lr 0.001 -> 0.005); undo" in (folder / "log").read_text()
    (folder / "params.yaml").unlink()  # git may take DVC's text for the committed one
    git(folder, "checkout", "--quiet", "HEAD", "params.yaml")
    said = dvc(folder, "repro", TRAIN).stdout
    assert "resumes after step 3" in said, said


def test_an_edit_that_another_stage_reads_disturbs_nothing(project):
    folder = project(TRAIN)
    with halted_in_dvc(folder) as process:
        edit(folder / "colorize/report/table.py", "import csv", "import csv  # a remark")
        edit(folder / "params.yaml", "num_worst: 2", "num_worst: 1")
        with (folder / "params.yaml").open("a") as file:
            file.write("# a remark\n")
    assert process.returncode == 0 and TRAIN in recorded(folder)


def test_a_dependency_that_is_replaced_while_a_stage_reads_it_is_noticed(project):
    """Here the manifest of the shards; the shards themselves lie in a larger file."""
    folder = project(TRAIN)
    with halted(folder, TRAIN) as process:
        path = folder / "data/shards/train/tiny/manifest.json"
        text = path.read_text().replace('"dataset": "tiny"', '"dataset": "other"')
        path.unlink()
        path.write_text(text)
    assert process.returncode == 3
    assert "data/shards/train/tiny/manifest.json changed during the run" in (folder / "log").read_text()


def test_an_archive_that_is_replaced_while_it_is_sharded_is_noticed(project):
    folder = project("shard@tiny")
    with halted(folder, "shard@tiny", "shard-member:2") as process:
        archive = folder / "data/raw/tiny.zip"
        shutil.copy(archive, folder / "other.zip")
        (folder / "other.zip").replace(archive)
    assert process.returncode == 3
    assert "data/raw/tiny.zip: changed during the run; run again" in (folder / "log").read_text()


@pytest.mark.parametrize(
    ("stage", "lost"),
    [
        ("shard@tiny", "data/shards/train/tiny/000001.tar"),
        ("shard@tiny", "data/shards/val/tiny/images.csv"),
        ("prior@tiny", "data/priors/tiny/counts.npy"),
        (TRAIN, f"data/histories/tiny-{MODEL}-0/layers.json"),
        ("report", "results/table1.tex"),
    ],
)
def test_an_out_that_lost_files_while_its_stage_ran_is_not_recorded(project, stage, lost):
    folder = project(stage)
    with halted(folder, stage) as process:
        (folder / lost).unlink()
    assert process.returncode == 3
    assert f"{lost}: removed or changed by another program during the run; run again" in (folder / "log").read_text()


def test_a_repair_beside_a_running_stage_removes_nothing(project):
    folder = project("shard@tiny")
    with halted(folder, "shard@tiny") as process:
        done = verify(folder, "--repair")
        assert done.returncode == 3 and "shard-tiny is running (PID" in done.stderr
        assert (folder / "data/shards/train/tiny/000000.tar").exists()
    assert process.returncode == 0


def poisoned(folder: Path) -> str:
    """Have DVC record a training for another learning rate than it had, as an edit in the last moment does."""
    edit(folder / "params.yaml", "lr: 0.001", "lr: 0.005")
    done = dvc(folder, "commit", "--force", TRAIN)
    assert done.returncode == 0, done.stdout
    return recorded(folder)[TRAIN]["params"]["params.yaml"]["train"]["lr"]


def test_verify_names_a_result_that_was_recorded_for_other_parameters_and_repairs_it(project):
    folder = project("done")
    before = (folder / f"data/models/tiny-{MODEL}-0/model.safetensors").read_bytes()
    assert poisoned(folder) == 0.005
    done = verify(folder)
    assert done.returncode == 3
    assert "train.lr 0.001 -> 0.005" in done.stdout and TRAIN in done.stdout
    repaired = verify(folder, "--repair")
    assert repaired.returncode == 0, repaired.stdout
    said = dvc(folder, "repro", TRAIN).stdout
    assert f"Running stage '{TRAIN}'" in said and "is cached" not in said
    assert (folder / f"data/models/tiny-{MODEL}-0/model.safetensors").read_bytes() != before
    assert verify(folder).returncode == 0
    edit(folder / "params.yaml", "lr: 0.005", "lr: 0.001")
    assert "is cached - skipping run" in dvc(folder, "repro", TRAIN).stdout
    assert (folder / f"data/models/tiny-{MODEL}-0/model.safetensors").read_bytes() == before


def test_verify_names_an_out_that_lost_files_before_it_was_recorded_and_the_remedy_helps(project):
    folder = project("done")
    for path in (folder / "data/shards").glob("t*/tiny/*.tar"):
        path.unlink()
    assert dvc(folder, "commit", "--force", "shard@tiny").returncode == 0
    assert verify(folder).returncode == 3
    repaired = verify(folder, "--repair")
    assert repaired.returncode == 0, repaired.stdout
    assert dvc(folder, "repro", "shard@tiny").returncode == 0
    assert len(list((folder / "data/shards").glob("*/tiny/*.tar"))) == 6
    assert verify(folder).returncode == 0


def test_a_remark_in_the_code_of_sharding_shards_again_and_retrains_nothing(project):
    folder = project("done")
    with (folder / "colorize/sharding/build.py").open("a") as file:
        file.write("# a remark\n")
    said = dvc(folder, "repro").stdout
    assert [line for line in said.splitlines() if line.startswith("Running stage")] == ["Running stage 'shard@tiny':"]
    with (folder / "colorize/training/loop.py").open("a") as file:
        file.write("# a remark\n")
    said = dvc(folder, "repro").stdout
    assert [line for line in said.splitlines() if line.startswith("Running stage")] == [f"Running stage '{TRAIN}':"]
