"""`make repro` runs cells side by side: one that fails stops no other, and whoever ends it ends them all."""

import json
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from tests.helpers import processes, projects
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import until
from tools import display, jobs, run_cells

COMMAND = [sys.executable, str(projects.ROOT / "tools" / "run_cells.py")]
HOW_TO_GO_ON = "run `make repro` again: finished jobs are kept, trainings continue at their checkpoint"
HINT = "dvc push"


def environment(**changes: str) -> dict[str, str]:
    """One job at a time; without SHELL, as cron would, so that DVC takes /bin/sh."""
    return processes.environment(COLORIZE_PROCS="1", COLORIZE_CHECKPOINT_SECONDS="0", SHELL="", **changes)


def run(project: Path, expect: int = 0, **changes: str) -> list[str]:
    """The lines that the tool prints where there is no terminal."""
    done = subprocess.run(
        COMMAND, cwd=project, env=environment(**changes), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == expect, done.stdout
    return done.stdout.splitlines()


def change(project: Path, section: str, **values: object) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params[section] |= values
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def log_of(project: Path) -> str:
    return (project / ".state/repro.log").read_text()


def test_jobs_with_and_without_a_terminal(tmp_path):
    project = projects.make_project(tmp_path / "project", ("cnn",))
    terminal = Terminal(COMMAND, project, environment(TERM="xterm"))
    assert terminal.wait(processes.HANGS_AFTER_S) == 0
    title, _, *table, about, log, _ = terminal.rest()
    assert title.startswith("4 jobs: 4 done; ")
    results = {
        "tiny data": "22 images",
        "tiny-cnn-0": r"L2 \d\.\d+  Accuracy \d\.\d+  Cross Entropy \d\.\d+",
        "tiny baselines": r"L2 \d\.\d+  Accuracy \d\.\d+  Cross Entropy \d\.\d+",
        "report": "data/report.html, results/table1.md",
    }
    for line, (name, result) in zip(table, results.items(), strict=True):
        assert re.fullmatch(rf"{name} +done +{result} +\d+:\d\d", line)
    assert re.match(r"(no commit|commit [0-9a-f]{7,}( with changes)?); .*\d+ cores, ", about)
    assert log == "log: .state/repro.log"
    assert terminal.shows_cursor()
    assert HINT not in terminal.text
    assert HINT in log_of(project)
    assert "tiny-cnn-0: Running stage 'train@tiny-cnn-0':" in log_of(project)

    assert run(project) == ["everything is up to date"]

    change(project, "train", lr=1e30)
    devices = {"COLORIZE_DEVICE": "", "CUDA_VISIBLE_DEVICES": "0"}  # what finds no GPU trains on the CPU
    first, about, data, cnn, error, dvc, baselines, last = run(project, expect=3, **devices)
    assert "; 1 GPU, " in about and "tiny-cnn-0: begins on GPU 0" in log_of(project)
    assert first == "4 jobs; the log is .state/repro.log"
    assert re.fullmatch(r"tiny data: up to date after \d+:\d\d, 22 images \(1 of 4\)", data)
    assert re.fullmatch(r"tiny-cnn-0: failed after \d+:\d\d \(2 of 4\)", cnn)
    assert error.startswith("error: train tiny-cnn-0: the loss or its gradient is not finite at step ")
    assert error.endswith("; lower train.lr or train.clip_norm")
    assert dvc.startswith("ERROR: failed to reproduce 'train@tiny-cnn-0': ")
    assert re.fullmatch(r"tiny baselines: up to date after \d+:\d\d, L2 .* \(3 of 4\)", baselines)
    assert last == "error: failed: tiny-cnn-0; their errors are above"


def test_asked_to_end_it_ends_what_runs_and_says_how_to_go_on(tmp_path):
    project = projects.make_project(tmp_path / "project", ("regression", "cnn"), steps=1_000_000)
    processes.load_everything()
    for stage in projects.STAGES[:2]:
        processes.run(project, stage, tmp_path / "log")
    assert processes.dvc(project, "commit", "--force", "shard@tiny", "prior@tiny")[0] == 0
    terminal = Terminal(COMMAND, project, environment(TERM="xterm"))
    until(lambda: list(project.glob(".state/checkpoints/tiny-cnn-0/*/*.ckpt")))
    terminal.resize(24, 80)
    until(lambda: "\x1b[2J" in terminal.text)  # what a resized terminal has wrapped is cleared
    until(lambda: re.search(r"tiny-cnn-0 +train +\S+ [\d,]+ of 1,000,000 steps", terminal.plain()))
    terminal.type("\x03")
    assert terminal.wait(processes.HANGS_AFTER_S) == 130
    assert terminal.shows_cursor()
    *table, last = terminal.rest()
    assert any(re.match(r"tiny-cnn-0 +stopped +[\d,]+ of 1,000,000 steps", line) for line in table), table
    assert last == f"stopped; {HOW_TO_GO_ON}"
    assert "train tiny-cnn-0: stops after step " in log_of(project)

    with (tmp_path / "output").open("w") as file:
        process = subprocess.Popen(COMMAND, cwd=project, env=environment(), stdout=file, stderr=file)
    until(lambda: "train tiny-cnn-0: resumes after step " in log_of(project))
    process.send_signal(signal.SIGTERM)
    assert process.wait(processes.HANGS_AFTER_S) == 143
    assert (tmp_path / "output").read_text().splitlines()[-1] == f"stopped; {HOW_TO_GO_ON}"
    assert "tiny-regression-0: begins" not in log_of(project)
    assert not list((project / ".state/locks").iterdir())  # nobody trains any more

    process = subprocess.Popen(COMMAND, cwd=project, env=environment(), stdout=subprocess.DEVNULL)
    until(lambda: "train tiny-cnn-0: resumes after step " in log_of(project))
    process.kill()
    process.wait()
    until(lambda: not (project / ".state/locks/train-tiny-cnn-0").exists())
    assert sorted(yaml.safe_load((project / "dvc.lock").read_text())["stages"]) == ["prior@tiny", "shard@tiny"]


def test_a_job_that_fails_is_named_with_its_whole_error_and_stops_no_other(tmp_path):
    project = projects.make_project(tmp_path / "project", ("cnn",))
    script = f"""
import sys
sys.path.insert(0, {str(projects.ROOT)!r})
from colorize import runtime
from tools import gpu_sharing, run_cells
def main():
    jobs = [run_cells.Job(name, (name,), (name,)) for name in ("train@tiny-nothing-0", "shard@tiny")]
    with run_cells.Runner(jobs, gpu_sharing.Sharing({{}}, "")) as runner:
        runner.run(jobs)
runtime.run(main, [])
"""
    terminal = Terminal([sys.executable, "-c", script], project, environment(TERM="xterm"))
    assert terminal.wait(processes.HANGS_AFTER_S) == 3
    _, _, broken, sound, _, _, title, error, last = (line for line in terminal.rest() if line)
    assert re.match(r"train@tiny-nothing-0 +failed +ERROR: ", broken) and re.match(r"shard@tiny +done", sound)
    assert title == "train@tiny-nothing-0 failed:"
    assert error.startswith("ERROR: ") and "train@tiny-nothing-0" in error  # DVC's own words
    assert last == "error: failed: train@tiny-nothing-0; their errors are above"


def test_only_training_is_planned_where_only_training_is_asked_for():
    settings = types.SimpleNamespace(datasets=["a", "b"], unions={}, models=["cnn", "unet"], seeds=[0, 7])
    data, trainings = run_cells.plan(settings, "train")
    assert [job.name for job in data] == ["a data", "b data"]
    assert [job.arguments for job in trainings] == [
        ("--single-item", f"train@{run}-{seed}") for run in ("a-unet", "b-unet", "a-cnn", "b-cnn") for seed in (0, 7)
    ]


def test_a_union_is_prepared_after_the_data_sets_that_it_joins():
    unions = {"abc": None, "ab": None}
    settings = types.SimpleNamespace(datasets=["a", "b", "ab", "c", "abc"], unions=unions, models=["cnn"], seeds=[0])
    *prepared, cells, _ = run_cells.plan(settings, "evaluate")
    assert [[job.name for job in phase] for phase in prepared] == [
        ["a data", "b data", "c data"],
        ["ab data"],
        ["abc data"],
    ]
    assert prepared[1][0].stages == ("union@ab", "shard@ab", "prior@ab")
    assert prepared[1][0].arguments == ("prior@ab",)
    assert [job.name for job in cells if "ab" in job.name.split("-")[0].split()] == ["ab-cnn-0", "ab baselines"]


@pytest.mark.parametrize(
    ("exit_code", "output", "state", "result"),
    [
        (0, ["Stage 'train@a-cnn' is cached - skipping run, checking out outputs"], jobs.FROM_CACHE, ""),
        (0, ["Stage 'train@a-cnn' didn't change, skipping"], jobs.UP_TO_DATE, ""),
        (-9, ["> exec python -m stages.train"], jobs.FAILED, "ERROR: DVC was ended by SIGKILL; run the command again"),
        (1, ["> exec", "Traceback (most recent call last):", "  File", "KeyError: 'a'", "ERROR: failed to reproduce"],
         jobs.FAILED, "KeyError: 'a'"),
    ],
)  # fmt: skip
def test_the_state_of_a_job_follows_from_what_dvc_said(exit_code, output, state, result):
    job = jobs.Job("a-cnn", ("train@a-cnn",), ())
    job.begin("")
    job.output += output
    job.end(exit_code, has_run=False)
    assert (job.state, job.result) == (state, result)


def test_a_job_that_waits_for_another_process_says_so(tmp_path, capsys):
    job = jobs.Job("a-cnn", ("train@a-cnn",), ())
    job.begin("")
    job.output.append("waiting for train a-cnn, which is already running (PID 5)")
    assert job.waits_for() == job.output[-1]
    job.output.append("train a-cnn: 5 of 10 steps")
    assert not job.waits_for()


def test_jobs_go_on_when_nobody_reads_what_they_say(tmp_path):
    script = f"""
import sys
sys.path.insert(0, {str(projects.ROOT)!r})
from pathlib import Path
from tools import display, jobs
all_jobs = [jobs.Job(str(n), (), ()) for n in range(4_000)]
lines = display.Lines(all_jobs, Path(), Path("log"), "about")
for job in all_jobs:
    job.state = jobs.UP_TO_DATE
lines.refresh()
print("went on", file=sys.stderr)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "4000 jobs; the log is log\n"
    process.stdout.close()
    assert process.stderr.read() == "went on\n"
    assert process.wait() == 0


def test_a_sign_of_life_says_what_runs_and_how_far_it_is(tmp_path, monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("time.time", lambda: clock[0])
    running, other = jobs.Job("a-cnn", ("train@a-cnn",), ()), jobs.Job("b-cnn", ("train@b-cnn",), ())
    lines = display.Lines([running, other], tmp_path, Path("log"), "about")
    running.begin("")
    (tmp_path / "train@a-cnn.json").write_text(json.dumps({"done": 40, "total": 2000, "unit": "steps", "end": 200.0}))
    for seconds in (1.0, 59.0, 61.0, 90.0):
        clock[0] = seconds
        lines.refresh()
    assert capsys.readouterr().out.splitlines()[1:] == ["about", "a-cnn: train for 1:01, 40 of 2,000 steps, 2:19 left"]


@pytest.mark.parametrize(("columns", "lines"), [(100, 30), (80, 24), (60, 12)])
def test_the_table_fits_the_terminal_and_shows_what_runs_and_what_failed(tmp_path, columns, lines):
    many = [jobs.Job(f"data_{n}-unet", (f"train@data_{n}-unet",), ()) for n in range(40)]
    many[7].begin("GPU 0")
    many[30].begin("GPU 1")
    many[30].output = ["error: the disk is full"]
    many[30].end(1, has_run=True)
    console = Console(width=columns, height=lines)
    screen = display.Screen(many, tmp_path, Path(".state/repro.log"), "about")
    with console.capture() as capture:
        console.print(screen._content(lines - display._OTHER_LINES))
    shown = capture.get().splitlines()
    assert len(shown) < lines
    assert max(map(len, shown)) <= columns
    assert sum("data_7-unet" in line or "data_30-unet" in line for line in shown) == 2


def test_a_long_training_shows_its_progress_in_80_columns(tmp_path):
    job = jobs.Job("tiny-regression-0", ("train@tiny-regression-0",), ())
    job.begin("")
    record = {"done": 12_300, "total": 1_000_000, "unit": "steps", "end": time.time() + 149.5 * 3600}
    (tmp_path / "train@tiny-regression-0.json").write_text(json.dumps(record))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(display.Screen([job], tmp_path, Path("log"), "about")._content(20))
    assert "12,300 of 1,000,000 steps" in capture.get() and "149:29:5" in capture.get()


@pytest.mark.parametrize("name", ["dumb", ""])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch, name):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", name)
    assert isinstance(display.open_display([], Path(), Path("log"), "about"), display.Lines)


@pytest.mark.parametrize(("cores", "jobs", "count", "share"), [(2, 10, 2, "1"), (8, 2, 2, "4"), (1, 3, 1, "1")])
def test_without_a_gpu_cells_share_the_cores(monkeypatch, cores, jobs, count, share):
    monkeypatch.setenv("COLORIZE_PROCS", str(cores))
    places = run_cells.slots(jobs, {})
    assert len(places) == count
    assert {place.environment["COLORIZE_THREADS"] for place in places} == {share}


@pytest.mark.parametrize(("cells", "names"), [(1, ["2", "3"]), (2, ["2", "3", "2", "3"])])
def test_cells_on_gpus_are_spread_over_all_gpus(monkeypatch, cells, names):
    monkeypatch.setenv("COLORIZE_CELLS_PER_GPU", str(cells))
    gpus = {name: {"CUDA_VISIBLE_DEVICES": name} for name in ("2", "3")}
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in run_cells.slots(10, gpus)] == names
    assert [place.name for place in run_cells.slots(10, gpus)] == [f"GPU {name}" for name in names]
