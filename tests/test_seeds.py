"""Seeds, models and data sets that come and go, with the real DVC in a small project that is a git repository."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helpers import processes, projects
from tests.helpers.clones import stages_run

DATASETS, MODELS = ("tiny", "other"), ("cnn", "regression")
WAY_BACK = (("git", "checkout", "--quiet", "."), ("dvc", "checkout"))  # as in README.md


def run(project: Path, *command: str, expect: int = 0) -> str:
    """Run a command in the project; both of its streams."""
    done = subprocess.run(
        command, cwd=project, env=processes.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == expect, done.stdout[-4000:]
    return done.stdout


def commit(project: Path, message: str) -> None:
    run(project, "git", "add", "--all")
    run(project, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", message)


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
    assert stages_run(run(project, "dvc", "repro", "--dry")) == []


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


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """Two data sets, two models and one seed, recorded by DVC and committed; nothing has been run since."""
    folder = tmp_path_factory.mktemp("seeds")
    project = projects.make_project(folder / "project", MODELS, steps=2)
    shutil.copy(project / "sources/tiny.yaml", project / "sources/other.yaml")
    change(project, datasets=list(DATASETS))
    config = project / ".dvc/config"
    config.write_text(config.read_text().replace("    no_scm = true\n", ""))
    run(project, "git", "init", "--quiet")
    processes.load_everything()
    stages = [(stage, dataset) for stage in ("shard", "prior") for dataset in DATASETS]
    for stage in ("train", "evaluate"):
        stages += [(stage, dataset, model, "0") for dataset in DATASETS for model in MODELS]
    stages += [*(("evaluate", dataset, "gray", "prior") for dataset in DATASETS), ("report",)]
    for stage in stages:
        processes.run(project, stage, folder / "log")
    run(project, "dvc", "commit", "--force", "--quiet")
    commit(project, "two data sets, two models")
    return project


@pytest.fixture(scope="module")
def small(large) -> Path:
    """The same project with one data set and one model, committed; tests of the large one come first."""
    run(large, "dvc", "exp", "run", "-S", "models=[cnn]", "-S", "datasets=[tiny]")
    commit(large, "one data set, one model")
    return large


def test_an_experiment_without_a_model_and_a_data_set_can_be_undone(large):
    runs = folders(large)
    said = run(large, "dvc", "exp", "run", "-S", "models=[cnn]", "-S", "datasets=[tiny]")
    assert stages_run(said) == ["evaluate@tiny-cnn-0", "baseline@tiny", "report"]
    evaluations = [f"evaluations/tiny-{name}" for name in ("cnn-0", "gray", "prior")]
    assert folders(large) == [*evaluations, "histories/tiny-cnn-0", "models/tiny-cnn-0"]
    assert stages_run(run(large, "dvc", "repro", "--dry")) == []
    for command in WAY_BACK:
        run(large, *command)
    assert_is_as_committed(large, runs)


def test_results_of_a_model_that_was_removed_by_hand_are_refused_until_dvc_checkout(large, tmp_path):
    runs, log = folders(large), tmp_path / "log"
    change(large, models=["cnn"])
    assert processes.wait(processes.start(large, ("report",), log)) == 3
    names = (f"data/{kind}/{name}-regression-0" for kind in ("evaluations", "histories") for name in sorted(DATASETS))
    assert log.read_text() == (
        f"error: results of no data set, model and seed of params.yaml: {', '.join(names)}; run `dvc checkout`, which "
        "removes those that DVC has recorded, delete the folders that remain, and run again\n"
    )
    (large / "data/evaluations/mine").mkdir()
    run(large, "dvc", "checkout")
    assert processes.wait(processes.start(large, ("report",), tmp_path / "again")) == 3
    assert ": data/evaluations/mine; run" in (tmp_path / "again").read_text()
    (large / "data/evaluations/mine").rmdir()
    assert stages_run(run(large, "dvc", "repro")) == ["report"]
    for command in WAY_BACK:
        run(large, *command)
    assert_is_as_committed(large, runs)


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
    for command in WAY_BACK:
        run(small, *command)
    assert_is_as_committed(small, runs)


def test_metrics_can_be_compared_after_a_change_of_a_parameter(small, tmp_path):
    train = yaml.safe_load((small / "params.yaml").read_text())["train"]
    change(small, train={**train, "lr": 0.1, "head_bias": "zero"})
    for stage in (("train", "tiny", "cnn", "0"), ("evaluate", "tiny", "cnn", "0"), ("report",)):
        processes.run(small, stage, tmp_path / "log")  # DVC compares the files, whoever wrote them
    assert_compares(run(small, "dvc", "metrics", "diff"), {"tiny-cnn/tiny"})
