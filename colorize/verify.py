"""Verify the pipeline's files: `python -m colorize.verify [path]`, or `make verify`; `--repair` repairs them.

DVC trusts its cache and its records. It links a damaged object back into the workspace, even with `dvc repro -f`. It
also restores a result if the recorded parameters differ from those that the stage used. This program hashes the
objects of the cache, compares the outs with `dvc.lock`, and compares DVC's records with the records of the stages.
Shards, priors, models, predictions and checkpoints are also checked against their own checksums.

A repair changes only the pipeline's own outs: those in `dvc.lock`, and those of the data sets and models in
`params.yaml`. It moves damaged outs to `.state/removed`. It deletes the objects of the cache and the entries of
`dvc.lock` from which DVC would restore damaged content.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from colorize import runtime
from colorize.config import params
from colorize.data.shards import SPLITS
from colorize.layout import UNTRAINED, Folders, evaluation_stage, runs_of, stage_name
from colorize.pipeline import contents, digests, recorded, records
from colorize.pipeline.definition import RECORDS
from colorize.pipeline.recorded import LOCK, Recorded, RecordedRun
from colorize.runtime import DataError, ParameterError, repair_command

REMOVED = Path(".state/removed")
_HASHING_THREADS = 4  # hashing releases the GIL


class Problem(NamedTuple):
    """One problem, and how a repair solves it."""

    path: Path
    what: str
    command: str  # the command that repairs it
    outs: tuple[Path, ...] = ()  # to be moved out of the working tree
    objects: tuple[Path, ...] = ()  # files of DVC's cache, to be deleted
    stages: tuple[str, ...] = ()  # stages whose entries in `dvc.lock` are to be removed

    def lines(self) -> tuple[str, str]:
        """The problem and its repair, as printed."""
        return f"{self.path}: {self.what}", f"    repair: {self.command}"


class Checked(NamedTuple):
    """Result of a check."""

    problems: list[Problem]
    num_files: int
    notes: list[str]  # what was not checked, and why


def main(*arguments: str) -> None:
    """Check all outs, or only those below the given path; exit with code 3 if there is a problem."""
    is_repairing = "--repair" in arguments
    places = [argument for argument in arguments if argument != "--repair"]
    if len(places) > 1 or any(Path(place).name.startswith("-") for place in places):
        raise ParameterError("expected: python -m colorize.verify [--repair] [path]")
    place = enter_repository(places[0] if places else None)
    if is_repairing and (busy := running_stages()):
        raise DataError(f"{busy[0]}; wait until it has ended, then run the repair")
    checked = verify(place)
    runtime.say(*(line for problem in checked.problems for line in problem.lines()), *checked.notes)
    runtime.say(f"{checked.num_files:,} files checked, {len(checked.problems)} problems")
    if is_repairing:
        for line in _repair(checked.problems):
            runtime.say(line)
    elif checked.problems:
        sys.exit(DataError.exit_code)
    if not checked.num_files:
        raise ParameterError(f"nothing to check in {place} yet; `dvc repro` creates it")


def enter_repository(place: str | None) -> Path:
    """Change the working directory to the top of the repository that contains it.

    Args:
        place: a path from the user, absolute or relative to the old working directory; None for the whole repository.

    Returns:
        the path, relative to the top of the repository.

    Raises:
        ParameterError: the working directory is in no repository, or the path is outside of the repository.
    """
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()), None)
    if root is None:
        raise ParameterError(f"{here}: no dvc.yaml in this folder or above it; change to the repository first")
    if place is None:
        os.chdir(root)
        return Path()
    paths = (Path(os.path.abspath(place)), Path(place).resolve())  # noqa: PTH100 - must not follow links
    found = next((path.relative_to(root) for path in paths if path.is_relative_to(root)), None)
    if found is None:
        raise ParameterError(f"{place}: not in this repository ({root}); expected a path such as data/shards")
    os.chdir(root)
    return found


def verify(place: Path = Path()) -> Checked:
    """Check all outs below a path. The working directory must be the top of the repository.

    Raises:
        ParameterError: the path is not an out of the pipeline, is not inside an out, and contains no out.
    """
    known = recorded.read()
    stages = stages_by_out(known)
    if place != Path() and not any(_is_related(path, place) for path in (*stages, Path(".state/checkpoints"))):
        what = "not an output of this pipeline" if os.path.lexists(place) else "no such file or folder"
        raise ParameterError(f"{place}: {what}; expected a path such as data/models/objects-unet-0")
    busy = {stage: line for stage in {*stages.values()} if (line := running(stage))}
    mine = {path: stage for path, stage in stages.items() if _is_related(path, place) and stage not in busy}
    unreadable: dict[Path, str] = {}
    objects = _objects(known, mine, place)
    md5s = _md5_of_all(objects, "verify the cache", unreadable)
    damaged = [path for path in objects if path in md5s and md5s[path] != _md5_in_name(path)]
    files = sorted({file for path in mine for file in digests.files_in(path)})
    md5s |= _md5_of_all(files, "verify the outputs", unreadable)
    problems = [
        *(_unreadable_record(path, what) for path, what in known.unreadable),
        *(Problem(path, f"cannot be read ({what})", "check the disk") for path, what in sorted(unreadable.items())),
        *(_damaged_object(path) for path in damaged),
        *_out_problems(known, mine, md5s, {_inode(path) for path in damaged}),
    ]
    gone = {path for problem in problems for path in problem.outs}
    problems += [problem for problem in _content_problems(known, mine, md5s) if problem.path not in gone]
    contradicted, num_unknown = _record_problems(known, mine)
    problems += contradicted
    return Checked(problems, len(md5s), [*busy.values(), *_notes(known, mine, num_unknown)])


def stages_by_out(known: Recorded) -> dict[Path, str]:
    """Each out of the pipeline and its stage: the outs in `dvc.lock`, and those that `params.yaml` defines."""
    return {**_cells(), **{out.path: out.stage for out in known.outs}}


def _cells() -> dict[Path, str]:
    try:
        settings = params.load()
    except ParameterError:  # then only `dvc.lock` names the outs
        return {}
    folders = Folders()
    found = {folders.source(name): stage_name("union", name) for name in settings.unions}
    for dataset in settings.datasets:
        found |= {folders.shards(split, dataset): stage_name("shard", dataset) for split in SPLITS}
        found[folders.prior(dataset)] = stage_name("prior", dataset)
        for run in (run for model in (*settings.models, *UNTRAINED) for run in runs_of(dataset, model, settings.seeds)):
            found[folders.evaluation(run, dataset).parent] = evaluation_stage(run)
            if run.model not in UNTRAINED:
                found |= dict.fromkeys((folders.model(run), folders.history(run)), stage_name("train", run.name))
    return found


def running(stage: str) -> str | None:
    """A line about the process that runs a stage; None if the stage is not running."""
    holder = runtime.holder_of(Path(".state/locks", stage.replace("@", "-")))
    return f"{stage} is running ({holder}): its outputs were not checked" if holder else None


def running_stages() -> list[str]:
    """A line for each stage that runs in this repository."""
    locks = sorted(path for path in Path(".state/locks").glob("*") if path.suffix != ".waiting")
    return [f"{path.name} is running ({holder})" for path in locks if (holder := runtime.holder_of(path))]


# --- problems --------------------------------------------------------------------------------------------------------


def _objects(known: Recorded, mine: dict[Path, str], place: Path) -> list[Path]:
    """Objects of the cache: all of them for the whole repository, otherwise only those of the outs in `mine`."""
    if known.cache is None:
        return []
    if place == Path():
        return sorted(path for path in known.cache.glob("[0-9a-f][0-9a-f]/*") if path.is_file() and _is_object(path))
    wanted = {out.md5 for out in known.outs if out.path in mine}
    for folder in [md5 for md5 in wanted if md5.endswith(".dir")]:
        wanted |= {str(md5) for md5 in (known.listing(folder) or {}).values()}
    return sorted(path for path in map(known.object, wanted) if path)


def _is_object(path: Path) -> bool:
    """Whether a file of the cache is an object, and not a temporary file of an interrupted DVC."""
    return len(path.name.removesuffix(".dir")) == 30


def _unreadable_record(path: Path, what: str) -> Problem:
    return Problem(path, f"damaged ({what})", f"git checkout {path} && dvc repro" if path == LOCK else f"rm {path}")


def _damaged_object(path: Path) -> Problem:
    return Problem(
        path, "damaged object of DVC's cache: its MD5 differs from its name", repair_command(), objects=(path,)
    )


def _out_problems(known: Recorded, mine: dict[Path, str], md5s: dict[Path, str], damaged: set) -> Iterator[Problem]:
    """Outs that differ from `dvc.lock`; an out is certainly damaged if a damaged object is linked into it."""
    for out in known.outs:
        if out.path not in mine:
            continue
        if out.path.is_symlink() and not out.path.exists():
            yield Problem(out.path, "a link to a file that does not exist", f"dvc checkout {out.path}")
        elif not out.path.exists() or _md5_of_out(out.path, md5s) == out.md5:
            continue
        elif any(_inode(file) in damaged for file in digests.files_in(out.path)):
            command = repair_command(out.path, out.stage)
            yield Problem(out.path, "damaged, and so is its object in DVC's cache", command, outs=(out.path,))
        else:
            command = f"mv {out.path} elsewhere && dvc repro {out.stage}"
            yield Problem(out.path, "differs from dvc.lock: damaged, or not made by `dvc repro`", command)


def _md5_of_out(path: Path, md5s: dict[Path, str]) -> str | None:
    files = digests.files_in(path)
    if any(file not in md5s for file in files):
        return None
    return digests.md5_of_listing({digests.name_in(path, file): md5s[file] for file in files})


def _content_problems(known: Recorded, mine: dict[Path, str], md5s: dict[Path, str]) -> Iterator[Problem]:
    """Outs that fail their check in `contents`; if DVC recorded damaged content, the repair removes the records too."""
    md5_of = {out.path: out.md5 for out in known.outs}
    for path, name in sorted(mine.items()):
        check = contents.check_of(path)
        if check is None or not path.is_dir() or not any(path.iterdir()):  # its stage has not run yet
            continue
        what, is_damaged = contents.problem(check, path)
        if not what:
            continue
        if not is_damaged:
            yield Problem(path, what, f"move {path} away, then `dvc repro {name}`")
            continue
        is_recorded = path in md5_of and _md5_of_out(path, md5s) == md5_of[path]
        objects = _objects_of(known, path, md5_of[path]) if is_recorded else ()
        stages = (name,) if is_recorded else ()
        yield Problem(path, what, repair_command(path, name), outs=(path,), objects=objects, stages=stages)
    for path in sorted(Path(".state/checkpoints").glob("*/*/*.ckpt")):
        if what := contents.checkpoint_problem(path):
            yield Problem(path, f"{what}; training uses the checkpoint before it", f"rm {path}", outs=(path,))


def _objects_of(known: Recorded, path: Path, md5: str) -> tuple[Path, ...]:
    """Files from which DVC would restore this content: entries of its run cache, and the folder's cached object."""
    runs = [run.path for run in known.runs if any((out.path, out.md5) == (path, md5) for out in run.outs)]
    folder = known.object(md5)
    return (*runs, folder) if folder else tuple(runs)


def _record_problems(known: Recorded, mine: dict[Path, str]) -> tuple[list[Problem], int]:
    """Entries of DVC that contradict the stage's own record, and the number of stages without such a record."""
    problems, num_unknown = [], 0
    joined = {}
    for folder in ("data/shards/test", "data/evaluations", "data/histories"):
        listing = recorded.joined(known.outs, Path(folder), known.listing)
        if listing and (md5 := digests.md5_of_listing(listing)):
            joined[md5] = listing
    for run in (*known.lock, *known.runs):
        outs = [out.path for out in run.outs]
        if not any(path in mine for path in outs) or not records.record_of(run.entry):
            continue
        record = known.record(run)
        if record is None:
            num_unknown += run.path == LOCK
            continue
        found = list(records.contradictions(record, run.entry, lambda md5: joined.get(md5) or known.listing(md5)))
        if found:
            problems.append(_contradicted(known, run, found[0]))
    named = {path for problem in problems if problem.path == LOCK for path in problem.objects}
    return [problem for problem in problems if problem.path not in named], num_unknown


def _contradicted(known: Recorded, run: RecordedRun, what: str) -> Problem:
    if run.path != LOCK:
        text = f"DVC's run cache, {run.stage.removeprefix('exec python -m ')}: {what}"
        return Problem(run.path, text, repair_command(), objects=(run.path,))
    keys = ("params", "deps", "outs")
    twins = tuple(other.path for other in known.runs if all(other.entry.get(k) == run.entry.get(k) for k in keys))
    outs = tuple(out.path for out in run.outs if out.path.exists())
    command = repair_command(run.outs[0].path, run.stage)
    return Problem(LOCK, f"{run.stage}: {what}", command, outs=outs, objects=twins, stages=(run.stage,))


def _notes(known: Recorded, mine: dict[Path, str], num_unknown: int) -> Iterator[str]:
    if known.cache is None:
        yield "there is no .dvc folder: DVC's cache was not checked"
    absent = [out.path for out in known.outs if out.path in mine and not out.path.exists()]
    if absent:
        what = f"{len(absent)} outputs of dvc.lock are missing and were not checked (first: {absent[0]})"
        yield f"{what}; see `dvc checkout`"
    if num_unknown:
        yield f"{num_unknown} stages have no record of their run; `dvc checkout {RECORDS}` or `dvc pull` restores it"


# --- repair ----------------------------------------------------------------------------------------------------------


def _repair(problems: list[Problem]) -> Iterator[str]:
    """Repair the problems; yield one line per step."""
    if stages := sorted({stage for problem in problems for stage in problem.stages}):
        _forget(stages)
        yield f"dvc.lock: removed the entries of {', '.join(stages)}; `dvc repro` runs these stages again"
    for path in sorted({path for problem in problems for path in problem.objects}):
        path.unlink(missing_ok=True)
        if path.parent.parent.parent.name == "runs" and not any(path.parent.iterdir()):
            path.parent.rmdir()  # DVC treats an empty folder here as damaged
        yield f"removed {path}"
    for path in sorted({path for problem in problems for path in problem.outs if os.path.lexists(path)}):
        target = next(place for place in _places(path) if not os.path.lexists(place))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
        yield f"moved {path} to {target}; `dvc repro` makes it again"


def _places(path: Path) -> Iterator[Path]:
    return (REMOVED / str(number) / path for number in itertools.count(1))


def _forget(stages: list[str]) -> None:
    """Remove the entries of stages from `dvc.lock`; otherwise DVC would restore their outs from its cache."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.utils.serialize import modify_yaml

    try:
        with Repo() as repo, repo.lock, modify_yaml(str(LOCK)) as content:
            for stage in stages:
                content["stages"].pop(stage, None)
    except DvcException as error:
        raise DataError(
            f"{LOCK}: cannot be changed now ({runtime.first_line(error)}); run the repair again later"
        ) from None


# --- paths and hashes -------------------------------------------------------------------------------------------------


def _is_related(path: Path, place: Path) -> bool:
    """Whether the paths are equal, or one is below the other."""
    return path.is_relative_to(place) or place.is_relative_to(path)


def _inode(path: Path) -> tuple[int, int] | None:
    """Device and inode number of a file; None if its status cannot be read, such as for a broken link."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _md5_in_name(path: Path) -> str:
    return path.parent.name + path.name.removesuffix(".dir")


def _md5_of_all(paths: Iterable[Path], description: str, unreadable: dict[Path, str]) -> dict[Path, str]:
    """MD5 of every readable file; every other file is added to `unreadable` with the reason."""
    paths, found = list(paths), {}
    with ThreadPoolExecutor(_HASHING_THREADS) as pool, runtime.progress(description, len(paths), "files") as advance:
        for path, done in [(path, pool.submit(digests.md5_of_file, path)) for path in paths]:
            try:
                found[path] = done.result()
            except OSError as error:
                unreadable[path] = error.strerror or str(error)
            advance(1)
    return found


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
