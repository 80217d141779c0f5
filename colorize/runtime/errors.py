"""Errors that a user can mend, the exit code of each, and how damaged data are mended."""

from __future__ import annotations

from pathlib import Path


class UserError(ValueError):
    """Something the user can mend; shown as one line, never as a traceback."""

    exit_code = 1


class ParameterError(UserError):
    """A parameter or source file is wrong."""

    exit_code = 2


class DataError(UserError):
    """Data are missing, damaged or do not fit."""

    exit_code = 3


class Damaged(DataError):
    """A file of ours is not what was written: certain enough for a repair to take it away."""


def first_line(error: Exception) -> str:
    """What an error says, without what libraries add below."""
    return str(error).partition("\n")[0]


def repair_command(place: Path | None = None, stage: str = "") -> str:
    """The command that removes what is damaged below a path, and makes it again where a stage is given.

    Removing the files alone would not help: DVC links a damaged object of its cache back into the workspace.
    """
    removal = f"python -m colorize.verify --repair {place or ''}".rstrip()
    return f"{removal} && dvc repro {stage}" if stage else removal
