"""How a stage ends: exit codes and messages of real processes, and its workers."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from colorize import runtime
from colorize.runtime import program


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


# --- a function in a child -------------------------------------------------------------------------------------------


def raise_unknown():
    raise KeyError("lost")


def test_a_child_returns_results_of_any_size_and_ends(tmp_path):
    pid, text = runtime.call_in_child(lambda: (os.getpid(), "x" * 10**6))
    assert pid != os.getpid() and len(text) == 10**6
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_child_that_ends_between_two_looks_has_returned(monkeypatch):
    monkeypatch.setattr(program, "_LOOK_S", 0)
    monkeypatch.setattr(BaseProcess, "is_alive", lambda child: child.join())  # after it, the child has ended
    assert runtime.call_in_child(lambda: time.sleep(0.05) or "result") == "result"


def test_errors_of_a_child_are_raised_and_show_where_it_failed():
    with pytest.raises(KeyError, match="lost") as caught:
        runtime.call_in_child(raise_unknown)
    assert "raise_unknown" in caught.value.__notes__[0]


def test_a_killed_child_is_one_line(expect_one_line):
    with expect_one_line(runtime.DataError, "killed", "run again"):
        runtime.call_in_child(lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_waiting_for_a_child_is_shown_and_can_be_interrupted(tmp_path):
    def interrupt():
        assert (tmp_path / "pid").exists()
        raise KeyboardInterrupt

    def body():
        (tmp_path / "pid").write_text(str(os.getpid()))
        time.sleep(60)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        runtime.call_in_child(body, watch=interrupt)
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_child_of_a_daemonic_process_is_the_process_itself():
    assert runtime.call_in_child(lambda: runtime.call_in_child(os.getpid) == os.getpid())
