"""Only programs set up their process; importing and calling the library changes nothing in it."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from colorize.models import contract, files
from tests.helpers import effects


def run(repo: Path, folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """A Python program that finds this repository, in a process without knobs."""
    dropped = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "CUBLAS_WORKSPACE_CONFIG")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    environment = {**kept, "PYTHONPATH": str(repo), **environment}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def save_model(folder: Path) -> Path:
    torch.manual_seed(0)
    files.save(folder, contract.build_model("regression", 0.05), {"model": "regression", "width": 0.05, "size": 32})
    return folder


def test_import_load_and_call_change_nothing_in_the_process(repo, tmp_path):
    knobs = {"COLORIZE_THREADS": "3", "COLORIZE_DEVICE": "cpu"}
    done = run(repo, tmp_path, repo / "tests/helpers/effects.py", save_model(tmp_path / "model"), **knobs)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("skipped") == ([] if importlib.util.find_spec("triton") else sorted(effects.NEEDS_TRITON))
    assert found == {"import": [], "load": [], "call": []}


@pytest.mark.skipif(sys.platform != "linux", reason="torch comes with GNU's OpenMP on Linux alone")
@pytest.mark.parametrize("program", ["stages.train", "colorize"])
def test_idle_threads_of_a_program_spin_for_a_moment_only(repo, tmp_path, program):
    """Otherwise two trainings on two cores take fifty times as long as one.

    Both programs import torch and then end, because the data set and the model are not there.
    """
    for name in ("dvc.yaml", "profiles/ci.yaml"):
        (tmp_path / Path(name).name).write_text((repo / name).read_text())
    (tmp_path / "ci.yaml").rename(tmp_path / "params.yaml")
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "photo.png")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.json").write_text("damaged")
    arguments = {"stages.train": ("objects", "unet", "0"), "colorize": ("photo.png", "--model", "model")}[program]
    done = run(repo, tmp_path, "-m", program, *arguments, OMP_DISPLAY_ENV="VERBOSE")
    assert done.returncode == 3, done.stderr
    assert "GOMP_SPINCOUNT = '2000'" in done.stderr  # as the library itself reports when torch loads it
