"""`tools/use_profile.py`: switches the parameters and never loses a person's edits or results.

How results that DVC has recorded go and come back: tests/product/test_lost.py and tests/test_pipeline.py.
"""

import shutil
from pathlib import Path

import pytest

from tests.helpers import processes


@pytest.fixture
def project(repo, tmp_path) -> Path:
    """A scratch project with the profiles, the default parameters, and files of one's own."""
    shutil.copytree(repo / "profiles", tmp_path / "profiles")
    shutil.copy(tmp_path / "profiles" / "sample.yaml", tmp_path / "params.yaml")
    for name in ("data/raw/a.zip", "data/models/a/model.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.fixture
def use(project):
    """`use("paper")` -> the finished process."""
    return lambda *names: processes.call("tools.use_profile", *names, folder=project)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["paper", "tiny", "ci", "sample"])
def test_params_become_the_profile(use, project, name):
    done = use(name)
    assert done.returncode == 0
    assert f"params.yaml is now profiles/{name}.yaml" in done.stdout
    assert (project / "params.yaml").read_bytes() == (project / "profiles" / f"{name}.yaml").read_bytes()


def test_there_and_back_gives_the_same_parameters(use, project):
    before = (project / "params.yaml").read_bytes()
    assert use("paper").returncode == use("sample").returncode == 0
    assert (project / "params.yaml").read_bytes() == before


def test_what_dvc_has_not_recorded_stays(use, project):
    assert use("paper").returncode == 0
    assert {path for path in tree(project) if not path.startswith("profiles")} == {
        "data/raw/a.zip", "data/models/a/model.json", "params.yaml"
    }  # fmt: skip


def test_a_cell_that_dvc_has_not_recorded_is_in_the_way(use, project):
    (project / "data/models/objects-unet-0").mkdir(parents=True)
    (project / "data/models/objects-unet-0/model.json").write_text("{}")
    before = tree(project)
    done = use("paper")
    assert done.returncode == 3
    assert done.stderr.startswith("error: data/models/objects-unet-0: DVC's cache could not restore this")
    assert tree(project) == before


def test_edits_of_ones_own_are_never_overwritten(use, project):
    with (project / "params.yaml").open("a") as file:
        file.write("# mine\n")
    before = tree(project)
    done = use("paper")
    assert done.returncode != 0
    assert done.stderr.startswith("error: params.yaml has changes of your own")
    assert len(done.stderr.splitlines()) == 1
    assert tree(project) == before


def test_an_unknown_profile_is_refused_with_the_list(use, project):
    before = tree(project)
    done = use("papers")
    assert done.returncode != 0
    assert done.stderr == "error: there is no profile 'papers'; the profiles are ci, paper, sample, tiny\n"
    assert tree(project) == before
