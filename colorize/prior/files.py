"""Reading a prior's files; apart from their making, so that a training does not depend on how they are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colorize import gamut
from colorize.runtime import DataError


def load_array(path: Path) -> np.ndarray:
    """A (Q,) array of this folder.

    Raises:
        DataError: the file is missing or damaged, or was made for another number of bins.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (FileNotFoundError, EOFError, ValueError) as error:
        raise DataError(f"{path}: {error}; make it with `dvc repro prior@{path.parent.name}`") from None
    if array.shape != (gamut.NUM_BINS,):
        raise DataError(f"{path}: shape {array.shape}, expected ({gamut.NUM_BINS},), one value a bin of the gamut")
    return array


def load_tensor(path: Path) -> Tensor:
    """The same as (Q,) float32 on the CPU."""
    return torch.from_numpy(load_array(path)).float()
