"""A training that was stopped anywhere ends as one that was not, bit for bit."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from colorize import runtime
from colorize.color.targets import Options
from colorize.layout import Run
from colorize.models.classifiers import CNN
from colorize.models.registry import MODELS
from colorize.training import checkpoint, loop
from colorize.training.checkpoint import Checkpoints
from tests.helpers import processes, projects


@pytest.fixture
def train(tiny, tiny_train, settings, tmp_path, monkeypatch, linked):
    """`train("unet", "a", ...)` -> the repository `a` of a training, its state kept in `a/.state`."""

    def run(model: str, name: str, seed: int = 0, **changes) -> Path:
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / name))
        folders = linked(tmp_path / name, tiny.folders, tiny.folders)
        changes = {"steps": 20, "val_every": 6, "pictures_every": 8, "select": "best", "lr": 1e-3, **changes}
        options = Options.of(settings.soft_targets)
        loop.train(Run("tiny", model, seed), tiny_train(**changes), options, folders, "code", "cpu").remove()
        return tmp_path / name

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def keep_all(tmp_path, monkeypatch) -> Path:
    """A folder that keeps every checkpoint of every step."""
    save = Checkpoints.save

    def save_and_keep(checkpoints, step, state):
        save(checkpoints, step, state)
        kept = tmp_path / "kept" / checkpoints.folder.name / f"{step:02d}"
        shutil.copytree(checkpoints.folder, kept, dirs_exist_ok=True)  # the last step is saved in resumed runs too

    monkeypatch.setattr(Checkpoints, "save", save_and_keep)
    monkeypatch.setenv("COLORIZE_CHECKPOINT_SECONDS", "0")
    return tmp_path / "kept"


@pytest.mark.parametrize("model", MODELS)
def test_resumed_after_any_step_it_ends_the_same(train, keep_all, monkeypatch, capsys, model):
    # Steps before, at and after two validations and a picture, and a last one without; the cost grows with the square
    steps = {"steps": 8, "val_every": 3, "pictures_every": 4}
    expected = files(train(model, "undisturbed", **steps))
    assert f"data/models/tiny-{model}-0/model.safetensors" in expected
    assert not any(name.startswith(".state") for name in expected)
    monkeypatch.delenv("COLORIZE_CHECKPOINT_SECONDS")
    (key,) = keep_all.iterdir()
    for step in range(1, steps["steps"] + 1):
        name = f"resumed-{step}"
        shutil.copytree(
            key / f"{step:02d}", keep_all.parent / name / ".state/checkpoints" / f"tiny-{model}-0" / key.name
        )
        capsys.readouterr()
        assert files(train(model, name, **steps)) == expected
        assert f"resumes after step {step}\n" in capsys.readouterr().err


def test_a_network_that_draws_random_numbers_goes_on_with_the_same_ones(train, keep_all, monkeypatch):
    """None of the paper's models does, but one that a user adds may have dropout."""

    class Dropout(CNN):
        def features(self, L_norm):
            return torch.nn.functional.dropout(super().features(L_norm), 0.5, self.training)

    plain = files(train("cnn", "plain", steps=5))
    monkeypatch.setattr("colorize.models.cnn.NETWORK", Dropout)
    expected = files(train("cnn", "undisturbed", steps=5))
    (key,) = keep_all.iterdir()
    folder = keep_all.parent / "resumed/.state/checkpoints/tiny-cnn-0" / key.name
    shutil.copytree(key / "03", folder)
    assert files(train("cnn", "resumed", steps=5)) == expected != plain


def test_when_checkpoints_are_made_does_not_matter(train, monkeypatch):
    expected = files(train("unet", "never"))
    monkeypatch.setenv("COLORIZE_CHECKPOINT_SECONDS", "0")
    assert files(train("unet", "always")) == expected


def stop_after(monkeypatch, step: int) -> None:
    """Have the process be asked to stop during a step, by a real signal."""
    save = Checkpoints.is_due

    def signal_at_the_step(checkpoints):
        signal_at_the_step.calls += 1
        if signal_at_the_step.calls == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return save(checkpoints)

    signal_at_the_step.calls = 0
    monkeypatch.setattr(Checkpoints, "is_due", signal_at_the_step)


@pytest.fixture
def stopped(train, monkeypatch, tmp_path):
    """`stopped(name)` -> a repository in which a training got SIGTERM during its seventh step."""

    def run(name: str, **changes) -> Path:
        def body():
            stop_after(monkeypatch, 7)
            runtime.run(lambda: train("unet", name, **changes), [])

        assert processes.wait(processes.fork(body, tmp_path, tmp_path / "log")) == 143
        assert (tmp_path / "log").read_text() == "train tiny-unet-0: stops after step 7 of 20; run again to resume\n"
        return tmp_path / name

    return run


def test_asked_to_stop_it_saves_and_goes_on_from_there(train, stopped, capsys):
    folder = stopped("a")
    assert [path.name for path in folder.rglob("*.ckpt")] == ["000000007.ckpt"]
    assert not (folder / "data" / "models").exists()
    assert files(train("unet", "a")) == files(train("unet", "undisturbed"))
    assert capsys.readouterr().err.startswith("train tiny-unet-0: resumes after step 7\n")


@pytest.mark.parametrize("changes", [{"lr": 2e-3}, {"seed": 1}, {"steps": 21}])
def test_with_another_parameter_it_starts_afresh_and_leaves_the_others_checkpoint(train, stopped, capsys, changes):
    folder = stopped("a")
    shutil.rmtree(folder / "data" / "histories")
    found = {name: content for name, content in files(train("unet", "a", **changes)).items() if "ckpt" not in name}
    assert found == files(train("unet", "undisturbed", **changes))
    assert "resumes" not in capsys.readouterr().err
    assert [path.name for path in folder.rglob("*.ckpt")] == ["000000007.ckpt"]


def test_a_damaged_checkpoint_costs_steps_and_changes_nothing(train, keep_all, monkeypatch, capsys):
    expected = files(train("cnn", "undisturbed"))
    monkeypatch.delenv("COLORIZE_CHECKPOINT_SECONDS")
    (key,) = keep_all.iterdir()
    place = keep_all.parent / "a/.state/checkpoints/tiny-cnn-0" / key.name
    shutil.copytree(key / "09", place)
    os.truncate(place / "000000009.ckpt", 1000)
    assert files(train("cnn", "a")) == expected
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"warning: {place}/000000009.ckpt: damaged")
    assert lines[1] == "train tiny-cnn-0: resumes after step 8"


def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(train, monkeypatch):
    monkeypatch.setenv("COLORIZE_CHECKPOINT_SECONDS", "0")
    with pytest.raises(loop.DataError, match="not finite"):
        train("regression", "a", lr=1e18)
    folder = Path(os.environ["DVC_ROOT"])
    assert not (folder / "data" / "models").exists()
    states = [checkpoint.read(path)[1] for path in folder.rglob("*.ckpt")]
    assert states and all(tensor.isfinite().all() for state in states for tensor in state["model"].values())


def test_killed_again_and_again_it_ends_the_same(tmp_path):
    """In a real process, at a random moment soon after its third checkpoint, until it ends by itself."""
    processes.load_everything()
    project = projects.make_project(tmp_path / "project", ("cnn_weighted",))
    stage, log = ("train", projects.DATASET, "cnn_weighted", "0"), tmp_path / "log"
    for earlier in projects.STAGES[:2]:
        assert processes.wait(processes.start(project, earlier, log)) == 0
    undisturbed = Path(shutil.copytree(project, tmp_path / "undisturbed"))
    assert processes.wait(processes.start(undisturbed, stage, log)) == 0
    rng = random.Random(0)
    kills = 0
    while True:
        pid = processes.start(project, stage, log, COLORIZE_FAULT="checkpoint-written:3:STOP")
        if has_ended(pid):
            assert processes.wait(pid) == 0
            break
        os.kill(pid, signal.SIGCONT)
        time.sleep(rng.uniform(0, 0.01))
        os.kill(pid, signal.SIGKILL)
        processes.wait(pid)
        kills += 1
    assert kills >= 3
    assert projects.tree(project) == projects.tree(undisturbed)


def has_ended(pid: int) -> bool:
    """Wait until the child has ended or was stopped; whether it has ended."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT).si_code == os.CLD_EXITED
