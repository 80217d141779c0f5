"""Edits a project while `dvc repro` runs in it, and compares what DVC records with what was computed; for `soak.py`.

The truth is known: the only parameter that is edited is the learning rate, and of every rate an undisturbed run has
made the weights. A model that `dvc.lock` or the cache of runs lists under another rate than its own is a wrong result,
unless `make verify` names it.
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

MODEL = "cnn"
RATES = ("0.001", "0.002", "0.004")
EDITS = {"parameter": 4, "experiment": 3, "code": 3, "source": 2, "kill": 2, "remark": 1, "other code": 1}  # how often
_SECONDS, _TRAINING_SECONDS = 14.0, 5.0  # in which a run of DVC, or its training, is disturbed
_IN_TRAINING = 0.6  # share of the disturbances
_DISTURBANCES = 5  # a round
_CHANGED, _LATE, _UNDONE = 0.9, 0.4, 0.6  # shares: something to compute, edits in the last moment, edits undone
_REFUSED = re.compile(r"changed during the run")
_RESUMED = re.compile(r"resumes after step (\d+)")


class Truth(NamedTuple):
    """A project before its first stage, and what undisturbed runs make of it."""

    pristine: Path
    model: str  # <data set>-<model>
    weights: dict[str, bytes]  # by learning rate
    trees: dict[str, dict[str, bytes]]


@dataclass
class EditScore:
    """What was done so far."""

    edits: Counter = field(default_factory=Counter)
    refused: int = 0  # stages that ended because something had changed
    named: int = 0  # wrong results that verify named
    resumed: int = 0  # trainings that went on from a checkpoint
    compared: int = 0  # trees
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.edits.items()))
        return (
            f"{self.edits.total()} disturbances of dvc repro ({kinds}); {self.refused} stages refused; "
            f"{self.named} wrong records, all named by verify; {self.resumed} trainings resumed; "
            f"{self.compared} trees compared; {len(self.problems)} problems"
        )

    def note(self, problem: str) -> None:
        """Something that must not be."""
        self.problems.append(problem)
        print(f"WRONG {problem}", flush=True)


def make_truth(pristine: Path) -> Truth:
    """Run a project undisturbed at every rate; it becomes a git repository."""
    _git(pristine, "init", "--quiet")
    (pristine / ".gitignore").write_text("/data/\n/.state/\n/log\n__pycache__/\n*.tmp\n")
    config = pristine / ".dvc/config"
    config.write_text(config.read_text().replace("    no_scm = true\n", ""))
    _git(pristine, "add", "--all")
    _git(pristine, "-c", "user.name=soak", "-c", "user.email=soak@localhost", "commit", "--quiet", "-m", "soak")
    model, weights, trees = f"tiny-{MODEL}", {}, {}
    for rate in RATES:
        project = shutil.copytree(pristine, pristine.parent / f"truth-{rate}")
        _set_rate(project, rate)
        done = _repro(project)
        if done.wait():
            raise SystemExit((project / "log").read_text())
        weights[rate] = (project / f"data/models/{model}/model.safetensors").read_bytes()
        trees[rate] = projects.tree(project)
    return Truth(pristine, model, weights, trees)


def run(truth: Truth, project: Path, rng: random.Random, score: EditScore) -> None:
    """One round: `dvc repro` disturbed several times, edits kept or undone, then run to its end and compared."""
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
            is_training = f"error: train {truth.model}: " in said and "changed during the run" in said
            _finish(project, score, f"{kind}, undone", _last_checkpoint(project, truth.model) if is_training else None)
            _check_records(truth, project, score, f"{kind}, undone")
    for path in _editable(project)[1:]:  # all but the parameters
        shutil.copy(truth.pristine / path.relative_to(project), path)
    _finish(project, score, "the end")
    if _verify(project):  # such as code that was edited in the last moment
        score.named += 1
        _verify(project, "--repair")
        _finish(project, score, "the end, repaired")
    if said := _verify(project):
        score.note(f"the end: {said}")
    _compare(truth, project, score)


def _disturb(project: Path, kind: str, rng: random.Random) -> Callable[[], None]:
    """Run `dvc repro` on something to do, and disturb it; returns what undoes the edit."""
    if rng.random() < _CHANGED:
        _set_rate(project, rng.choice(RATES))
    before = {path: path.read_bytes() for path in _editable(project)}
    is_late = kind != "kill" and rng.random() < _LATE
    dvc = _repro(project, **({"COLORIZE_FAULT": "stage-checked:1:STOP"} if is_late else {}))
    lock = project / f".state/locks/train-tiny-{MODEL}"
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
    """So long, or until something is reached, or the run has ended or stands still."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and dvc.poll() is None and not _stopped(dvc) and not is_reached():
        time.sleep(0.05)


def _reach_last_look(dvc: subprocess.Popen, lock: Path) -> None:
    """Until the training stands still after its last look; the other stages go on."""
    while dvc.poll() is None and not (lock.exists() and _stopped(dvc)):
        _continue(dvc)


def _continue(dvc: subprocess.Popen) -> None:
    for pid in _stopped(dvc):
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.05)


def _stopped(dvc: subprocess.Popen) -> list[int]:
    """Stages of a run that stand still."""
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
    """DVC refuses it, but has rewritten params.yaml before it meets the lock."""
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
    with contextlib.suppress(ProcessLookupError):  # it has just ended
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


# --- the truth -------------------------------------------------------------------------------------------------------


def _check_records(truth: Truth, project: Path, score: EditScore, where: str) -> None:
    """Every wrong result that DVC has recorded must be named by verify, which then takes it away."""
    wrong = _wrong_results(truth, project)
    if not wrong:
        return
    said = _verify(project)
    for what in wrong:
        if truth.model in said and "computed with another parameter value" in said:
            score.named += 1
        else:
            score.note(f"{where}: {what}; verify: {said[-1500:]}")
    _verify(project, "--repair")
    if left := _wrong_results(truth, project):
        score.note(f"{where}: {left} after a repair")


def _wrong_results(truth: Truth, project: Path) -> list[str]:
    """Trainings that DVC has recorded under another rate than that of their weights."""
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


def _last_checkpoint(project: Path, model: str) -> int | None:
    """The step of the newest checkpoint of the training that was just refused."""
    paths = list((project / ".state/checkpoints" / model).glob("*/*.ckpt"))
    return int(max(paths, key=lambda path: path.stat().st_mtime_ns).stem) if paths else None


def _finish(project: Path, score: EditScore, where: str, step: int | None = None) -> None:
    """Run to the end, which succeeds and, where a training was refused after a step, goes on from that."""
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
    """What verify says; nothing where all is well."""
    command = [sys.executable, "-m", "colorize.verify", *arguments]
    done = subprocess.run(command, cwd=project, env=_environment(), capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def _git(project: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=project, check=True)
