"""Seeds, models and data sets that come and go, with the real DVC in a small project that is a git repository."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from colorize.layout import UNTRAINED
from tests.helpers import processes, projects
from tests.helpers.clones import stages_run

WAY_BACK = (("git", "checkout", "--quiet", "."), ("dvc", "checkout"))  # as in README.md
SMALL = [  # folders of the small project in data/
    *(f"evaluations/tiny-{name}" for name in sorted(("cnn-0", *UNTRAINED))), "histories/tiny-cnn-0", "models/tiny-cnn-0"
]  # fmt: skip


def run(project: Path, *command: str, expect: int = 0) -> str:
    """Run a command in the project; both of its streams."""
    if command[0] == "dvc":
        code, said = processes.dvc(project, *command[1:])
        assert code == expect, said[-4000:]
        return said
    done = subprocess.run(
        command, cwd=project, env=processes.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == expect, done.stdout[-4000:]
    return done.stdout


def record(project: Path, stages: list[tuple[str, ...]], log: Path) -> None:
    """Run stages in children of this process, which need not import torch again; DVC and git record the results."""
    for stage in stages:
        processes.run(project, stage, log)
    run(project, "dvc", "commit", "--force", "--quiet")
    run(project, "git", "add", "--all")
    run(project, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "test")


def change(project: Path, **values: object) -> None:
    """Write other values of top-level keys into params.yaml."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    (project / "params.yaml").write_text(yaml.safe_dump(params | values, sort_keys=False))


def folders(project: Path) -> list[str]:
    """Runs that have files in data/, by folder."""
    return sorted({path.relative_to(project / "data").as_posix() for path in project.glob("data/[ehm]*/*")})


def assert_is_as_committed(project: Path, runs: list[str]) -> None:
    """Git and DVC find no change, and no folder of an experiment is left."""
    assert run(project, "git", "status", "--porcelain") == ""
    assert folders(project) == runs
    assert "up to date" in run(project, "dvc", "repro", "--dry")


def assert_can_be_undone(project: Path, runs: list[str]) -> None:
    """The commands of README.md undo an experiment."""
    assert run(project, "git", "status", "--porcelain") != ""
    for command in WAY_BACK:
        run(project, *command)
    assert_is_as_committed(project, runs)


def rows_of(difference: str) -> dict[str, list[list[str]]]:
    """The rows of `dvc metrics diff` by file: metric, old value, new value, change."""
    found: dict[str, list[list[str]]] = {}
    for line in difference.splitlines()[1:]:
        path, *row = line.split()
        found.setdefault(path, []).append(row)
    return found


def assert_compares(difference: str, cells: set[str]) -> None:
    """At most five rows per cell, each with two values."""
    rows = rows_of(difference)
    assert set(rows) == {f"results/metrics/{cell}.json" for cell in cells}
    for values in rows.values():
        assert len(values) <= 5
        assert all(re.fullmatch(r"-?[\d.e-]*\d", number) for row in values for number in row[1:]), values


def refusal(project: Path, folder: Path) -> list[str]:
    """The folders that the report refuses, as its error names them."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    assert processes.wait(processes.start(project, ("report",), log)) == 3
    found = re.fullmatch(
        r"error: results of no data set, model and seed of params\.yaml: (.*); run `dvc checkout`, which removes those "
        r"that DVC has recorded, delete the folders that remain, and run again\n",
        log.read_text(),
    )
    assert found, log.read_text()
    return found[1].split(", ")


@pytest.fixture(scope="module")
def small(tmp_path_factory, without_plots) -> Path:
    """A data set, a model and a seed, recorded by DVC and committed; nothing has been run since."""
    folder = tmp_path_factory.mktemp("seeds")
    project = projects.make_project(folder / "project", ("cnn",), steps=2, select="last")
    config = project / ".dvc/config"
    config.write_text(config.read_text().replace("    no_scm = true\n", ""))
    run(project, "git", "init", "--quiet")
    processes.load_everything()
    stages = [("shard", "tiny"), ("prior", "tiny"), ("train", "tiny", "cnn", "0"), ("evaluate", "tiny", "cnn", "0")]
    record(project, [*stages, ("evaluate", "tiny", "baselines"), ("report",)], folder / "log")
    return project


@pytest.fixture(scope="module")
def large(small) -> Path:
    """The same project with a second data set and a second model, committed after the first commit."""
    shutil.copy(small / "sources/tiny.yaml", small / "sources/other.yaml")
    change(small, datasets=["tiny", "other"], models=["cnn", "regression"])
    runs = [(dataset, model) for dataset in ("tiny", "other") for model in ("cnn", "regression")]
    stages = [("shard", "other"), ("prior", "other"), *(("train", *names, "0") for names in runs[1:])]
    stages += [("evaluate", *names, "0") for names in runs]
    stages += [("evaluate", dataset, "baselines") for dataset in ("tiny", "other")]
    record(small, [*stages, ("report",)], small.parent / "log")
    return small


def test_a_further_seed_trains_and_evaluates_only_its_own_runs_and_can_be_undone(small):
    runs = folders(small)
    before = json.loads((small / "results/metrics/tiny-cnn/tiny.json").read_text())
    said = run(small, "dvc", "exp", "run", "-S", "seeds=[0,1]")
    assert stages_run(said) == ["train@tiny-cnn-1", "evaluate@tiny-cnn-1", "report"]
    assert_compares(run(small, "dvc", "metrics", "diff"), {"tiny-cnn/tiny"})
    values = [
        json.loads((small / f"data/evaluations/tiny-cnn-{seed}/tiny/details.json").read_text())["measures"]
        for seed in (0, 1)
    ]
    after = json.loads((small / "results/metrics/tiny-cnn/tiny.json").read_text())
    assert {name: values[0][name] for name in before} == before
    assert after == {name: pytest.approx((values[0][name] + values[1][name]) / 2, abs=6e-6) for name in before}
    assert "±" in (small / "results/table1.md").read_text()
    assert_can_be_undone(small, runs)


def test_an_experiment_without_a_model_and_a_data_set_can_be_undone(large):
    runs = folders(large)
    said = run(large, "dvc", "exp", "run", "-S", "models=[cnn]", "-S", "datasets=[tiny]")
    assert re.findall(r"Stage '(.*)' is cached", said) == ["evaluate@tiny-cnn-0", "baseline@tiny", "report"]
    assert stages_run(said) == []
    assert folders(large) == SMALL
    assert "up to date" in run(large, "dvc", "repro", "--dry")
    assert_can_be_undone(large, runs)


def test_a_data_set_and_a_model_can_be_removed_as_the_documentation_says(large, tmp_path):
    """docs/data.md; what is then left is what was committed before they were added."""
    change(large, datasets=["tiny"], models=["cnn"])
    names = sorted((*UNTRAINED, "cnn-0", "regression-0"))
    foreign = [f"evaluations/other-{name}" for name in names]
    foreign += [
        f"evaluations/tiny-{name}" if name == "regression-0" else f"evaluations/tiny-{name}/other" for name in names
    ]
    foreign += ["histories/other-cnn-0", "histories/other-regression-0", "histories/tiny-regression-0"]
    assert refusal(large, tmp_path) == [f"data/{name}" for name in foreign]
    (large / "data/evaluations/mine").mkdir()
    run(large, "dvc", "checkout")
    assert refusal(large, tmp_path)[0] == "data/evaluations/mine"
    (large / "data/evaluations/mine").rmdir()
    (large / "dvc.lock").unlink()
    assert stages_run(run(large, "dvc", "repro")) == []
    run(large, "git", "reset", "--quiet", "HEAD~1")
    (large / "sources/other.yaml").unlink()
    assert_is_as_committed(large, SMALL)
    assert not list(large.glob("data/*/*/other"))


def test_metrics_can_be_compared_after_a_change_of_one_parameter(small, tmp_path):
    train = yaml.safe_load((small / "params.yaml").read_text())["train"]
    change(small, train={**train, "lr": 0.1})
    for stage in (("train", "tiny", "cnn", "0"), ("evaluate", "tiny", "cnn", "0"), ("report",)):
        processes.run(small, stage, tmp_path / "log")  # DVC compares the files, whoever wrote them
    assert_compares(run(small, "dvc", "metrics", "diff"), {"tiny-cnn/tiny"})
