"""`colorize verify`: models anywhere, and the pipeline's files in the repository."""

import shutil
from pathlib import Path

from tests.helpers.coloring import MODEL, colorize


def test_a_model_outside_of_the_pipeline_is_checked(here, capsys):
    shutil.copytree(MODEL, "copy")
    assert colorize("verify", "copy") == 0
    assert capsys.readouterr().out.startswith("copy: intact; a unet model with SHA-256 ")
    weights = Path("copy/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert colorize("verify", "copy") == 3
    assert "copy/model.safetensors: missing or damaged; copy the folder again" in capsys.readouterr().err
    assert colorize("verify", "copy", "--repair") == 2


def test_outside_of_a_repository_a_model_must_be_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert colorize("verify") == 2
    assert "name the model to check" in capsys.readouterr().err
    assert colorize("verify", "nowhere") == 3


def test_in_the_repository_it_is_the_check_of_the_pipeline(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").touch()
    assert colorize("verify") == 2
    assert "nothing to check in . yet; `dvc repro` creates it" in capsys.readouterr().err
    assert colorize("verify", "nothere") == 2
    assert "nothere: no such file or folder; expected a path such as" in capsys.readouterr().err
    assert colorize("verify", "dvc.yaml") == 2
    assert "not an output of this pipeline" in capsys.readouterr().err
