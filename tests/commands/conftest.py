"""A folder that looks like the repository, with one untrained model."""

import pytest

from tests.helpers import coloring


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """Read only."""
    return coloring.make_repository(tmp_path_factory.mktemp("commands"))


@pytest.fixture
def here(repository, tmp_path, monkeypatch):
    """An empty working directory in which the model has its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "data").symlink_to(repository / "data")
    return tmp_path
