"""Read the files of a prior. This code is separate, so training does not depend on the code that writes the files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colorize.color import gamut
from colorize.runtime import Damaged, DataError, first_line, read_bytes, repair_command

_MAX_BYTES = 1 << 28  # of an array; the largest has 250 kB


def load_array(path: Path, shape: tuple[int, ...] = (gamut.NUM_BINS,), is_color: bool = False) -> np.ndarray:
    """Read an array of a prior: float64, or int64 for counts.npy.

    Args:
        path: path of the file.
        shape: expected shape.
        is_color: whether the values are a and b, which may be negative or zero.

    Raises:
        DataError: the file is missing or damaged, has another shape, or has values that are negative, not finite in
            float32, or all zero.
    """
    try:
        file = io.BytesIO(read_bytes(path, _MAX_BYTES))
        array = np.load(file, allow_pickle=False)
        problem = _problem(array, shape, np.int64 if path.stem == "counts" else np.float64, is_color)
        if file.read():  # a damaged header length shifts all values and leaves extra bytes
            problem = "damaged (extra bytes after the array)"
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; make it with `dvc repro prior@{path.parent.name}`") from None
    except Exception as error:  # for a damaged header, NumPy raises almost any type of exception
        problem = f"damaged ({first_line(error)})"
    if problem:
        command = repair_command(path.parent, f"prior@{path.parent.name}")
        raise Damaged(f"{path}: {problem}; run `{command}`")
    return array


def _problem(array: np.ndarray, shape: tuple[int, ...], dtype: type, is_color: bool) -> str:
    if array.shape != shape:
        return f"shape {array.shape}, expected {shape}; the gamut has {gamut.NUM_BINS} bins"
    if array.dtype != dtype:
        return f"values of type {array.dtype}, expected {np.dtype(dtype)}"
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(array.astype(np.float32)).all()
    if not is_finite or (not is_color and ((array < 0).any() or not array.any())):
        return "values that are negative, not finite, or all zero"
    return ""


def load_tensor(path: Path) -> Tensor:
    """Like `load_array`, but returns a (Q,) float32 tensor on the CPU."""
    return torch.from_numpy(load_array(path)).float()
