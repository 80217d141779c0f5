"""A trained project for tests of what comes from outside."""

import importlib
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers import outside, processes
from tests.helpers.projects import make_project

_LATE = (
    "colorize.photos.predict",
    "multiprocessing.popen_fork",
    "multiprocessing.synchronize",
    "pandas",
    "requests",
    "safetensors.torch",
    "stages.train",
    "torch._dynamo",
    "torchvision",
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A project with shards of one image, a prior and a trained model; not to be changed."""
    for name in _LATE:
        importlib.import_module(name)  # so that the children need not
    Image.init()
    folder = tmp_path_factory.mktemp("outside")
    project = make_project(folder / "project", ("regression",), steps=2)
    outside.change(project, "shard.per_shard", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("colorize.prior.picture.draw", lambda path, *_: path.write_bytes(b"no picture"))
        for stage in (("shard", "tiny"), ("prior", "tiny"), ("train", "tiny", "regression", "0")):
            processes.run(project, stage, folder / "log")
    return project


@pytest.fixture
def small_project(trained, tmp_path, monkeypatch) -> Path:
    """A copy to change; a program that hangs is ended after 20 seconds."""
    monkeypatch.setattr(processes, "HANGS_AFTER_S", 20)
    return outside.linked_copy(trained, tmp_path / "project")


@pytest.fixture
def model(trained) -> Path:
    """The folder of the trained model; not to be changed."""
    (folder,) = (trained / "data/models").iterdir()
    return folder
