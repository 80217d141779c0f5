"""Two runs of one training: the second waits, then takes what the first made."""

import os
import signal
from pathlib import Path

import pytest

from colorize import runtime
from colorize.training import checkpoint, sharing
from tests.helpers import processes
from tests.helpers.waiting import until

KEY = {"lr": 1e-3}


@pytest.fixture
def begin(tmp_path):
    """`begin("a", key)` -> PID of a run in the copy `a` of the repository; it ends when the file `release` is there."""

    def body(copy: str, key: dict):
        folders = {"model": Path("model"), "history": Path("history")}
        with sharing.alone(checkpoint.folder_of("x-unet", key), "train x-unet", folders) as is_done:
            Path("begun").write_text("reused" if is_done else "trained")
            if not is_done:
                until((tmp_path / "release").exists)
                runtime.write_text("model/model.json", f"made by {copy}")
                runtime.write_text("history/pictures/1.png", f"drawn by {copy}")

    def start(copy: str, key: dict = KEY) -> int:
        (tmp_path / copy).mkdir()
        return processes.fork(
            lambda: runtime.run(lambda: body(copy, key), []), tmp_path / copy, tmp_path / f"{copy}.log",
            DVC_ROOT=str(tmp_path),
        )  # fmt: skip

    return start


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def waiting(folder: Path) -> list[Path]:
    return list((folder / ".state/locks").glob("*.waiting"))


def test_the_second_takes_the_result_of_the_first_and_nothing_stays_behind(tmp_path, begin):
    first = begin("a")
    until((tmp_path / "a/begun").exists)
    second = begin("b")
    until(lambda: waiting(tmp_path))
    (tmp_path / "release").touch()
    assert (processes.wait(first), processes.wait(second)) == (0, 0)
    assert files(tmp_path / "b") == {
        "begun": "reused", "model/model.json": "made by a", "history/pictures/1.png": "drawn by a",
    }  # fmt: skip
    lines = (tmp_path / "b.log").read_text().splitlines()
    assert lines[0].startswith(f"waiting for train x-unet, which is already running (PID {first} on ")
    assert lines[1:] == ["train x-unet: uses the result of the run that has just ended"]
    assert files(tmp_path / ".state") == {}


def test_with_another_parameter_nobody_waits(tmp_path, begin):
    first, second = begin("a"), begin("b", {"lr": 2e-3})
    until(lambda: (tmp_path / "a/begun").exists() and (tmp_path / "b/begun").exists())
    (tmp_path / "release").touch()
    assert (processes.wait(first), processes.wait(second)) == (0, 0)
    assert files(tmp_path / "b")["model/model.json"] == "made by b"


def test_when_the_first_is_killed_the_second_trains(tmp_path, begin):
    first = begin("a")
    until((tmp_path / "a/begun").exists)
    second = begin("b")
    until(lambda: waiting(tmp_path))
    os.kill(first, signal.SIGKILL)
    (tmp_path / "release").touch()
    assert (processes.wait(first), processes.wait(second)) == (-signal.SIGKILL, 0)
    assert files(tmp_path / "b")["begun"] == "trained"


def test_when_nobody_waits_nothing_is_left_for_anybody(tmp_path, begin):
    (tmp_path / "release").touch()
    assert processes.wait(begin("a")) == 0
    assert files(tmp_path / ".state") == {}
