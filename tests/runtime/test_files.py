"""Writing: files appear whole or not at all, errors name the cause, and files of killed processes are removed."""

import json
import os
import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorize import runtime
from colorize.runtime import files
from tests.helpers import processes


def test_a_file_appears_only_when_whole(tmp_path):
    path = tmp_path / "deep" / "file.bin"
    with runtime.atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert list(path.parent.iterdir()) == [path]


def test_after_an_error_the_file_of_before_stands_and_nothing_else(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"before")

    def write():
        with runtime.atomic_write(path) as file:
            file.write(b"after")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_linked_file_has_two_names_and_replaces_what_was_there(tmp_path):
    source, path = tmp_path / "source", tmp_path / "deep" / "path"
    source.write_bytes(b"content")
    for before in (None, b"other"):
        if before:
            path.unlink()
            path.write_bytes(before)
        runtime.link(source, path)
        assert path.samefile(source)
    runtime.link(source, path)  # it already is
    assert [*path.parent.iterdir()] == [path]


def test_of_a_symbolic_link_the_file_itself_gets_a_second_name(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "symbolic").symlink_to("file")
    runtime.link(tmp_path / "symbolic", tmp_path / "path")
    assert not (tmp_path / "path").is_symlink() and (tmp_path / "path").samefile(tmp_path / "file")


def test_temporary_files_are_ignored_by_git_and_dvc(repo):
    for name in (".gitignore", ".dvcignore"):
        assert "*.tmp" in (repo / name).read_text().split()


def test_json_is_sorted_and_refuses_nan(tmp_path):
    path = tmp_path / "value.json"
    runtime.write_json(path, {"b": 1, "a": {"d": 0.5, "c": None}})
    assert path.read_text() == '{\n  "a": {\n    "c": null,\n    "d": 0.5\n  },\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        runtime.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text())["b"] == 1


def test_arrays_are_written_without_pickles(tmp_path):
    runtime.write_array(tmp_path / "a.npy", np.arange(3))
    assert np.load(tmp_path / "a.npy", allow_pickle=False).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="allow_pickle"):
        runtime.write_array(tmp_path / "b.npy", np.array([{}], dtype=object))


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True).returncode:
        pytest.skip("may not mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def write_bytes(path: Path) -> None:
    with runtime.atomic_write(path) as file:
        file.write(bytes(100_000))


def write_text(path: Path) -> None:
    runtime.write_text(path, "x" * 100_000)


def write_array(path: Path) -> None:
    runtime.write_array(path, np.zeros(100_000, np.uint8))


def write_png(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    with runtime.atomic_write(path) as file:
        Image.fromarray(noise).save(file, format="PNG")


def write_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    with runtime.atomic_write(path) as file:
        Image.fromarray(noise).save(file, format="JPEG", quality=95)


@pytest.mark.parametrize("write", [write_bytes, write_text, write_array, write_png, write_jpeg])
def test_a_full_disk_is_one_line_and_what_was_there_stands(full_disk, write):
    path = full_disk / "file.bin"
    path.write_bytes(b"before")
    with pytest.raises(runtime.DataError) as caught:
        write(path)
    line = str(caught.value)
    assert line.startswith(f"disk full: {path} needs ")
    needed, free = (int(number.replace(",", "")) for number in re.findall(r"(?:needs|bytes,) ([\d,]+)", line))
    assert needed > free > 0
    assert path.read_bytes() == b"before"
    assert list(full_disk.iterdir()) == [path]


def test_a_limit_on_file_size_is_one_line(tmp_path):
    def body():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        runtime.run(write_bytes, [tmp_path / "file.bin"])

    assert processes.wait(processes.fork(body, tmp_path, tmp_path / "log")) == 3
    expected = "needs 100,000 bytes, more than the limit for file sizes; see `ulimit -f`"
    assert (tmp_path / "log").read_text() == f"error: {tmp_path}/file.bin: {expected}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_an_error_of_another_file_is_not_blamed_on_the_one_that_is_written(tmp_path):
    def write(error):
        with runtime.atomic_write(tmp_path / "file.bin"):
            raise error

    for error in (PermissionError(13, "Permission denied", "photo.jpg"), OSError(28, "No space left", "elsewhere")):
        with pytest.raises(OSError) as caught:
            write(error)
        assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_an_error_before_any_work(tmp_path):
    (tmp_path / "data").write_text("a file where a folder should be")
    for prepare in (runtime.prepare_folder, write_bytes):
        with pytest.raises(runtime.DataError, match=r"data/shards.*cannot be written"):
            prepare(tmp_path / "data" / "shards")


def stray_of(pid: int, folder: Path, machine: str | None = None) -> Path:
    """The temporary file of a process."""
    return folder / f".a.tar.{machine or files._machine()}.{pid}.tmp"


def test_strays_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    dead = processes.fork(lambda: None, tmp_path, tmp_path / "log")
    processes.wait(dead)
    (tmp_path / "log").unlink()
    (tmp_path / "deep").mkdir()
    stray, living = stray_of(dead, tmp_path / "deep"), stray_of(os.getppid(), tmp_path)
    others = [tmp_path / "a.tmp", tmp_path / ".hidden.tmp"]
    for path in (stray, living, *others):
        path.touch()
    runtime.prepare_folder(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted([living, *others])


def test_strays_of_processes_that_nobody_waits_for_go_too(tmp_path):
    dead = processes.fork(lambda: None, tmp_path, tmp_path / "log")
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)  # leaves it a zombie
    stray = stray_of(dead, tmp_path)
    stray.touch()
    runtime.sweep(tmp_path)
    assert processes.wait(dead) == 0
    assert not stray.exists()


def test_strays_of_processes_that_die_meanwhile_go_at_the_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dying = processes.fork(lambda: time.sleep(600), tmp_path, tmp_path / "log")
    stray = stray_of(dying, tmp_path / "data" / "train")
    stray.parent.mkdir(parents=True)
    stray.touch()
    with runtime.outputs("shard tiny", tmp_path / "data"):
        assert stray.exists()
        os.kill(dying, signal.SIGKILL)
        assert processes.wait(dying) == -signal.SIGKILL
    assert not stray.exists()


def test_strays_of_another_machine_go_when_nobody_has_written_to_them_for_a_day(tmp_path):
    dead = processes.fork(lambda: None, tmp_path, tmp_path / "log")
    processes.wait(dead)  # here; on the other machine, a process with this PID may run
    fresh, old = (stray_of(dead, tmp_path, machine) for machine in ("0123abcd", "89abcdef"))
    fresh.touch()
    old.touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    runtime.sweep(tmp_path)
    assert [path.name for path in sorted(tmp_path.glob(".*"))] == [fresh.name]


def test_processes_of_two_machines_write_to_different_temporary_files(tmp_path, monkeypatch):
    """On a shared disk, their PIDs can be equal."""
    names = set()
    for host in ("one", "two"):
        monkeypatch.setattr(files.platform, "node", lambda host=host: host)
        files._machine.cache_clear()
        with runtime.atomic_write(tmp_path / "a.tar"):
            names |= {path.name for path in tmp_path.iterdir()}
        (tmp_path / "a.tar").unlink()
    files._machine.cache_clear()
    assert len(names) == 2


@pytest.mark.parametrize("point", ["write-rename", "write-sync"])
def test_a_writer_killed_at_any_point_leaves_the_old_file_or_the_new_one(tmp_path, point):
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    pid = processes.fork(lambda: write_bytes(path), tmp_path, tmp_path / "log", COLORIZE_FAULT=point)
    assert processes.wait(pid) == -signal.SIGKILL
    assert path.read_bytes() == {"write-rename": b"before", "write-sync": bytes(100_000)}[point]
    runtime.sweep(tmp_path)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.bin", "log"]
