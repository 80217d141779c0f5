"""Kills stages at random moments and named points, runs them again, and compares with an undisturbed run.

    make soak [MINUTES=20] [KILLS=200]    until interrupted, or until either is reached

Most stages run as children forked from this process, which has loaded torch once; every fourth round goes through
`dvc repro`, and kills now the stage, now DVC, now both; another fourth edits the project meanwhile (`edits.py`). Ends
with 1 where a single byte differs, or DVC has recorded what was not computed and `make verify` does not say so.
"""

from __future__ import annotations

import argparse
import io
import itertools
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # before torch, whatever was set: a pool of threads does not survive a fork

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from colorize import runtime  # noqa: E402
from tools import edits  # noqa: E402

DATASET = "tiny"
MODELS = ("regression", "cnn", "cnn_weighted", "unet", "unet_weighted")
STAGES = (  # script and arguments, in an order of the DAG
    ("shard", DATASET),
    ("prior", DATASET),
    *(("train", DATASET, model) for model in MODELS),
    *(("evaluate", DATASET, model) for model in MODELS),
    ("evaluate", DATASET, "gray", "prior"),
    ("report",),
)
POINTS = {  # fault points that a stage passes; all pass those of EVERYWHERE
    "shard": ("shard-member", "shard-rename", "shard-manifest"),
    "prior": ("prior-write",),
    "train": ("checkpoint-written", "checkpoint-prune", "train-final", "train-sidecar", "train-remove"),
    "evaluate": ("evaluate-metrics",),
    "report": ("report-files",),
}
EVERYWHERE = ("write-rename", "write-sync", "stage-checked")
DVC_MODELS = ("regression", "unet_weighted")  # fewer, for every stage loads torch anew
DVC_ROUND, EDIT_ROUND = 4, 1  # every fourth round, and the first of each four
DVC_KILLS = 6  # a round
_DVC_SECONDS = 12.0  # in which a run of DVC is killed
HANGS_AFTER_S = 600  # no process that is waited for takes so long
_SOURCE = "credit: Tiny\npath: tiny.zip\nsplits:\n" + "".join(
    f"  {split}: {{glob: '{split}/*'}}\n" for split in ("train", "val", "test")
)
_KNOBS = {"COLORIZE_PROCS": "2", "COLORIZE_THREADS": "1", "COLORIZE_DEVICE": "cpu", "COLORIZE_CHECKPOINT_SECONDS": "0"}


# --- the project that is run -----------------------------------------------------------------------------------------


def make_project(folder: Path, models: tuple[str, ...] = MODELS, **train: object) -> Path:
    """A copy of the repository with one data set of 22 images of 16x16 and few steps.

    Args:
        folder: to make.
        models: to train.
        train: changes to the section `train` of the parameters.
    """
    import yaml

    for name in ("colorize", "stages", "sources"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.tmp"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    (folder / ".dvc").mkdir(parents=True)
    config = (ROOT / ".dvc/config").read_text().replace("[core]", "[core]\n    no_scm = true")
    (folder / ".dvc/config").write_text(config)
    params = yaml.safe_load((ROOT / "profiles/ci.yaml").read_text())
    params |= {"datasets": [DATASET], "models": list(models)}
    params["shard"] |= {"size": 16, "per_shard": 5}
    params["train"] |= {"width": 0.03, "steps": 20, "val_every": 6, "val_images": 4, "pictures_every": 8, "lr": 1e-3}
    params["train"] |= {"select": "best", **train}
    params["evaluate"] |= {"num_saved": 4, "num_worst": 2, "named": {}}
    params["report"] |= {"columns": 2, "figure4_models": [models[0]], "figure6_model": models[0]}
    params["report"]["figure5"] = {"source": DATASET, "target": DATASET, "model": models[0]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / f"sources/{DATASET}.yaml").write_text(_SOURCE)
    (folder / "data/raw").mkdir(parents=True)
    _write_images(folder / "data/raw/tiny.zip")
    return folder


def _write_images(path: Path) -> None:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (("train", 12), ("val", 4), ("test", 6)):
            for n in range(count):
                corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
                content = io.BytesIO()
                Image.fromarray(corners).resize((16, 16), Image.Resampling.BILINEAR).save(content, format="PNG")
                archive.writestr(f"{split}/{n:02d}.png", content.getvalue())


def tree(project: Path) -> dict[str, bytes]:
    """Every file that the stages made, and whatever they should not have left."""
    found = {}
    for top in ("data", "results", ".state"):
        for path in sorted((project / top).rglob("*")):
            if path.is_file() and not {"raw", "verified"} & set(path.relative_to(project).parts):
                found[path.relative_to(project).as_posix()] = path.read_bytes()
    return found


# --- stages as children of this process ------------------------------------------------------------------------------


def fork(body: Callable[[], object], folder: Path, log: Path, **environment: str) -> int:
    """Call `body` in a child process; returns its PID.

    Args:
        body: to call.
        folder: where the child works.
        log: gets what it prints.
        environment: of the child, besides this process's own.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.chdir(folder)
        os.environ.update(environment)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        body()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def start(project: Path, stage: tuple[str, ...], log: Path, **environment: str) -> int:
    """Run one stage in a child process; returns its PID."""
    import importlib

    script = importlib.import_module(f"stages.{stage[0]}")
    return fork(lambda: runtime.run(script.main, list(stage[1:])), project, log, **{**_KNOBS, **environment})


def wait(pid: int) -> int:
    """Exit code of a child; minus the signal that killed it. One that hangs is aborted, which shows where it hung."""
    timer = threading.Timer(HANGS_AFTER_S, os.kill, (pid, signal.SIGABRT))
    timer.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        timer.cancel()


def load_everything() -> None:
    """Import what the stages import, late imports too, so that children need not."""
    import importlib

    import matplotlib
    import torch

    matplotlib.use("Agg")
    for name in ("matplotlib.pyplot", "pandas", "torch._dynamo", "torchvision", *(f"stages.{name}" for name in POINTS)):
        importlib.import_module(name)
    torch.set_num_threads(1)


# --- the soak --------------------------------------------------------------------------------------------------------


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
        found = tree(project)
        self.compared += 1
        names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        if names:
            self.differing.append(f"{where}: {', '.join(names[:5])}")
            print(f"DIFFERS {self.differing[-1]}", flush=True)


def make_arena(folder: Path, models: tuple[str, ...]) -> Arena:
    """Make a project and run it undisturbed."""
    pristine = make_project(folder / "pristine", models)
    project = shutil.copytree(pristine, folder / "undisturbed")
    stages = [stage for stage in STAGES if not set(stage) & (set(MODELS) - set(models))]
    trees, seconds = [], []
    for stage in stages:
        begun = time.monotonic()
        if code := wait(start(project, stage, folder / "log")):
            raise SystemExit(f"{stage} ends with {code} undisturbed:\n{(folder / 'log').read_text()}")
        seconds.append(time.monotonic() - begun)
        trees.append(tree(project))
    return Arena(pristine, stages, trees, seconds)


def run_forked(arena: Arena, project: Path, rng: random.Random, score: Score) -> None:
    """One round: every stage killed up to four times, then run to its end and compared."""
    shutil.copytree(arena.pristine, project)
    log = project / "log"
    for stage, expected, seconds in zip(arena.stages, arena.trees, arena.seconds, strict=True):
        log.write_text("")
        for _ in range(rng.randrange(1, 5)):
            score.kills[stage[0]] += _kill_once(project, stage, log, rng, seconds)
        if code := wait(start(project, stage, log)):
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
        pid = start(project, stage, log, COLORIZE_FAULT=_random_fault(stage[0], rng))
    else:
        pid = start(project, stage, log)
        time.sleep(rng.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)  # a child that has ended is still there to be waited for
    code = wait(pid)
    if code not in (0, -signal.SIGKILL) and "a worker was killed" not in log.read_text():
        raise RuntimeError(f"{' '.join(stage)} ended with {code}: {log.read_text()[-2000:]}")
    return code != 0


def _random_fault(stage: str, rng: random.Random) -> str:
    return f"{rng.choice(POINTS[stage] + EVERYWHERE)}:{rng.randrange(1, 7)}"


def run_dvc(arena: Arena, project: Path, rng: random.Random, score: Score) -> None:
    """One round through DVC itself: killed several times, then run to its end and compared."""
    shutil.copytree(arena.pristine, project)
    log = project / "log"
    for _ in range(DVC_KILLS):
        how = rng.choice(("stage", "dvc", "both"))
        fault = {"COLORIZE_FAULT": rng.choice(POINTS["train"] + POINTS["evaluate"])} if how == "stage" else {}
        with _repro(project, log, **fault) as dvc:
            if how != "stage":
                time.sleep(rng.uniform(1, _DVC_SECONDS))
                (os.killpg if how == "both" else os.kill)(dvc.pid, signal.SIGKILL)
            if dvc.wait(HANGS_AFTER_S) == 0:
                break
            score.kills["dvc"] += 1
    with _repro(project, log) as dvc:
        code = dvc.wait(HANGS_AFTER_S)
    score.resumed += log.read_text().count("resumes after step")
    if code:
        score.differing.append(f"dvc repro ended with {code}: {log.read_text()[-2000:]}")
        print(score.differing[-1], flush=True)
    else:
        score.compare(project, arena.trees[-1], "dvc repro")


def _repro(project: Path, log: Path, **environment: str) -> subprocess.Popen:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("a") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro"],
            cwd=project,
            env={**os.environ, **_KNOBS, "PATH": path, "PYTHONPATH": "", **environment},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def soak(folder: Path, minutes: float, kills: float, rng: random.Random) -> Score:
    """Rounds until the time is up or enough was killed; prints the score after each."""
    load_everything()
    arena, dvc_arena = (make_arena(folder / str(len(models)), models) for models in (MODELS, DVC_MODELS))
    edited = make_project(folder / "edited" / "pristine", (edits.MODEL,), select="last")
    truth = edits.make_truth(edited, tree)
    score, end = Score(), time.monotonic() + 60 * minutes
    for number in itertools.count(1):
        if time.monotonic() >= end or score.kills.total() >= kills:
            return score
        project = folder / "round"
        if number % DVC_ROUND == 0:
            run_dvc(dvc_arena, project, rng, score)
        elif number % DVC_ROUND == EDIT_ROUND:
            edits.run(truth, project, rng, score.edits, tree)
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
