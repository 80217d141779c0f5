"""Share one result between processes that run the same training at the same time, such as two queued experiments.

The second process waits for the first one, and copies its result. Experiments run in separate copies of the repository,
but share the folder `.state` of the main repository. If another process waits, the first one leaves a copy of its files
in `.state/finished/<run>/<key>`.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from colorize import runtime
from colorize.training import checkpoint


@contextlib.contextmanager
def alone(checkpoints: Path, what: str, folders: dict[str, Path]) -> Iterator[bool]:
    """Hold the lock of a training during the block. The block trains, unless the yielded value is true.

    Args:
        checkpoints: folder of this training's checkpoints; the <run> and <key> in its path identify the training.
        what: description for the messages of waiting processes, such as "train objects-unet-0".
        folders: name -> output folder of the training.

    Yields:
        True if another process has left the result, and it is now copied to the output folders.
    """
    run, key = checkpoints.parent.name, checkpoints.name
    finished = runtime.state_dir() / "finished" / run / key
    with runtime.lock(runtime.state_dir() / "locks" / f"{run}-{key}", what) as lock:
        is_done = finished.is_dir()
        if is_done:
            runtime.note(f"{what}: uses the result of the run that has just ended")
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
    """Copy the files of each source folder to the target folder of the same name; each file is written atomically."""
    for name, source in sources.items():
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            with runtime.atomic_write(targets[name] / path.relative_to(source)) as file:
                file.write(path.read_bytes())
