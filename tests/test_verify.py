"""`make verify`: finds what DVC does not look for, and names a command that really repairs it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from colorize import runtime, verify
from colorize.models import contract
from colorize.pipeline import contents
from tests.helpers import processes, projects

MODEL = "unet"
STAGES = (("shard", "tiny"), ("prior", "tiny"), ("train", "tiny", MODEL, "0"), ("evaluate", "tiny", MODEL, "0"))


def dvc(project: Path, *arguments: str) -> str:
    code, output = processes.dvc(project, *arguments, COLORIZE_PROCS="1")
    assert code == 0, output
    return output


@pytest.fixture(scope="module")
def made(tmp_path_factory, without_plots) -> Path:
    """A project whose stages up to one evaluation have run, recorded by DVC."""
    folder = tmp_path_factory.mktemp("verify")
    project = projects.make_project(folder / "project", (MODEL,), steps=2)
    processes.load_everything()
    for stage in STAGES:
        processes.run(project, stage, folder / "log")
    names = ("shard@tiny", "prior@tiny", f"train@tiny-{MODEL}-0", f"evaluate@tiny-{MODEL}-0")
    dvc(project, "commit", "--force", *names)
    return project


@pytest.fixture
def project(made, tmp_path, monkeypatch) -> Path:
    """A copy to damage; outs and cache share their files there too."""
    subprocess.run(["cp", "-a", made, tmp_path / "project"], check=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def flip(path: Path, byte: int = 20) -> None:
    """Flip a bit as a failing disk does, without a new file or time."""
    path.chmod(0o644)
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(byte)
        bits = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([bits ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def found(place: str = ".") -> dict[str, str]:
    """Path -> what is wrong with it; the cache's objects under one name."""
    problems = verify.verify(Path(place)).problems
    return {"object" if ".dvc" in problem.path.parts else str(problem.path): problem.what for problem in problems}


def test_nothing_is_wrong_with_what_was_made(project):
    checked = verify.verify()
    assert (checked.problems, checked.notes) == ([], [])
    assert checked.num_files > 50
    assert len(list(project.glob("data/*/*"))) >= 4


@pytest.mark.parametrize(
    ("file", "out"),
    [
        ("data/shards/train/tiny/000001.tar", "data/shards/train/tiny"),
        ("data/shards/train/tiny/images.csv", "data/shards/train/tiny"),
        ("data/priors/tiny/prior.png", "data/priors/tiny"),
        (f"data/models/tiny-{MODEL}-0/model.safetensors", f"data/models/tiny-{MODEL}-0"),
        (f"data/histories/tiny-{MODEL}-0/history.csv", f"data/histories/tiny-{MODEL}-0"),
        (f"data/evaluations/tiny-{MODEL}-0/tiny/predictions.npz", f"data/evaluations/tiny-{MODEL}-0"),
    ],
)
def test_a_flipped_bit_is_found_in_the_out_and_in_the_cache(project, file, out):
    flip(project / file)
    expected = {
        "object": "damaged object of DVC's cache: its MD5 differs from its name",
        out: "damaged, and so is its object in DVC's cache",
    }
    assert found() == expected
    assert found(out) == expected
    assert found("data/shards/val") == {}


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("data/shards/train/tiny/000001.tar", "000001.tar: missing or damaged"),
        ("data/priors/tiny/initial_distribution-cnn.npy", "initial_distribution-cnn.npy: "),
        (f"data/models/tiny-{MODEL}-0/model.safetensors", "model.safetensors: missing or damaged"),
        (f"data/evaluations/tiny-{MODEL}-0/tiny/predictions.npz", "tiny/predictions.npz: "),
    ],
)
def test_without_dvc_each_files_own_check_finds_it(project, file, what):
    (project / "dvc.lock").unlink()
    shutil.rmtree(project / ".dvc/cache")
    with (project / file).open("rb") as opened:
        content = opened.read()
    (project / file).unlink()
    (project / file).write_bytes(content[: len(content) // 2])
    (problem,) = verify.verify().problems
    assert problem.what.startswith(what)
    folder = "/".join(file.split("/")[: 4 if "shards" in file else 3])
    assert problem.command.startswith(f"python -m colorize.verify --repair {folder} && dvc repro ")


def test_a_baseline_needs_no_predictions(tmp_path):
    for name, lacks in (("tiny-target_prior", False), ("tiny-unet-0", True)):
        folder = tmp_path / name / "tiny"
        folder.mkdir(parents=True)
        np.savez(folder / "per_image.npz", l2=np.zeros(3))
        check = contents.check_of(Path("data/evaluations/tiny-gray"))
        assert contents.problem(check, folder.parent)[0] == ("tiny/predictions.npz: no such file" if lacks else "")


def test_predictions_that_are_gone_are_missed_without_dvc_too(project):
    (project / "dvc.lock").unlink()
    (project / f"data/evaluations/tiny-{MODEL}-0/tiny/predictions.npz").unlink()
    assert list(found()) == [f"data/evaluations/tiny-{MODEL}-0"]


def test_an_out_made_by_hand_is_told_from_a_damaged_one_and_no_repair_removes_it(project, capsys):
    path = project / f"data/evaluations/tiny-{MODEL}-0/tiny/details.json"
    path.unlink()  # it shares its content with the cache
    runtime.write_text(path, json.dumps({"measures": {"l2": 0.5}}))
    assert found() == {
        str(path.parent.parent.relative_to(project)): "differs from dvc.lock: damaged, or not made by `dvc repro`",
    }
    verify.main("--repair")
    assert path.exists()
    assert "removed" not in capsys.readouterr().out


def test_a_damaged_checkpoint_is_found(project):
    path = project / f".state/checkpoints/tiny-{MODEL}-0/0123456789abcdef/000000001.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a checkpoint")
    assert "damaged" in found()[str(path.relative_to(project))]


def test_a_damaged_lock_file_is_one_line_and_the_rest_is_checked(project):
    (project / "dvc.lock").write_text("stages: {shard@tiny: [")
    os.truncate(project / f"data/models/tiny-{MODEL}-0/model.safetensors", 100)
    problems = found()
    assert problems["dvc.lock"].startswith("damaged (while parsing")
    assert problems[f"data/models/tiny-{MODEL}-0"] == "model.safetensors: missing or damaged"


def test_something_wrong_is_exit_code_3_and_a_command(project, capsys):
    flip(project / f"data/models/tiny-{MODEL}-0/model.safetensors")
    with pytest.raises(SystemExit) as caught:
        verify.main()
    assert caught.value.code == 3
    lines = capsys.readouterr().out.splitlines()
    command = f"python -m colorize.verify --repair data/models/tiny-{MODEL}-0 && dvc repro train@tiny-{MODEL}-0"
    assert f"    repair: {command}" in lines
    assert lines[-1].endswith(" files checked, 2 problems")
    with pytest.raises(runtime.ParameterError, match=r"expected: python -m colorize\.verify"):
        verify.main("--all")


def test_a_model_whose_code_is_elsewhere_is_named_and_a_repair_leaves_it(project, monkeypatch):
    """On another branch the file of a model may not exist; its weights must survive."""

    def network_of(name):
        raise runtime.DataError(f"no model {name!r}: there is no colorize/models/{name}.py")

    monkeypatch.setattr(contract, "network_of", network_of)
    assert f"there is no colorize/models/{MODEL}.py" in found()[f"data/models/tiny-{MODEL}-0"]
    verify.main("--repair")
    assert (project / f"data/models/tiny-{MODEL}-0/model.json").exists()
    assert f"train@tiny-{MODEL}-0" in (project / "dvc.lock").read_text()


def test_a_prior_without_files_of_a_model_that_came_later_is_intact(project):
    for path in (project / "data/priors/tiny").glob("*-cnn.npy"):
        path.unlink()
    dvc(project, "commit", "--force", "prior@tiny")
    assert "data/priors/tiny" not in found()


def test_the_command_repairs_what_dvc_alone_would_not(project):
    before = (project / "data/shards/train/tiny/000001.tar").read_bytes()
    flip(project / "data/shards/train/tiny/000001.tar", 700)
    verify.main("--repair", "data/shards")
    assert not (project / "data/shards/train/tiny").exists() and (project / "data/shards/val/tiny").exists()
    dvc(project, "repro", "shard@tiny")
    assert (project / "data/shards/train/tiny/000001.tar").read_bytes() == before
    assert found() == {}
