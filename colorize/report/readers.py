"""Read the files of other stages: arrays, JSON and CSV. If one is missing or damaged, the error names its stage."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from colorize.runtime import DataError, first_line, repair_command

_MAX_BYTES = 1 << 32  # of a file; those of the paper's data sets are smaller


def read_arrays(
    path: Path,
    stage: str,
    problem_of: Callable[[dict[str, np.ndarray]], str],
    names: Collection[str] | None = None,
) -> dict[str, np.ndarray]:
    """Read the named arrays of an npz file, or all of them, and raise DataError if `problem_of` finds one wrong."""
    _require(path, stage)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (file.files if names is None else names)}
        problem = problem_of(arrays)
    except Exception as error:  # zipfile, zlib and numpy raise errors of many types for damaged files
        problem = first_line(error)
    if problem:
        raise _unreadable(path, stage, problem)
    return arrays


def read_array(path: Path, stage: str, kind: str) -> np.ndarray:
    """The array of an npy file, whose `dtype.kind` is `kind`. Raises DataError if it is missing or damaged."""
    _require(path, stage)
    try:
        array = np.load(path, allow_pickle=False)
        problem = "" if array.dtype.kind == kind else f"it has values of type {array.dtype}"
    except Exception as error:  # as in `read_arrays`
        problem = first_line(error)
    if problem:
        raise _unreadable(path, stage, problem)
    return array


def array_names(path: Path, stage: str) -> list[str]:
    """The names of the arrays of an npz file. Raises DataError if it is missing or damaged."""
    _require(path, stage)
    try:
        with np.load(path, allow_pickle=False) as file:
            return file.files
    except Exception as error:  # as in `read_arrays`
        raise _unreadable(path, stage, first_line(error)) from error


def _unreadable(path: Path, stage: str, problem: str) -> DataError:
    return DataError(f"{path} cannot be read ({problem}); run `{repair_command(path, stage)}`")


def _require(path: Path, stage: str) -> None:
    if not path.is_file():
        raise DataError(f"{path} is missing: run `dvc repro {stage}`")
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise _unreadable(path, stage, f"{size:,} bytes, the limit is {_MAX_BYTES:,}")


def read_json(path: Path, stage: str) -> Any:
    """The content of a JSON file. Raises DataError if it is missing or damaged."""
    _require(path, stage)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); run `{repair_command(path, stage)}`") from error


def read_csv(path: Path, stage: str, columns: Collection[str], optional: Collection[str]) -> list[dict[str, str]]:
    """Read a CSV of numbers. Raises DataError if it has no rows, lacks a column, or has a value that is no number.

    A value may be empty in the `optional` columns.
    """
    _require(path, stage)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names, rows = reader.fieldnames or [], list(reader)
        missing = [f"column `{name}` is missing" for name in columns if name not in names]
        problem = missing[0] if missing else _number_problem(rows, columns, optional)
    except (OSError, ValueError, csv.Error) as error:
        problem = str(error)
    if problem:
        raise DataError(f"{path}: {problem}; run `{repair_command(path, stage)}`")
    return rows


def _number_problem(rows: list[dict[str, str]], columns: Collection[str], optional: Collection[str]) -> str:
    """Message about the first value that is not a number; empty if there is none."""
    if not rows:
        return "it has no rows"
    for row in rows:
        for name in columns:
            try:
                is_number = (row[name] == "" and name in optional) or math.isfinite(float(row[name]))
            except (TypeError, ValueError):  # a short row has None
                is_number = False
            if not is_number:
                return f"`{name}` is {row[name]!r} in a row"
    return ""
