"""Files that appear whole or not at all, the exit codes of real processes, environment knobs."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from colorize import runtime


def start(repo: Path, body: str, *arguments: str) -> subprocess.Popen:
    """A stage in a process of its own; `body` is that of its `main`."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    script = "import os, sys, time\nfrom colorize import runtime\n"
    script += f"def main(*arguments):\n{lines}runtime.run(main, sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=repo,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # else ignored in the background
    )


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


@pytest.mark.parametrize(("error", "code"), [("ParameterError", 2), ("DataError", 3)])
def test_a_users_error_is_one_line_and_its_code(repo, error, code):
    process = start(repo, f"raise runtime.{error}('x.yaml: wrong; do this')")
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert stderr == "error: x.yaml: wrong; do this\n"
    assert stdout == ""


def test_a_complete_stage_ends_with_zero(repo):
    process = start(repo, "print(*arguments)", "objects", "unet")
    assert process.communicate(timeout=30) == ("objects unet\n", "")
    assert process.returncode == 0


def test_a_programming_error_keeps_its_traceback_and_is_no_success(repo):
    process = start(repo, "1 / 0")
    assert "ZeroDivisionError" in process.communicate(timeout=30)[1]
    assert process.returncode == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_stage_says_so_and_leaves_no_half_file(repo, tmp_path, number, code):
    body = "with runtime.atomic_write(arguments[0]) as file:\n    print('ready', flush=True)\n    time.sleep(60)"
    process = start(repo, body, str(tmp_path / "out.bin"))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_a_killed_worker_is_named_with_its_remedy():
    with (
        pytest.raises(runtime.DataError, match="lower COLORIZE_PROCS"),
        runtime.executor(1) as pool,
    ):
        pool.submit(os._exit, 1).result()


def test_an_error_drops_the_work_not_yet_begun():
    begun = time.monotonic()
    with pytest.raises(KeyError), runtime.executor(1) as pool:
        assert isinstance(pool, ProcessPoolExecutor)
        for _ in range(50):
            pool.submit(time.sleep, 0.2)
        raise KeyError
    assert time.monotonic() - begun < 5  # of 10 seconds of work


def test_raw_archives_lie_where_the_knob_says_else_in_the_main_repository(monkeypatch):
    assert runtime.raw_dir() == Path("data/raw")
    monkeypatch.setenv("DVC_ROOT", "/main")
    assert runtime.raw_dir() == Path("/main/data/raw")
    monkeypatch.setenv("COLORIZE_RAW", "/archives")
    assert runtime.raw_dir() == Path("/archives")


def test_processes_are_the_knob_else_the_cores(monkeypatch):
    assert runtime.processes() >= 1
    monkeypatch.setenv("COLORIZE_PROCS", "3")
    assert runtime.processes() == 3


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_wrong_knob_is_a_parameter_error(monkeypatch, value):
    monkeypatch.setenv("COLORIZE_PROCS", value)
    with pytest.raises(runtime.ParameterError, match=r"COLORIZE_PROCS=.*whole number"):
        runtime.processes()


def test_the_place_of_the_images_is_one_of_four(monkeypatch):
    assert runtime.cache_place() == "auto"
    monkeypatch.setenv("COLORIZE_CACHE", "stream")
    assert runtime.cache_place() == "stream"
    monkeypatch.setenv("COLORIZE_CACHE", "disk")
    with pytest.raises(runtime.ParameterError, match="COLORIZE_CACHE=disk: expected one of auto, device, host, stream"):
        runtime.cache_place()


def test_an_unusable_device_is_a_parameter_error(monkeypatch):
    monkeypatch.setenv("COLORIZE_DEVICE", "cpuu")
    with pytest.raises(
        runtime.ParameterError, match=r"the device cpuu cannot be used here .*; try COLORIZE_DEVICE=cpu"
    ) as caught:
        runtime.set_up_torch()
    assert "\n" not in str(caught.value)


def test_progress_off_a_terminal_is_a_line_every_ten_seconds(capsys, monkeypatch):
    clock = iter([0.0, 4.0, 11.0, 12.0, 22.0])
    monkeypatch.setattr("colorize.runtime.terminal.time.monotonic", lambda: next(clock))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with runtime.progress("count", 4000, "images") as advance:
        for _ in range(4):
            advance(1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["count: 2,000 of 4,000 images after 11 s", "count: 4,000 of 4,000 images after 22 s"]


def test_progress_records_are_few_and_an_earlier_run_does_not_count_for_the_speed(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("COLORIZE_PROGRESS", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "train@a-cnn")
    clock = [0.0]
    monkeypatch.setattr("colorize.runtime.terminal.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("colorize.runtime.terminal.time.time", lambda: 1000 + clock[0])
    written = []
    monkeypatch.setattr("colorize.runtime.terminal._write_record", lambda _, record: written.append(record))
    with runtime.progress("train a-cnn", 1000, "steps") as advance:
        advance(500)  # of an earlier run
        for _ in range(100):
            clock[0] += 0.01
            advance(1)
    *counts, last = written
    expected = [(500, None), (550, 1005.0), (600, 1005.0)]
    assert [(record["done"], record["end"] and round(record["end"], 6)) for record in counts] == expected
    assert last == {}
    assert capfd.readouterr().err == ""


def test_progress_goes_on_when_nobody_reads_its_records_any_more(tmp_path, monkeypatch):
    monkeypatch.setenv("COLORIZE_PROGRESS", str(tmp_path / "gone"))
    monkeypatch.setenv("DVC_STAGE", "train@a-cnn")
    with runtime.progress("train a-cnn", 1, "steps") as advance:
        advance(1)
    assert not list(tmp_path.iterdir())
