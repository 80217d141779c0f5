"""Checkpoints: come back as they were, never half, never somebody else's."""

import hashlib
import io
import os
import pickle
import time
from pathlib import Path

import pytest
import torch

from colorize import runtime
from colorize.training import checkpoint
from colorize.training.checkpoint import Checkpoints

STATE = {
    "model": {"head.weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(7)},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 1e-3, "betas": (0.9, 0.99)}]},
    "random": torch.get_rng_state(),
    "history": [{"step": 0, "train_loss": None}],
    "best_loss": float("inf"),
}


@pytest.fixture
def checkpoints(tmp_path, monkeypatch) -> Checkpoints:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return Checkpoints(checkpoint.folder_of("objects-unet-0", {"lr": 1e-3}))


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def save(checkpoints: Checkpoints, *steps: int) -> None:
    for step in steps:
        checkpoints.save(step, {"n": step})


def test_a_state_comes_back_as_it_was(checkpoints):
    checkpoints.save(3, STATE)
    step, state = checkpoints.latest()
    assert step == 3
    assert torch.equal(state["model"]["head.weight"], STATE["model"]["head.weight"])
    assert torch.equal(state["random"], STATE["random"])
    assert {name: state[name] for name in ("history", "best_loss")} == {
        name: STATE[name] for name in ("history", "best_loss")
    }
    assert state["optimizer"]["groups"] == STATE["optimizer"]["groups"]


def test_without_any_there_is_none_and_nothing_is_said(checkpoints, capsys):
    assert checkpoints.latest() is None
    assert capsys.readouterr().err == ""


def test_the_newest_two_are_kept(checkpoints):
    save(checkpoints, 1, 2, 10, 9)
    assert names(checkpoints) == ["000000009.ckpt", "000000010.ckpt"]
    assert checkpoints.latest() == (10, {"n": 10})


def flip(path: Path, byte: int) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("byte", [0, 63, 64, 65, 200, -1])
def test_one_flipped_bit_and_the_one_before_is_taken_and_named(checkpoints, capsys, byte):
    save(checkpoints, 1, 2)
    flip(checkpoints.folder / "000000002.ckpt", byte)
    assert checkpoints.latest() == (1, {"n": 1})
    line = capsys.readouterr().err
    assert line.startswith(f"warning: {checkpoints.folder}/000000002.ckpt: damaged") and line.count("\n") == 1


@pytest.mark.parametrize("length", [0, 10, 64, 65, 300])
def test_a_truncated_one_is_not_taken(checkpoints, length):
    save(checkpoints, 1, 2)
    os.truncate(checkpoints.folder / "000000002.ckpt", length)
    assert checkpoints.latest() == (1, {"n": 1})


def test_when_none_is_whole_training_starts_afresh_and_says_so(checkpoints, capsys):
    save(checkpoints, 1, 2)
    for path in checkpoints.folder.iterdir():
        flip(path, 100)
    assert checkpoints.latest() is None
    assert (
        capsys.readouterr().err.splitlines()[-1].endswith("no intact checkpoint; training starts from the first step")
    )


class Hostile:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch hostile",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save_as", [torch.save, lambda value, file: file.write(pickle.dumps(value))])
def test_a_hostile_one_is_refused_and_runs_nothing(checkpoints, tmp_path, monkeypatch, capsys, save_as):
    monkeypatch.chdir(tmp_path)
    content = io.BytesIO()
    save_as({"step": 5, "state": Hostile()}, content)
    save(checkpoints, 1)
    digest = hashlib.sha256(content.getvalue()).hexdigest().encode()
    (checkpoints.folder / "000000005.ckpt").write_bytes(digest + b"\n" + content.getvalue())
    assert checkpoints.latest() == (1, {"n": 1})
    assert "not a checkpoint of this project" in capsys.readouterr().err
    assert not (tmp_path / "hostile").exists()


def test_any_other_key_is_another_folder(monkeypatch):
    folder = checkpoint.folder_of("a-unet", {"lr": 1e-3, "steps": 5})
    assert checkpoint.folder_of("a-unet", {"steps": 5, "lr": 1e-3}) == folder
    assert checkpoint.folder_of("a-unet", {"lr": 2e-3, "steps": 5}).parent == folder.parent
    assert checkpoint.folder_of("a-unet", {"lr": 2e-3, "steps": 5}) != folder
    assert folder.parts[:3] == (".state", "checkpoints", "a-unet")
    monkeypatch.setenv("DVC_ROOT", "/main")
    assert checkpoint.folder_of("a-unet", {}).is_relative_to("/main/.state")


def test_they_go_and_only_long_forgotten_ones_of_other_experiments_with_them(checkpoints):
    others = [Checkpoints(checkpoint.folder_of("objects-unet-0", {"lr": lr})) for lr in (1, 2)]
    for each in (checkpoints, *others):
        save(each, 1)
    long_ago = time.time() - 15 * 24 * 3600
    os.utime(others[0].folder, (long_ago, long_ago))
    checkpoints.remove()
    assert [path.name for path in checkpoints.folder.parent.iterdir()] == [others[1].folder.name]
    others[1].remove()
    assert not checkpoints.folder.parent.exists()


def test_they_take_a_hundredth_of_the_time_at_most(checkpoints, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)

    def slow_save(*_):
        nonlocal now
        now += 2.5

    monkeypatch.setattr(torch, "save", slow_save)
    for later, is_due in ((59, False), (60, True), (249, False), (250, True)):
        if later == 249:
            save(checkpoints, 1)
        begun = checkpoints._saved
        now = begun + later
        assert checkpoints.is_due() == is_due
        now = begun


def test_one_is_due_by_the_clock_or_when_the_process_is_to_stop(checkpoints, monkeypatch):
    assert not checkpoints.is_due()
    monkeypatch.setattr(runtime, "stop_requested", lambda: True)
    assert checkpoints.is_due()
    monkeypatch.undo()
    monkeypatch.setenv("COLORIZE_CHECKPOINT_SECONDS", "0")
    assert checkpoints.is_due()
