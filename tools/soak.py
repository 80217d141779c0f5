"""Kill stages at random times and at fault points, run them again, and compare the files with an undisturbed run.

    make soak [MINUTES=20] [KILLS=200]    until interrupted, or until one limit is reached

There are three kinds of rounds. Half of the rounds fork each stage from this process, which imports torch only once. A
fourth of them runs `dvc repro`, and kills the stage, DVC, or both. Another fourth edits the project while `dvc repro`
runs (`edits.py`). The exit code is 1 if a byte differs, or if DVC recorded a wrong result that `make verify` does not
report.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # set before torch is imported: a thread pool does not survive a fork

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.helpers import processes, projects  # noqa: E402
from tools import edits  # noqa: E402

DVC_MODELS = ("regression", "unet_weighted")  # only two models, because each stage imports torch again
DVC_ROUND, EDIT_ROUND = 4, 1  # the last of four rounds runs `dvc repro`, the first one edits
DVC_KILLS = 6  # per round
_DVC_SECONDS = 12.0  # latest time of a kill after the start of DVC


class Arena(NamedTuple):
    """A project before its first stage, and the results of an undisturbed run."""

    pristine: Path
    stages: list[tuple[str, ...]]
    trees: list[dict[str, bytes]]  # file name -> content, after each stage
    seconds: list[float]  # duration of each stage


@dataclass
class Score:
    """Counts of the kills and comparisons so far, and the differences."""

    kills: Counter = field(default_factory=Counter)  # stage, or "dvc" -> number of kills
    resumed: int = 0  # trainings that resumed from a checkpoint
    compared: int = 0  # projects compared with the undisturbed run
    differing: list[str] = field(default_factory=list)
    edits: edits.EditScore = field(default_factory=edits.EditScore)

    def __str__(self) -> str:
        by_stage = ", ".join(f"{stage} {count}" for stage, count in sorted(self.kills.items()))
        compared = f"{self.compared} trees compared, {len(self.differing)} differing"
        kills = f"{self.kills.total()} kills ({by_stage}); {self.resumed} trainings resumed; {compared}"
        return f"{kills}; {self.edits}"

    def compare(self, project: Path, expected: dict[str, bytes], where: str) -> None:
        """Compare a project's files with those of the undisturbed run; note and print the names that differ."""
        found = projects.tree(project)
        self.compared += 1
        names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        if names:
            self.differing.append(f"{where}: {', '.join(names[:5])}")
            print(f"DIFFERS {self.differing[-1]}", flush=True)


def make_arena(folder: Path, models: tuple[str, ...]) -> Arena:
    """Make a project, and run a copy of it without disturbance."""
    pristine = projects.make_project(folder / "pristine", models)
    project = shutil.copytree(pristine, folder / "undisturbed")
    stages = [stage for stage in projects.STAGES if not set(stage) & (set(projects.MODELS) - set(models))]
    trees, seconds = [], []
    for stage in stages:
        begun = time.monotonic()
        if code := processes.wait(processes.start(project, stage, folder / "log")):
            raise SystemExit(f"{stage} ends with {code} undisturbed:\n{(folder / 'log').read_text()}")
        seconds.append(time.monotonic() - begun)
        trees.append(projects.tree(project))
    return Arena(pristine, stages, trees, seconds)


def run_forked(arena: Arena, project: Path, rng: random.Random, score: Score) -> None:
    """Run one round: kill each stage up to four times, then let it finish and compare the files."""
    shutil.copytree(arena.pristine, project)
    log = project / "log"
    for stage, expected, seconds in zip(arena.stages, arena.trees, arena.seconds, strict=True):
        log.write_text("")
        for _ in range(rng.randrange(1, 5)):
            score.kills[stage[0]] += _kill_once(project, stage, log, rng, seconds)
        if code := processes.wait(processes.start(project, stage, log)):
            score.differing.append(f"{' '.join(stage)} ended with {code}: {log.read_text()[-2000:]}")
            print(score.differing[-1], flush=True)
            return
        score.resumed += log.read_text().count("resumes after step")
        score.compare(project, expected, " ".join(stage))


def _kill_once(project: Path, stage: tuple[str, ...], log: Path, rng: random.Random, seconds: float) -> bool:
    """Start a stage and kill it, at a fault point or a random time; return whether it was killed before it ended.

    Raises:
        RuntimeError: the stage failed for another reason than the kill.
    """
    if rng.random() < 0.5:
        pid = processes.start(project, stage, log, COLORIZE_FAULT=_random_fault(stage[0], rng))
    else:
        pid = processes.start(project, stage, log)
        time.sleep(rng.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)  # safe if the child has ended: its PID stays in use until `wait`
    code = processes.wait(pid)
    if code not in (0, -signal.SIGKILL) and "a worker was killed" not in log.read_text():
        raise RuntimeError(f"{' '.join(stage)} ended with {code}: {log.read_text()[-2000:]}")
    return code != 0


def _random_fault(stage: str, rng: random.Random) -> str:
    return f"{rng.choice(projects.POINTS[stage] + projects.EVERYWHERE)}:{rng.randrange(1, 7)}"


def run_dvc(arena: Arena, project: Path, rng: random.Random, score: Score) -> None:
    """Run one round with `dvc repro`: kill it several times, then let it finish and compare the files."""
    shutil.copytree(arena.pristine, project)
    log = project / "log"
    for _ in range(DVC_KILLS):
        how = rng.choice(("stage", "dvc", "both"))
        point = rng.choice(projects.POINTS["train"] + projects.POINTS["evaluate"])
        fault = {"COLORIZE_FAULT": point} if how == "stage" else {}
        with _repro(project, log, **fault) as dvc:
            if how != "stage":
                time.sleep(rng.uniform(1, _DVC_SECONDS))
                (os.killpg if how == "both" else os.kill)(dvc.pid, signal.SIGKILL)
            if dvc.wait(processes.HANGS_AFTER_S) == 0:
                break
            score.kills["dvc"] += 1
    with _repro(project, log) as dvc:
        code = dvc.wait(processes.HANGS_AFTER_S)
    score.resumed += log.read_text().count("resumes after step")
    if code:
        score.differing.append(f"dvc repro ended with {code}: {log.read_text()[-2000:]}")
        print(score.differing[-1], flush=True)
    else:
        score.compare(project, arena.trees[-1], "dvc repro")


def _repro(project: Path, log: Path, **environment: str) -> subprocess.Popen:
    knobs = {"COLORIZE_PROCS": "2", "COLORIZE_CHECKPOINT_SECONDS": "0"}
    with log.open("a") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro"],
            cwd=project,
            env=processes.environment(**knobs, **environment),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def soak(folder: Path, minutes: float, kills: float, rng: random.Random) -> Score:
    """Run rounds until the time is over or the number of kills is reached; print the score after each round."""
    processes.load_everything()
    arena, dvc_arena = (make_arena(folder / str(len(models)), models) for models in (projects.MODELS, DVC_MODELS))
    edited = projects.make_project(folder / "edited" / "pristine", (edits.MODEL,), select="last")
    truth = edits.make_truth(edited)
    score, end = Score(), time.monotonic() + 60 * minutes
    for number in itertools.count(1):
        if time.monotonic() >= end or score.kills.total() >= kills:
            return score
        project = folder / "round"
        if number % DVC_ROUND == 0:
            run_dvc(dvc_arena, project, rng, score)
        elif number % DVC_ROUND == EDIT_ROUND:
            edits.run(truth, project, rng, score.edits)
        else:
            run_forked(arena, project, rng, score)
        shutil.rmtree(project)
        print(f"round {number}: {score}", flush=True)


def main() -> None:
    """Read the command line and run the rounds; exit with code 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--kills", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=None, help="of the faults; moments differ all the same")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        score = soak(Path(folder), arguments.minutes, arguments.kills, random.Random(arguments.seed))
    sys.exit(1 if score.differing or score.edits.problems else 0)


if __name__ == "__main__":
    main()
