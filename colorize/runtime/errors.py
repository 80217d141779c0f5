"""Errors that a user can fix, their exit codes, and the command that repairs damaged data."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

# User name and password, up to the last @. A password can contain `/` and `?`; but in `host:80/a@b` there is none.
_USER = re.compile(r"(://)(?:[^\s/?]*|[^\s/?:\[]*:(?!\d+(?:/|$))\S*)@")
_QUERY = re.compile(r"(://[^\s?]*)\?\S*")


class UserError(ValueError):
    """An error that the user can fix; shown as one line, never as a traceback."""

    exit_code = 1


class ParameterError(UserError):
    """A parameter, a command-line argument, an environment variable or a file in `sources/` is wrong."""

    exit_code = 2


class DataError(UserError):
    """Data are missing, damaged or inconsistent, or a file cannot be written."""

    exit_code = 3


class Damaged(DataError):
    """A file that the pipeline wrote is certainly damaged, so a repair may remove it."""


def first_line(error: Exception) -> str:
    """First line of an error message, without the details that libraries add, and without error numbers and paths."""
    reason = error.strerror if isinstance(error, OSError) else None
    return (reason or str(error)).partition("\n")[0]


def explain_os_error(error: OSError) -> str:
    """An error of the operating system as a message for users: the file, the reason and the remedy."""
    reason = error.strerror or first_line(error) or type(error).__name__
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    remedy = _REMEDIES.get(error.errno or 0, "check the path, its permissions and the disk")
    return f"{where}{reason[:1].lower()}{reason[1:]}; {remedy}"


_REMEDIES = {  # error number -> remedy, if it is not the path
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some space and run again",
    errno.EMFILE: "allow more open files with `ulimit -n`",
    errno.ENFILE: "close other programs and run again",
    errno.EAGAIN: "allow more processes with `ulimit -u`, or lower COLORIZE_PROCS",
    errno.ENOMEM: "free memory and run again",
    errno.EFBIG: "see the limit for file sizes, `ulimit -f`",
}


def without_secrets(text: str) -> str:
    """The text, without user names, passwords and queries in its URLs: a query can hold a signature or a token."""
    return _QUERY.sub(r"\1", _USER.sub(r"\1", text))


def repair_command(place: Path | None = None, stage: str = "") -> str:
    """The command that removes damaged data (all, or below a path) and then, if a stage is given, runs it again.

    It is not enough to remove the files, because DVC would link a damaged object of its cache back into the workspace.
    """
    removal = f"python -m colorize.verify --repair {place or ''}".rstrip()
    return f"{removal} && dvc repro {stage}" if stage else removal
