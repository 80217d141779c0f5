"""Edit a project while `dvc repro` runs in it, and compare DVC's records with the computed results; used by `soak.py`.

The correct results are known: only one parameter is edited, the learning rate, and an undisturbed run trains the model
at each rate. A result is wrong if `dvc.lock` or the run cache records another rate than that of the weights. A wrong
result that `make verify` does not report is a problem.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.helpers import processes, projects

MODEL, SEED = "cnn", 0
RATES = ("0.001", "0.002", "0.004")
EDITS = {"parameter": 4, "experiment": 3, "code": 3, "source": 2, "kill": 2, "remark": 1, "other code": 1}  # weights
_SECONDS, _TRAINING_SECONDS = 14.0, 5.0  # latest disturbance after the start of DVC, of the training
_IN_TRAINING = 0.6  # fraction of the disturbances that happen in the training, if not late
_DISTURBANCES = 5  # per round
_CHANGED, _LATE, _UNDONE = 0.9, 0.4, 0.6  # fractions: rate changed before, edit after the last check, edit undone
_REFUSED = re.compile(r"changed during the run")
_RESUMED = re.compile(r"resumes after step (\d+)")


class Truth(NamedTuple):
    """A project before its first stage, and the results of undisturbed runs."""

    pristine: Path
    run: str  # <data set>-<model>-<seed>
    weights: dict[str, bytes]  # learning rate -> model.safetensors
    trees: dict[str, dict[str, bytes]]  # learning rate -> file name -> content


@dataclass
class EditScore:
    """Counts of the disturbances and of their consequences so far."""

    edits: Counter = field(default_factory=Counter)
    refused: int = 0  # stages that ended because an input had changed
    named: int = 0  # wrong results that `make verify` reported
    resumed: int = 0  # trainings that resumed from a checkpoint
    compared: int = 0  # projects compared with an undisturbed run
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.edits.items()))
        return (
            f"{self.edits.total()} disturbances of dvc repro ({kinds}); {self.refused} stages refused; "
            f"{self.named} wrong records, all named by verify; {self.resumed} trainings resumed; "
            f"{self.compared} trees compared; {len(self.problems)} problems"
        )

    def note(self, problem: str) -> None:
        """Count a problem and print it."""
        self.problems.append(problem)
        print(f"WRONG {problem}", flush=True)


def make_truth(pristine: Path) -> Truth:
    """Make the project a git repository, and run a copy of it at each rate without disturbance."""
    _git(pristine, "init", "--quiet")
    (pristine / ".gitignore").write_text("/data/\n/.state/\n/log\n__pycache__/\n*.tmp\n")
    config = pristine / ".dvc/config"
    config.write_text(config.read_text().replace("    no_scm = true\n", ""))
    _git(pristine, "add", "--all")
    _git(pristine, "-c", "user.name=soak", "-c", "user.email=soak@localhost", "commit", "--quiet", "-m", "soak")
    run, weights, trees = f"tiny-{MODEL}-{SEED}", {}, {}
    for rate in RATES:
        project = shutil.copytree(pristine, pristine.parent / f"truth-{rate}")
        _set_rate(project, rate)
        done = _repro(project)
        if done.wait():
            raise SystemExit((project / "log").read_text())
        weights[rate] = (project / f"data/models/{run}/model.safetensors").read_bytes()
        trees[rate] = projects.tree(project)
    return Truth(pristine, run, weights, trees)


def run(truth: Truth, project: Path, rng: random.Random, score: EditScore) -> None:
    """Run one round: disturb `dvc repro` several times, keep or undo the edits, then let it finish; compare files."""
    shutil.copytree(truth.pristine, project)
    for _ in range(_DISTURBANCES):
        (kind,) = rng.choices(list(EDITS), list(EDITS.values()))
        undo = _disturb(project, kind, rng)
        said = (project / "log").read_text()
        score.edits[kind] += 1
        score.refused += len(_REFUSED.findall(said))
        if "Traceback" in said:
            score.note(f"{kind}: {said[-3000:]}")
        _check_records(truth, project, score, kind)
        if rng.random() < _UNDONE:
            undo()
            is_training = f"error: train {truth.run}: " in said and "changed during the run" in said
            _finish(project, score, f"{kind}, undone", _last_checkpoint(project, truth.run) if is_training else None)
            _check_records(truth, project, score, f"{kind}, undone")
    for path in _editable(project)[1:]:  # restore all files except the parameters
        shutil.copy(truth.pristine / path.relative_to(project), path)
    _finish(project, score, "the end")
    if _verify(project):  # reports, for example, code that was edited after the last check
        score.named += 1
        _verify(project, "--repair")
        _finish(project, score, "the end, repaired")
    if said := _verify(project):
        score.note(f"the end: {said}")
    _compare(truth, project, score)


def _disturb(project: Path, kind: str, rng: random.Random) -> Callable[[], None]:
    """Run `dvc repro`, usually at a new rate, and disturb it; return a function that undoes the edit."""
    if rng.random() < _CHANGED:
        _set_rate(project, rng.choice(RATES))
    before = {path: path.read_bytes() for path in _editable(project)}
    is_late = kind != "kill" and rng.random() < _LATE
    dvc = _repro(project, **({"COLORIZE_FAULT": "stage-checked:1:STOP"} if is_late else {}))
    lock = project / f".state/locks/train-tiny-{MODEL}-{SEED}"
    if is_late:
        _reach_last_look(dvc, lock)
    elif rng.random() < _IN_TRAINING:
        _wait(dvc, _SECONDS, lock.exists)
        _wait(dvc, rng.uniform(0, _TRAINING_SECONDS))
    else:
        _wait(dvc, rng.uniform(0, _SECONDS))
    _EDIT[kind](project, rng, dvc)
    while is_late and dvc.poll() is None:
        _continue(dvc)
    dvc.wait()

    def undo() -> None:
        for path, content in before.items():
            if path.read_bytes() != content:
                path.write_bytes(content)

    return undo


def _wait(dvc: subprocess.Popen, seconds: float, is_reached: Callable[[], bool] = lambda: False) -> None:
    """Wait for `seconds`, or until `is_reached` is true, DVC has ended, or one of its stages is stopped."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and dvc.poll() is None and not _stopped(dvc) and not is_reached():
        time.sleep(0.05)


def _reach_last_look(dvc: subprocess.Popen, lock: Path) -> None:
    """Wait until SIGSTOP has stopped the training after its last check; let the other stages continue."""
    while dvc.poll() is None and not (lock.exists() and _stopped(dvc)):
        _continue(dvc)


def _continue(dvc: subprocess.Popen) -> None:
    for pid in _stopped(dvc):
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.05)


def _stopped(dvc: subprocess.Popen) -> list[int]:
    """PIDs of the stages of a run that SIGSTOP has stopped."""
    try:
        children = Path(f"/proc/{dvc.pid}/task/{dvc.pid}/children").read_text().split()
        states = {int(pid): Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in children}
    except OSError:
        return []
    return [pid for pid, state in states.items() if state == "T"]


# --- the edits -------------------------------------------------------------------------------------------------------


def _edit_parameter(project: Path, rng: random.Random, dvc: subprocess.Popen) -> None:
    _set_rate(project, rng.choice([rate for rate in RATES if rate != _rate(project)]))


def _run_experiment(project: Path, rng: random.Random, dvc: subprocess.Popen) -> None:
    """Run an experiment. DVC refuses it because of the lock, but only after it has changed params.yaml."""
    rate = rng.choice([rate for rate in RATES if rate != _rate(project)])
    with (project / "log").open("a") as log:
        command = [sys.executable, "-m", "dvc", "exp", "run", "-S", f"train.lr={rate}"]
        subprocess.run(command, cwd=project, env=_environment(), stdout=log, stderr=log, timeout=300)


def _append(*paths: str) -> Callable[[Path, random.Random, subprocess.Popen], None]:
    def edit(project: Path, rng: random.Random, dvc: subprocess.Popen) -> None:
        with (project / rng.choice(paths)).open("a") as file:
            file.write(f"# {rng.random()}\n")

    return edit


def _kill(project: Path, rng: random.Random, dvc: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):  # DVC has just ended
        os.killpg(dvc.pid, rng.choice((signal.SIGKILL, signal.SIGTERM)))


_OWN_CODE = ("colorize/training/step.py", "colorize/data/shards.py", "colorize/color/gamut.py")
_EDIT: dict[str, Callable[[Path, random.Random, subprocess.Popen], None]] = {
    "parameter": _edit_parameter,
    "experiment": _run_experiment,
    "code": _append(*_OWN_CODE),
    "source": _append("sources/tiny.yaml"),
    "remark": _append("params.yaml"),
    "other code": _append("colorize/photos/predict.py"),
    "kill": _kill,
}


def _editable(project: Path) -> list[Path]:
    return [project / name for name in ("params.yaml", "sources/tiny.yaml", "colorize/photos/predict.py", *_OWN_CODE)]


def _rate(project: Path) -> str:
    return re.search(r"lr: ([\d.e-]+)", (project / "params.yaml").read_text())[1]


def _set_rate(project: Path, rate: str) -> None:
    path = project / "params.yaml"
    path.write_text(re.sub(r"lr: [\d.e-]+", f"lr: {rate}", path.read_text()))


# --- checks ----------------------------------------------------------------------------------------------------------


def _check_records(truth: Truth, project: Path, score: EditScore, where: str) -> None:
    """Check that `verify` reports every wrong result that DVC has recorded, and that a repair removes it."""
    wrong = _wrong_results(truth, project)
    if not wrong:
        return
    said = _verify(project)
    for what in wrong:
        if truth.run in said and "computed with another parameter value" in said:
            score.named += 1
        else:
            score.note(f"{where}: {what}; verify: {said[-1500:]}")
    _verify(project, "--repair")
    if left := _wrong_results(truth, project):
        score.note(f"{where}: {left} after a repair")


def _wrong_results(truth: Truth, project: Path) -> list[str]:
    """One text for each model whose recorded learning rate is not the rate that made its weights."""
    lock = project / "dvc.lock"
    entries = list(yaml.safe_load(lock.read_text())["stages"].values()) if lock.exists() else []
    entries += [yaml.safe_load(path.read_text()) for path in (project / ".dvc/cache/runs").glob("*/*/*")]
    found = []
    for entry in entries:
        models = [out for out in entry.get("outs", []) if out["path"].startswith("data/models/")]
        rate = next((values["train"]["lr"] for values in entry.get("params", {}).values() if "train" in values), None)
        for out in models:
            weights = _cached_weights(project, out["md5"])
            if weights is not None and weights != truth.weights[f"{float(rate):.3f}"]:
                found.append(f"{out['path']} is not that of lr {rate}")
    return found


def _cached_weights(project: Path, md5: str) -> bytes | None:
    import json

    cache = project / ".dvc/cache/files/md5"
    listing = cache / md5[:2] / md5[2:]
    if not listing.exists():
        return None
    names = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text())}
    path = cache / names["model.safetensors"][:2] / names["model.safetensors"][2:]
    return path.read_bytes() if path.exists() else None


def _last_checkpoint(project: Path, run: str) -> int | None:
    """The step of the newest checkpoint of a training; None if there is none."""
    paths = list((project / ".state/checkpoints" / run).glob("*/*.ckpt"))
    return int(max(paths, key=lambda path: path.stat().st_mtime_ns).stem) if paths else None


def _finish(project: Path, score: EditScore, where: str, step: int | None = None) -> None:
    """Run `dvc repro` to its end; note a problem if it fails, or if no training resumes after a given `step`."""
    code = _repro(project).wait()
    said = (project / "log").read_text()
    resumed = [int(found) for found in _RESUMED.findall(said)]
    score.resumed += len(resumed)
    if code:
        score.note(f"{where}: dvc repro ended with {code}: {said[-3000:]}")
    elif step is not None and step not in resumed:
        score.note(f"{where}: there was a checkpoint of step {step}, resumed after {resumed}: {said[-3000:]}")


def _compare(truth: Truth, project: Path, score: EditScore) -> None:
    score.compared += 1
    found, expected = projects.tree(project), truth.trees[_rate(project)]
    names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if names := [name for name in names if not name.startswith(".state/")]:
        score.note(f"the tree differs: {', '.join(names[:5])}")


# --- commands --------------------------------------------------------------------------------------------------------


def _environment(**changes: str) -> dict[str, str]:
    return processes.environment(COLORIZE_PROCS="1", COLORIZE_CHECKPOINT_SECONDS="0", **changes)


def _repro(project: Path, **changes: str) -> subprocess.Popen:
    with (project / "log").open("w") as log:
        command = [sys.executable, "-m", "dvc", "repro"]
        return subprocess.Popen(
            command, cwd=project, env=_environment(**changes), stdout=log, stderr=log, start_new_session=True
        )


def _verify(project: Path, *arguments: str) -> str:
    """The output of `verify`; empty if it finds no problem."""
    command = [sys.executable, "-m", "colorize.verify", *arguments]
    done = subprocess.run(command, cwd=project, env=_environment(), capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def _git(project: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=project, check=True)
