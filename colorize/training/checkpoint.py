"""Checkpoints of a running training, outside DVC's outs: DVC empties those before a stage runs.

    .state/checkpoints/<cell>/<key>/000000120.ckpt    SHA-256 in hex, a line end, then what `torch.save` makes

The key is a hash of everything that determines the result, so that a changed parameter starts afresh and another
experiment is left alone. The newest two are kept. All of `.state` may be removed at any time: only progress is lost.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from colorize import runtime

_KEPT = 2  # of which the older one serves where the newer one is damaged
_SECONDS = 60  # from one to the next, or longer:
_SHARE = 0.01  # of the time that they may take; at the paper's scale one takes 1 to 3 seconds
_KEY_DIGITS = 16
_STALE_SECONDS = 14 * 24 * 3600  # an interrupted experiment may be taken up so much later
_DIGEST = 64  # hex digits


def folder_of(cell_name: str, key: dict) -> Path:
    """Folder of a training's checkpoints.

    Args:
        cell_name: such as "objects-unet".
        key: all that determines the result, as JSON can hold it: parameters, hashes of data, prior and code, version
            of torch, kind of device, threads.
    """
    canonical = json.dumps(key, sort_keys=True, allow_nan=False)
    name = hashlib.sha256(canonical.encode()).hexdigest()[:_KEY_DIGITS]
    return runtime.state_dir() / "checkpoints" / cell_name / name


class Checkpoints:
    """The checkpoints in one folder.

    Args:
        folder: as `folder_of` gives it.
        check: called when a checkpoint is safe, to raise where the training should not go on.
    """

    def __init__(self, folder: Path, check: Callable[[], None] = lambda: None):
        self.folder = folder
        self._check = check
        self._saved = time.monotonic()
        self._cost = 0.0  # seconds that the last one took

    def is_due(self) -> bool:
        """Whether to save now: the last one is long enough ago, or the process is asked to stop."""
        pause = runtime.checkpoint_seconds(default=max(_SECONDS, math.ceil(self._cost / _SHARE)))
        return time.monotonic() - self._saved >= pause or runtime.stop_requested()

    def save(self, step: int, state: dict) -> None:
        """Write a checkpoint, then remove those before the last two.

        Args:
            step: steps done.
            state: tensors, numbers, strings, lists and dicts.

        Raises:
            DataError: it cannot be written; those of before stand.
        """
        begun = time.monotonic()
        content = io.BytesIO()  # to a path, torch would write neither atomically nor the same bytes twice
        torch.save({"step": step, "state": state}, content)
        with runtime.atomic_write(self.folder / f"{step:09d}.ckpt") as file:
            file.write(hashlib.sha256(content.getbuffer()).hexdigest().encode() + b"\n")
            file.write(content.getbuffer())
        self._saved = time.monotonic()
        self._cost = self._saved - begun
        runtime.fault_point("checkpoint-written")
        for path in self._newest_first()[_KEPT:]:
            path.unlink()
            runtime.fault_point("checkpoint-prune")
        self._check()

    def latest(self) -> tuple[int, dict] | None:
        """Step and state of the newest checkpoint that is whole, on the CPU; None where there is none.

        A damaged one is named on stderr.
        """
        if self.folder.is_dir():
            runtime.sweep(self.folder)
        paths = self._newest_first()
        for path in paths:
            try:
                return read(path)
            except ValueError as error:
                print(f"warning: {path}: {error}; using the checkpoint before it", file=sys.stderr, flush=True)
        if paths:
            print(
                f"warning: {self.folder}: no intact checkpoint; training starts from the first step",
                file=sys.stderr,
                flush=True,
            )
        return None

    def remove(self) -> None:
        """Remove these checkpoints, and those of the same cell that nobody has gone on with for two weeks."""
        runtime.fault_point("train-remove")
        shutil.rmtree(self.folder, ignore_errors=True)
        remove_stale(self.folder.parent)

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("*.ckpt"), reverse=True)


def read(path: Path) -> tuple[int, dict]:
    """Step and state of one checkpoint, on the CPU.

    Raises:
        ValueError: it is damaged, or holds objects that only a hostile one would hold.
    """
    digest, _, content = path.read_bytes().partition(b"\n")
    if len(digest) != _DIGEST or hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("damaged: its SHA-256 differs from the one at its start")
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return found["step"], found["state"]
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"not a checkpoint of this project ({runtime.first_line(error)})") from None


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of torch's generators that a training on the device may draw from; none draws from Python's or numpy's."""
    own = {"own": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **own}


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """The inverse of `random_state`; the device may have another number than it had."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["own"], device)


def pack(folder: Path) -> dict[str, Tensor]:
    """The files below a folder as uint8 tensors: DVC empties an out before the stage that resumes it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".tmp")
    return {
        path.relative_to(folder).as_posix(): torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        for path in paths
    }


def unpack(files: dict[str, Tensor], folder: Path) -> None:
    """The inverse of `pack`."""
    for name, content in files.items():
        with runtime.atomic_write(folder / name) as file:
            file.write(content.numpy().tobytes())


def remove_stale(cell: Path) -> None:
    """Remove the folders in that of a cell which have not changed for two weeks, and the cell's own where empty."""
    for folder in sorted(cell.glob("*/")):
        if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    if cell.is_dir() and not any(cell.iterdir()):
        cell.rmdir()
