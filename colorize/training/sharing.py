"""Two runs of one training at once, of two queued experiments say: the second waits and takes the first one's result.

They work in copies of the repository, so the first leaves copies of its files in `.state/finished/<cell>/<key>`, and
only while somebody waits for them.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from colorize import runtime
from colorize.training import checkpoint


@contextlib.contextmanager
def alone(checkpoints: Path, what: str, folders: dict[str, Path]) -> Iterator[bool]:
    """Be the only run of a training; the block trains unless it is told that this was done.

    Args:
        checkpoints: folder of this training's checkpoints; its name tells trainings apart.
        what: "train objects-unet", for those who wait.
        folders: name -> folder that the training fills.

    Yields:
        whether the folders hold the result already, made by a run that ended while this one waited.
    """
    cell, key = checkpoints.parent.name, checkpoints.name
    finished = runtime.state_dir() / "finished" / cell / key
    with runtime.lock(runtime.state_dir() / "locks" / f"{cell}-{key}", what) as lock:
        is_done = finished.is_dir()
        if is_done:
            print(f"{what}: uses the result of the run that has just ended", file=sys.stderr, flush=True)
            _copy({name: finished / name for name in folders}, folders)
        yield is_done
        if not lock.is_awaited():
            shutil.rmtree(finished, ignore_errors=True)
            checkpoint.remove_stale(finished.parent)
        elif not is_done:
            _hand_over(folders, finished)


def _hand_over(folders: dict[str, Path], finished: Path) -> None:
    unfinished = finished.with_name(f".{finished.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    _copy(folders, {name: unfinished / name for name in folders})
    unfinished.replace(finished)


def _copy(sources: dict[str, Path], targets: dict[str, Path]) -> None:
    """Copy the files of folders, each whole or not at all."""
    for name, source in sources.items():
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            with runtime.atomic_write(targets[name] / path.relative_to(source)) as file:
                file.write(path.read_bytes())
