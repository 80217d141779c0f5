"""Runs of stages, and the promise of a stage: DVC records the inputs from which the results were really computed.

DVC hashes the parameters and dependencies of a stage after the stage has ended. If a file is edited during the run, DVC
would record the edited file with a result of the old one. A stage therefore computes the digests of its inputs before
it imports its own code, and compares them at every checkpoint and before it succeeds. If they differ, the stage ends
with exit code 3, and its checkpoints remain. If a file is edited between the last comparison and DVC's hashing, the
records in `records.py` show it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from colorize import runtime
from colorize.config import params, strict_yaml
from colorize.pipeline import definition, digests, records
from colorize.pipeline.definition import PARAMS, Definition
from colorize.pipeline.records import ABSENT, difference
from colorize.runtime import DataError, ParameterError

_SETTLE_S = 1.0  # pause before a difference is checked again: some editors write a file in two steps


class Promise:
    """A running stage: its parameters, and the state of its dependencies when it began.

    Args:
        stage: definition of the stage.

    Raises:
        ParameterError: the parameters are wrong.
        DataError: a dependency cannot be read.
    """

    def __init__(self, stage: Definition):
        values = strict_yaml.read(PARAMS, params.MISSING)
        self.stage = stage
        self.settings = strict_yaml.check(values, PARAMS, params.Settings)
        self.params = {key: _value(values, key) for key in stage.params}
        self._memory: digests.Memory = {}
        self.deps, self._stamps = {}, {}
        for path in stage.deps:
            try:
                self.deps[path], self._stamps[path] = digests.listing_of(path, self._memory), digests.stamps_of(path)
            except OSError as error:
                what = f"{error.filename or path}: cannot be read ({error.strerror})"
                raise DataError(f"{what}; check the file and the disk") from None

    @property
    def code(self) -> str:
        """SHA-256 of the source files that the stage depends on; it identifies the code that computed a result."""
        listings = {path.as_posix(): files for path, files in self.deps.items() if path.parts[0] in _CODE}
        return hashlib.sha256(json.dumps(listings, sort_keys=True).encode()).hexdigest()

    def check(self) -> None:
        """Check that the parameters and dependencies have not changed since the stage began.

        Raises:
            DataError: something has changed; the message names it, and says what to do.
        """
        if self._changes():
            time.sleep(_SETTLE_S)
            if changes := self._changes():
                remedy = "undo the change and run again, or keep the change and run again"
                raise DataError(f"{self.stage.what}: {', '.join(changes)}; {remedy}")

    def _changes(self) -> list[str]:
        return [*self._changed_params(), *(found for path in self.stage.deps for found in self._changed_files(path))]

    def _changed_params(self) -> list[str]:
        try:
            values = strict_yaml.read(PARAMS, "the file no longer exists")
        except ParameterError as error:
            return [f"{PARAMS} {_CHANGED} ({error})"]
        pairs = ((key, self.params[key], _value(values, key)) for key in self.stage.params)
        changes = [change for key, before, now in pairs for change in difference(key, before, now)]
        return [f"{PARAMS} {_CHANGED} ({', '.join(changes)})"] if changes else []

    def _changed_files(self, path: Path) -> list[str]:
        try:
            now, stamps = digests.listing_of(path, self._memory), digests.stamps_of(path)
        except OSError as error:
            return [f"{path} {_CHANGED} ({error.strerror})"]
        before, stamps_before = self.deps[path], self._stamps[path]
        names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        names += sorted(name for name in stamps_before.keys() & stamps.keys() if stamps_before[name] != stamps[name])
        return [f"{path / names[0]} {_CHANGED}"] if names else []


_CODE = ("colorize", "stages")
_CHANGED = "changed during the run"


def _value(values: dict, key: str) -> object:
    """The value of a dotted key; ABSENT if the file does not have this key."""
    at: object = values
    for part in key.split("."):
        at = at.get(part, ABSENT) if isinstance(at, dict) else ABSENT
    return at


@contextlib.contextmanager
def stage(name: str, **item: str) -> Iterator[Promise]:
    """Run a stage under its lock: the block imports the stage's code and fills its outs.

    Under `torchrun`, only the process with rank 0 takes the lock, makes the last check and writes the record.

    Args:
        name: name of the stage in `dvc.yaml`.
        item: variables of the stage's loop and their values: `dataset` or `source`, `model`, `seed`.

    Yields:
        the running stage.

    Raises:
        ParameterError: the parameters are wrong, or do not name the data set, model or seed.
        DataError: another run holds the lock and COLORIZE_NO_WAIT is set, an out cannot be written, a file of an out
            was removed, or an input changed during the run.
    """
    settings = params.load(PARAMS)
    checks: dict[str, Callable[[str], object]] = {"model": settings.model, "seed": settings.seed}
    for key, value in item.items():
        checks.get(key, settings.dataset)(value)
    fields = settings.union(item["dataset"]).model_dump(include={"first", "second"}) if name == "union" else {}
    defined = definition.read(name, item, fields=fields)
    if runtime.is_run_by_dvc():
        defined.check_links()
    if runtime.torchrun_ranks()[0]:
        yield Promise(defined)
        return
    with runtime.outputs(defined.what, *defined.folders, defined.record.parent):
        promise = Promise(defined)  # created only after waiting for the lock
        yield promise
        runtime.check_written(defined.folders)
        promise.check()
        runtime.fault_point("stage-checked")
        records.write(defined, promise.params, promise.deps)
