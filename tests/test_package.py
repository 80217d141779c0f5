"""The package: its dependencies and their pins, what the wheel holds, and that it works without the repository."""

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import colorize
from colorize.models import contract, files

PIPELINE = ("dvc", "matplotlib", "pandas", "pydantic", "scikit-image", "scikit-learn", "webdataset")  # at least

_HIDE = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {names!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""

_CALL = """
import sys, numpy, colorize

for name in sys.argv[2:]:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} can be imported")
print(colorize.__file__)
print(colorize.load(sys.argv[1])(numpy.zeros((20, 30), numpy.uint8)).shape)
"""


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=300)


def project_files(repo: Path) -> list[str]:
    """Names of all files that git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listed.split("\0") if name and (repo / name).is_file())


@pytest.fixture(scope="module")
def project(repo) -> dict:
    return tomllib.loads((repo / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, repo) -> Path:
    """Built without the network, from a copy of the project, because the build writes into its folder."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in project_files(repo):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repo / name, source / name)
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", built, source)
    (path,) = built.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel) -> Path:
    """The `bin` folder of a virtual environment that holds the wheel and takes the dependencies from this one."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder)
    pip("--python", folder / "bin/python", "install", "--no-index", "--no-deps", wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    here = sysconfig.get_paths()
    (packages / "dependencies.pth").write_text(f"{here['purelib']}\n{here['platlib']}\n")
    return folder / "bin"


def import_names(requirements: list[str]) -> list[str]:
    """What the distributions of a list of requirements are imported as."""
    wanted = {canonicalize_name(Requirement(text).name) for text in requirements}
    return sorted(
        name for name, found in packages_distributions().items() if wanted & set(map(canonicalize_name, found))
    )


def save_model(folder: Path, name: str) -> None:
    torch.manual_seed(0)
    files.save(folder, contract.build_model(name, 0.05), {"model": name, "width": 0.05, "size": 32})


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel, repo, project):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (archive.read(name) for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in archive.namelist())
    assert names == {name for name in project_files(repo) if name.startswith("colorize/")}
    assert {"colorize/py.typed", "colorize/report/templates/gallery.html.j2"} <= names
    fields = email.message_from_bytes(metadata)
    assert (fields["Name"], fields["Version"]) == ("let-there-be-color", colorize.__version__)
    assert fields["License-Expression"] == "MIT"


def test_installed_it_works_without_the_repository_and_what_only_the_pipeline_needs(installed, project, tmp_path):
    extras = project["optional-dependencies"]
    development = [text for text in extras["dev"] if "setuptools" not in text]
    others = [
        text for name in ("pipeline", "perceptual", "buckets", "cluster", "zstd", "export") for text in extras[name]
    ]
    needless = import_names(others + development)
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "sitecustomize.py").write_text(_HIDE.format(names=needless))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COLORIZE_"))}
    environment = {**kept, "PYTHONPATH": str(tmp_path / "hide"), "COLORIZE_DEVICE": "cpu"}

    def run(program: str, *arguments: str) -> str:
        command = [installed / program, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)).save(tmp_path / "photo.jpg")
    save_model(tmp_path / "unet", "unet")
    save_model(tmp_path / "regression", "regression")
    assert run("colorize", "--help") == run("python", "-m", "colorize", "--help")
    assert run("colorize", "--help").startswith("usage: colorize [-h]")
    assert run("colorize", "photo.jpg", "-o", "out", "--model", "unet").startswith("photo.jpg -> out/photo.jpg")
    file, shape = run("python", "-c", _CALL, "regression", *needless).splitlines()
    assert Path(file).is_relative_to(installed.parent)
    assert shape == "(20, 30, 3)"


def test_the_core_needs_nothing_of_the_pipeline(project):
    core = {Requirement(text).name for text in project["dependencies"]}
    extras = {Requirement(text).name for texts in project["optional-dependencies"].values() for text in texts}
    assert set(PIPELINE) <= extras
    assert not core & extras


def test_every_dependency_is_a_range_that_its_pin_satisfies(repo, project):
    pins: dict[str, list[str]] = {}
    pinned = "".join(path.read_text() for path in repo.glob("requirements*.txt"))
    for name, version in re.findall(r"^([^#\s=]+)==(\S+)", pinned, re.MULTILINE):
        pins.setdefault(canonicalize_name(name), []).append(version)
    build_system = tomllib.loads((repo / "pyproject.toml").read_text())["build-system"]
    lists = [build_system["requires"], project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (Requirement(text) for texts in lists for text in texts):
        assert not any(part.operator in ("==", "===") for part in requirement.specifier), requirement
        assert requirement.specifier, f"{requirement} has no range"
        versions = pins.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement} is not pinned"
        assert all(version in requirement.specifier for version in versions), f"{requirement}: pinned at {versions}"
