"""Check everything on the disk: `python -m colorize.verify`, or `make verify`; with `--repair`, remove what is damaged.

DVC trusts its cache: a damaged object is linked back into the workspace, also by `dvc repro -f`. So the objects are
hashed here, the outs are compared with `dvc.lock`, and what can be checked by itself (shards, priors, models,
predictions, checkpoints) is read. What a repair removes is damaged for certain; `dvc repro` makes it again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from colorize import runtime
from colorize.models import BASELINES
from colorize.runtime import DataError, ParameterError, repair_command

_HASHING_THREADS = 4  # hashing releases the interpreter's lock


class Problem(NamedTuple):
    """Something that is wrong."""

    path: Path
    what: str
    command: str  # that repairs it
    damaged: tuple[Path, ...] = ()  # what goes in a repair

    def __str__(self) -> str:
        return f"{self.path}: {self.what}\n    repair: {self.command}"


class Out(NamedTuple):
    """An output as `dvc.lock` records it."""

    path: Path
    md5: str  # with .dir for a folder
    stage: str


def main(*arguments: str) -> None:
    """Check all, or only what lies below the given path; end with 3 where something is wrong."""
    is_repairing = "--repair" in arguments
    places = [Path(argument) for argument in arguments if argument != "--repair"]
    if len(places) > 1 or any(place.name.startswith("-") for place in places):
        raise ParameterError("expected: python -m colorize.verify [--repair] [path]")
    problems, checked = verify(places[0] if places else Path())
    for problem in problems:
        print(problem)
    print(f"{checked:,} files checked, {len(problems)} problems")
    if is_repairing:
        for path in _repair(problems):
            print(f"removed {path}; `dvc repro` makes it again")
    elif problems:
        sys.exit(DataError.exit_code)


def verify(place: Path = Path()) -> tuple[list[Problem], int]:
    """Check what lies below a path of the repository.

    Returns:
        what is wrong, and the number of files looked at.
    """
    outs = [out for out in locked_outs() if _is_below(out.path, place)]
    objects = _objects(outs, is_all=place == Path())
    md5s = _md5_of_all(objects, "verify the cache")
    damaged = [path for path in objects if md5s[path] != _md5_in_name(path)]
    present = [out for out in outs if out.path.exists()]
    files = sorted({file for out in present for file in _files(out.path)})
    md5s = _md5_of_all(files, "verify the outs")
    problems = [*_cache_problems(damaged), *_out_problems(present, md5s, {_inode(path) for path in damaged})]
    known = {path for problem in problems for path in problem.damaged}
    problems += [problem for problem in _content_problems(place) if problem.path not in known]
    return problems, len(objects) + len(files)


def _repair(problems: list[Problem]) -> list[Path]:
    """Remove what is damaged; returns it."""
    paths = sorted({path for problem in problems for path in problem.damaged})
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return paths


# --- what DVC knows --------------------------------------------------------------------------------------------------


def locked_outs() -> list[Out]:
    """Every output in `dvc.lock`; none without such a file."""
    import yaml

    lock = Path("dvc.lock")
    if not lock.exists():
        return []
    try:
        stages = yaml.load(lock.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        return [Out(Path(out["path"]), out["md5"], name) for name in stages for out in stages[name].get("outs", [])]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise DataError(
            f"dvc.lock: damaged ({runtime.first_line(error)}); run `git checkout dvc.lock`, then `dvc repro`"
        ) from None


def _cache() -> Path:
    """DVC's cache, wherever its configuration puts it."""
    from dvc.repo import Repo

    with Repo(uninitialized=True) as repo:
        return Path(repo.cache.local.path)


def _objects(outs: list[Out], is_all: bool) -> list[Path]:
    """Objects of the cache: all of them, or those of some outs."""
    cache = _cache()
    if is_all:
        return sorted(path for path in cache.glob("[0-9a-f][0-9a-f]/*") if path.is_file() and _is_object(path))
    wanted = {out.md5 for out in outs}
    for folder in [md5 for md5 in wanted if md5.endswith(".dir")]:
        wanted |= {md5 for _, md5 in _read_listing(cache / folder[:2] / folder[2:])}
    return sorted(path for path in (cache / md5[:2] / md5[2:] for md5 in wanted) if path.is_file())


def _is_object(path: Path) -> bool:
    """Not a temporary file of an interrupted DVC."""
    return len(path.name.removesuffix(".dir")) == 30


def _read_listing(path: Path) -> list[tuple[str, str]]:
    """(relative path, md5) of the files in a folder; empty where the listing is gone or damaged."""
    try:
        return [(entry["relpath"], entry["md5"]) for entry in json.loads(path.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _cache_problems(damaged: list[Path]) -> Iterator[Problem]:
    for path in damaged:
        yield Problem(path, "DVC's object is damaged, its MD5 is not its name", repair_command(), (path,))


def _out_problems(outs: list[Out], md5s: dict[Path, str], damaged: set[tuple[int, int]]) -> Iterator[Problem]:
    """Outs that are not what `dvc.lock` says; damaged where they share a file with a damaged object."""
    for out in outs:
        if _md5_of_out(out.path, md5s) == out.md5:
            continue
        if any(_inode(file) in damaged for file in _files(out.path)):
            command = repair_command(out.path, out.stage)
            yield Problem(out.path, "damaged together with DVC's object", command, (out.path,))
        else:
            command = f"rm -r {out.path} && dvc repro {out.stage}"
            yield Problem(out.path, "not what dvc.lock says: damaged, or not made by `dvc repro`", command)


def _md5_of_out(path: Path, md5s: dict[Path, str]) -> str:
    """As DVC computes it: of a folder, over the sorted list of its files."""
    if path.is_file():
        return md5s[path]
    listing = [{"md5": md5s[file], "relpath": file.relative_to(path).as_posix()} for file in _files(path)]
    listing.sort(key=itemgetter("relpath"))
    return _md5(json.dumps(listing, sort_keys=True).encode()) + ".dir"


def _files(path: Path) -> list[Path]:
    """Files of an out, without those that `.dvcignore` leaves out."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and file.suffix != ".tmp")


# --- what can be checked by itself -----------------------------------------------------------------------------------


def _content_problems(place: Path) -> Iterator[Problem]:
    checks: dict[str, tuple[str, Callable[[Path], None]]] = {
        "shards": ("shard", _check_shards),
        "priors": ("prior", _check_prior),
        "models": ("train", _check_model),
        "evaluations": ("evaluate", _check_predictions),
    }
    for kind, (stage, check) in checks.items():
        for folder in sorted(path for path in Path("data", kind).glob("*/") if _is_below(path, place)):
            if not any(folder.iterdir()):  # of a stage that has not run yet
                continue
            try:
                check(folder)
            except DataError as error:
                what = str(error).partition("; run")[0].removeprefix(f"{folder}/")
                command = repair_command(folder, _stage_name(stage, folder.name))
                yield Problem(folder, what, command, (folder,))
    for path in sorted(Path(".state/checkpoints").glob("*/*/*.ckpt")):
        if _is_below(path, place):
            yield from _checkpoint_problems(path)


def _stage_name(stage: str, cell: str) -> str:
    source, _, model = cell.partition("-")
    return f"baseline@{source}" if model in BASELINES else f"{stage}@{cell}"


def _check_shards(folder: Path) -> None:
    from colorize.data import shards

    manifest = shards.read_manifest(folder)
    for name, split in manifest["splits"].items():
        for shard in shards.shards_of(manifest, name, folder):
            _check_shard(folder / name / shard["name"], shard["sha256"])
        rows = sum(1 for _ in (folder / f"{name}.csv").open()) - 1 if (folder / f"{name}.csv").exists() else 0
        if rows < split["images"]:  # a name may hold a line end
            raise DataError(f"{folder / name}.csv: {rows} rows, the manifest says {split['images']}")


def _check_shard(path: Path, sha256: str) -> None:
    """Hashes it whatever is remembered of it: a disk turns bits without a trace."""
    if not path.exists() or runtime.sha256_of(path) != sha256:
        raise DataError(f"{path}: missing or damaged")


def _check_prior(folder: Path) -> None:
    import numpy as np

    from colorize.models import MODELS
    from colorize.prior.files import load_array

    names = [f"{kind}-{model}" for kind in ("weights", "start") for model in MODELS]
    for name in ("counts", "prior", "rebalancing", "weighted_prior", *names):
        array = load_array(folder / f"{name}.npy")
        if not (np.isfinite(array).all() and (array >= 0).all()):
            raise DataError(f"{folder / name}.npy: negative or not finite")


def _check_model(folder: Path) -> None:
    from colorize.models import files

    files.check(folder)


def _check_predictions(folder: Path) -> None:
    """Of one model, on all test splits."""
    for path in sorted(target / "predictions.npz" for target in folder.glob("*/")):
        try:
            with zipfile.ZipFile(path) as archive:
                member = archive.testzip()
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: {error}") from None
        if member:
            raise DataError(f"{path}: {member} does not match its checksum")


def _checkpoint_problems(path: Path) -> Iterator[Problem]:
    from colorize.training import checkpoint

    try:
        checkpoint.read(path)
    except ValueError as error:
        yield Problem(path, f"{error}; training takes the one before", f"rm {path}", (path,))


# --- paths and hashes -------------------------------------------------------------------------------------------------


def _is_below(path: Path, place: Path) -> bool:
    return path.is_relative_to(place) or place.is_relative_to(path)


def _inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _md5_in_name(path: Path) -> str:
    return path.parent.name + path.name.removesuffix(".dir")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _md5_of_all(paths: Iterable[Path], description: str) -> dict[Path, str]:
    paths = list(paths)
    with ThreadPoolExecutor(_HASHING_THREADS) as pool, runtime.progress(description, len(paths), "files") as advance:
        found = {}
        for path, md5 in zip(paths, pool.map(_md5_of_file, paths), strict=True):
            found[path] = md5
            advance(1)
    return found


def _md5_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
