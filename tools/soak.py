"""Kills stages at random moments and named points, runs them again, and compares with an undisturbed run.

    make soak [MINUTES=20] [KILLS=200]    until interrupted, or until either is reached

Most stages run as children forked from this process, which has loaded torch once; every fourth round goes through
`dvc repro`, and kills now the stage, now DVC, now both; another fourth edits the project meanwhile (`edits.py`). Ends
with 1 where a single byte differs, or DVC has recorded what was not computed and `make verify` does not say so.
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

os.environ["OMP_NUM_THREADS"] = "1"  # before torch, whatever was set: a pool of threads does not survive a fork

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.helpers import processes, projects  # noqa: E402
from tools import edits  # noqa: E402

DVC_MODELS = ("regression", "unet_weighted")  # fewer, for every stage loads torch anew
DVC_ROUND, EDIT_ROUND = 4, 1  # every fourth round, and the first of each four
DVC_KILLS = 6  # a round
_DVC_SECONDS = 12.0  # in which a run of DVC is killed


class Arena(NamedTuple):
    """A project before its first stage, and what an undisturbed run makes of it."""

    pristine: Path
    stages: list[tuple[str, ...]]
    trees: list[dict[str, bytes]]  # after each of the stages
    seconds: list[float]  # of each


@dataclass
class Score:
    """What was done so far."""

    kills: Counter = field(default_factory=Counter)  # by stage
    resumed: int = 0  # trainings that went on from a checkpoint
    compared: int = 0  # trees
    differing: list[str] = field(default_factory=list)
    edits: edits.EditScore = field(default_factory=edits.EditScore)

    def __str__(self) -> str:
        by_stage = ", ".join(f"{stage} {count}" for stage, count in sorted(self.kills.items()))
        compared = f"{self.compared} trees compared, {len(self.differing)} differing"
        kills = f"{self.kills.total()} kills ({by_stage}); {self.resumed} trainings resumed; {compared}"
        return f"{kills}; {self.edits}"

    def compare(self, project: Path, expected: dict[str, bytes], where: str) -> None:
        """Note whether a project's files are those of the undisturbed run."""
        found = projects.tree(project)
        self.compared += 1
        names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        if names:
            self.differing.append(f"{where}: {', '.join(names[:5])}")
            print(f"DIFFERS {self.differing[-1]}", flush=True)


def make_arena(folder: Path, models: tuple[str, ...]) -> Arena:
    """Make a project and run it undisturbed."""
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
    """One round: every stage killed up to four times, then run to its end and compared."""
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
    """Start a stage and kill it, at a named point or a random moment; returns whether it died before its end.

    Raises:
        RuntimeError: it ended in a way that no kill explains.
    """
    if rng.random() < 0.5:
        pid = processes.start(project, stage, log, COLORIZE_FAULT=_random_fault(stage[0], rng))
    else:
        pid = processes.start(project, stage, log)
        time.sleep(rng.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)  # a child that has ended is still there to be waited for
    code = processes.wait(pid)
    if code not in (0, -signal.SIGKILL) and "a worker was killed" not in log.read_text():
        raise RuntimeError(f"{' '.join(stage)} ended with {code}: {log.read_text()[-2000:]}")
    return code != 0


def _random_fault(stage: str, rng: random.Random) -> str:
    return f"{rng.choice(projects.POINTS[stage] + projects.EVERYWHERE)}:{rng.randrange(1, 7)}"


def run_dvc(arena: Arena, project: Path, rng: random.Random, score: Score) -> None:
    """One round through DVC itself: killed several times, then run to its end and compared."""
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
    """Rounds until the time is up or enough was killed; prints the score after each."""
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
    """Read the command line, soak, show the score."""
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
