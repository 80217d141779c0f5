"""The records of DVC: `dvc.lock`, the objects of its cache, and its run cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import yaml

from colorize import runtime
from colorize.config import strict_yaml
from colorize.pipeline import digests, records
from colorize.pipeline.digests import Listing

LOCK = Path("dvc.lock")
_MAX_BYTES = 1 << 30  # of a file that DVC writes


class Out(NamedTuple):
    """An output as DVC records it."""

    path: Path
    md5: str  # ends with .dir for a folder
    stage: str


class RecordedRun(NamedTuple):
    """One run of a stage, recorded in `dvc.lock` or in the run cache."""

    stage: str  # name of the stage; in an entry of the run cache, its command
    path: Path  # file that contains the entry
    entry: dict

    @property
    def outs(self) -> list[Out]:
        """Outs of the run, including the stage's own record."""
        return [Out(Path(out["path"]), out["md5"], self.stage) for out in self.entry.get("outs", [])]


class Recorded(NamedTuple):
    """Everything that DVC has recorded."""

    lock: list[RecordedRun]
    runs: list[RecordedRun]  # entries of the run cache, from which DVC restores results
    cache: Path | None  # folder of the file cache; None if there is no DVC repository
    unreadable: list[tuple[Path, str]]  # file, and why it or a part of it cannot be read

    @property
    def outs(self) -> list[Out]:
        """Every output in `dvc.lock`."""
        return [out for run in self.lock for out in run.outs]

    def object(self, md5: str) -> Path | None:
        """Path of the cached object with this MD5; None if it is not in the cache."""
        path = self.cache / md5[:2] / md5[2:] if self.cache else None
        return path if path and path.is_file() else None

    def listing(self, md5: str) -> Listing | None:
        """Listing of the folder with this hash; None if its object is not in the cache or cannot be read."""
        path = self.object(md5)
        try:
            return (
                {entry["relpath"]: entry["md5"] for entry in json.loads(runtime.read_bytes(path, _MAX_BYTES))}
                if path
                else None
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def record(self, run: RecordedRun) -> dict | None:
        """The stage's own record of a run; None if it is neither in the working tree nor in the cache."""
        found = records.record_of(run.entry)
        if found is None:
            return None
        name, md5 = found
        for path in (Path(name), self.object(md5)):
            try:
                if path and path.is_file() and digests.md5_of_file(path) == md5:
                    return records.parse(runtime.read_bytes(path, _MAX_BYTES))
            except (OSError, ValueError):
                continue
        return None


def read() -> Recorded:
    """Read DVC's records of the repository in the working directory; `unreadable` lists what cannot be read."""
    unreadable: list[tuple[Path, str]] = []
    cache = _cache()
    runs = sorted(cache.parents[1].glob("runs/??/*/*")) if cache else []
    return Recorded(
        lock=_read_lock(unreadable),
        runs=[run for run in (_read_run(path, unreadable) for path in runs) if run],
        cache=cache,
        unreadable=unreadable,
    )


def joined(outs: list[Out], folder: Path, listing_of: Callable[[str], Listing | None]) -> Listing | None:
    """Listing of a folder that contains outs, such as `data/shards/test`; None without outs or with an unknown out."""
    held: Listing = {}
    for out in outs:
        if out.path == folder or not out.path.is_relative_to(folder):
            continue
        listing = listing_of(out.md5) if out.md5.endswith(".dir") else {"": out.md5}
        if listing is None:
            return None
        held |= {(out.path.relative_to(folder) / name).as_posix(): md5 for name, md5 in listing.items()}
    return held or None


def _cache() -> Path | None:
    """Folder of DVC's file cache, as DVC is configured; None if there is no DVC repository."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            path = Path(repo.cache.local.path)
            return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    except NotDvcRepoError:
        return None


def _read_lock(unreadable: list[tuple[Path, str]]) -> list[RecordedRun]:
    if not LOCK.exists():
        return []
    try:
        stages = yaml.load(runtime.read_bytes(LOCK, _MAX_BYTES), strict_yaml.FastLoader)["stages"]
        found = [RecordedRun(str(name), LOCK, entry) for name, entry in stages.items()]
    except Exception as error:  # PyYAML raises almost anything on damaged bytes
        unreadable.append((LOCK, runtime.first_line(error)))
        return []
    return [run for run in found if _is_shaped(run, unreadable)]


def _read_run(path: Path, unreadable: list[tuple[Path, str]]) -> RecordedRun | None:
    """The entry in a file of the run cache; None if it cannot be read."""
    try:
        entry = yaml.load(runtime.read_bytes(path, _MAX_BYTES), strict_yaml.FastLoader)
        run = RecordedRun(str(entry["cmd"]), path, entry)
    except Exception as error:  # as in _read_lock
        unreadable.append((path, runtime.first_line(error)))
        return None
    return run if _is_shaped(run, unreadable) else None


def _is_shaped(run: RecordedRun, unreadable: list[tuple[Path, str]]) -> bool:
    """Whether an entry has all fields that are read here; if not, it is added to `unreadable`."""
    try:
        items = [*run.entry.get("outs", []), *run.entry.get("deps", [])]
        params = run.entry.get("params", {}).values()
        is_shaped = all(isinstance(item["path"], str) and isinstance(item["md5"], str) for item in items)
        is_shaped = is_shaped and all(isinstance(values, dict) for values in params)
    except (AttributeError, KeyError, TypeError):
        is_shaped = False
    if not is_shaped:
        unreadable.append((run.path, f"the entry of {run.stage} is damaged"))
    return is_shaped
