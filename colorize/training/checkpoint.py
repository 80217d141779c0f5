"""Checkpoints of a training. They are outside DVC's outs, because DVC empties the outs before it runs a stage.

    .state/checkpoints/<run>/<key>/000000120.ckpt    SHA-256 in hex, a newline, then the bytes of `torch.save`

The key is a hash of everything that determines the result. A training with a changed parameter therefore starts from
the first step, and does not use the checkpoints of another experiment. The newest two checkpoints are kept. The folder
`.state` may be removed at any time; only progress is lost.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from colorize import runtime

_KEPT = 2  # checkpoints to keep; the older one is used if the newer one is damaged
_SECONDS = 60  # shortest time between two checkpoints
_SHARE = 0.01  # largest share of the training time for saving; at the paper's scale one save takes 1 to 3 seconds
_KEY_DIGITS = 16
_STALE_SECONDS = 14 * 24 * 3600  # for this long, an interrupted training can be resumed
_DIGEST = 64  # hex digits of a SHA-256
_MAX_BYTES = 1 << 34  # of a checkpoint; one of the widest model has less than 4 GB


def folder_of(run_name: str, key: dict) -> Path:
    """Folder of a training's checkpoints.

    Args:
        run_name: name of the run, such as "objects-unet-0".
        key: everything that determines the result, as JSON values: parameters, hashes of data, prior and code, version
            of torch, kind of device, number of threads and of processes, and whether networks are compiled.

    Returns:
        `.state/checkpoints/<run>/<hash of the key>`; the folder may not exist.
    """
    canonical = json.dumps(key, sort_keys=True, allow_nan=False)
    name = hashlib.sha256(canonical.encode()).hexdigest()[:_KEY_DIGITS]
    return runtime.state_dir() / "checkpoints" / run_name / name


class Checkpoints:
    """The checkpoints in one folder.

    Args:
        folder: the result of `folder_of`.
        check: called after each saved checkpoint; raises an error if the training must stop.
    """

    def __init__(self, folder: Path, check: Callable[[], None] = lambda: None):
        self.folder = folder
        self._check = check
        self._saved = time.monotonic()
        self._cost = 0.0  # seconds that the last save took

    def is_due(self) -> bool:
        """Whether to save a checkpoint now.

        True if the pause since the last checkpoint is over, or if the process was asked to stop. The pause is
        COLORIZE_CHECKPOINT_SECONDS. Its default is the larger of 60 s and 100 times the duration of the last save.
        """
        pause = runtime.checkpoint_seconds(default=max(_SECONDS, math.ceil(self._cost / _SHARE)))
        return time.monotonic() - self._saved >= pause or runtime.stop_requested()

    def save(self, step: int, state: dict) -> None:
        """Write a checkpoint, then remove all but the newest two.

        Args:
            step: number of steps taken.
            state: tensors, numbers, strings, lists and dicts.

        Raises:
            DataError: the checkpoint cannot be written; the older checkpoints are unchanged.
        """
        begun = time.monotonic()
        content = io.BytesIO()  # torch.save to a path is not atomic, and its bytes are not reproducible
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
        """Step and state (on the CPU) of the newest undamaged checkpoint; None if there is none.

        A warning on stderr names each damaged checkpoint.
        """
        if self.folder.is_dir():
            runtime.sweep(self.folder)
        paths = self._newest_first()
        for path in paths:
            try:
                return read(path)
            except (ValueError, OSError) as error:
                runtime.note(f"warning: {path}: {error}; using the checkpoint before it")
        if paths:
            runtime.note(
                f"warning: {self.folder}: no intact checkpoint; training starts from the first step",
            )
        return None

    def remove(self) -> None:
        """Remove these checkpoints, and all checkpoints of the same run that have not changed for two weeks."""
        runtime.fault_point("train-remove")
        shutil.rmtree(self.folder, ignore_errors=True)
        remove_stale(self.folder.parent)

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("*.ckpt"), reverse=True)


def read(path: Path) -> tuple[int, dict]:
    """Read step and state of one checkpoint, with all tensors on the CPU.

    Raises:
        ValueError: the file is damaged, or contains objects that torch does not load because they could run code.
    """
    digest, _, content = runtime.read_bytes(path, _MAX_BYTES).partition(b"\n")
    if len(digest) != _DIGEST or hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("damaged: its SHA-256 differs from the one at its start")
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return found["step"], found["state"]
    except (pickle.UnpicklingError, RuntimeError, LookupError, TypeError, AttributeError, EOFError) as error:
        raise ValueError(f"not a checkpoint of this project ({runtime.first_line(error)})") from None


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of the random generators that training on the device uses.

    These are torch's generators of the CPU and of the GPU. Training does not use the global generators of Python and
    numpy.
    """
    own = {"own": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **own}


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Restore the result of `random_state`; the device may be another GPU than before."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["own"], device)


def pack(folder: Path) -> dict[str, Tensor]:
    """Read the files below a folder, except temporary ones, as uint8 tensors by relative path.

    A checkpoint contains them because DVC empties an out before it runs the stage again.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".tmp")
    return {
        path.relative_to(folder).as_posix(): torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        for path in paths
    }


def unpack(files: dict[str, Tensor], folder: Path) -> None:
    """Write the files in the result of `pack` to a folder."""
    for name, content in files.items():
        with runtime.atomic_write(folder / name) as file:
            file.write(content.numpy().tobytes())


def remove_stale(run_folder: Path) -> None:
    """Remove the subfolders of a run's folder that did not change for two weeks, then the folder if it is empty."""
    for folder in sorted(run_folder.glob("*/")):
        if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    if run_folder.is_dir() and not any(run_folder.iterdir()):
        run_folder.rmdir()
