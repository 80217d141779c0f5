"""`tools/use_profile.py`: switches the parameters, clears results of another profile, never loses a person's edits."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

METRICS = "results/metrics/objects-cnn/scenes.json"


@pytest.fixture
def project(repo, tmp_path) -> Path:
    """A scratch project with the profiles, the default parameters, and some results."""
    shutil.copytree(repo / "profiles", tmp_path / "profiles")
    shutil.copy(tmp_path / "profiles" / "sample.yaml", tmp_path / "params.yaml")
    for name in ("data/raw/a.zip", "data/shards/objects/manifest.json", "data/models/a/model.json", METRICS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.fixture
def use(repo, project):
    """`use("paper")` -> the finished process."""
    command = [sys.executable, str(repo / "tools" / "use_profile.py")]
    return lambda *names: subprocess.run([*command, *names], cwd=project, capture_output=True, text=True, timeout=30)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["paper", "ci", "sample"])
def test_params_become_the_profile(use, project, name):
    done = use(name)
    assert done.returncode == 0
    assert f"params.yaml is now profiles/{name}.yaml" in done.stdout
    assert (project / "params.yaml").read_bytes() == (project / "profiles" / f"{name}.yaml").read_bytes()


def test_there_and_back_gives_the_same_parameters(use, project):
    before = (project / "params.yaml").read_bytes()
    assert use("paper").returncode == use("sample").returncode == 0
    assert (project / "params.yaml").read_bytes() == before


def test_results_of_the_other_profile_go_and_raw_archives_stay(use, project):
    use("paper")
    assert {path for path in tree(project) if not path.startswith("profiles")} == {"data/raw/a.zip", "params.yaml"}


def test_edits_of_ones_own_are_never_overwritten(use, project):
    with (project / "params.yaml").open("a") as file:
        file.write("# mine\n")
    before = tree(project)
    done = use("paper")
    assert done.returncode != 0
    assert done.stderr.startswith("error: params.yaml holds edits of your own")
    assert len(done.stderr.splitlines()) == 1
    assert tree(project) == before


def test_an_unknown_profile_is_refused_with_the_list(use, project):
    before = tree(project)
    done = use("papers")
    assert done.returncode != 0
    assert done.stderr == "error: there is no profile 'papers'; there are ci, paper, sample\n"
    assert tree(project) == before
