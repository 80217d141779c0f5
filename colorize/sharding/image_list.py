"""Lists of images: a CSV file with the columns `path`, `class` and `split`; `class` and `split` are optional.

A relative path is relative to the folder of the list.
"""

import contextlib
import csv
import stat
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from colorize.archives.entry import Entry
from colorize.runtime import DataError

_COLUMNS = ("path", "class", "split")


class Row(NamedTuple):
    """One image of a list."""

    entry: Entry
    class_name: str
    split: str


def read(path: Path) -> list[Row]:
    """The images of a list, sorted by path. A missing file has the length 0, and is rejected as an empty one.

    Raises:
        DataError: the list cannot be read, has no column `path`, has a wrong line, or names a file twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel writes a byte order mark
            lines = csv.DictReader(file, strict=True)
            columns = lines.fieldnames or ()
            if "path" not in columns or set(columns) - set(_COLUMNS):
                raise DataError(f"{path}: the columns are {', '.join(columns)}; expected {', '.join(_COLUMNS)}")
            found = [_row(path, lines.line_num, line) for line in lines]
    except DataError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a list of images ({error}); correct the list") from error
    found.sort(key=lambda row: row.entry.name)
    for row, after in pairwise(found):
        if row.entry.name == after.entry.name:
            raise DataError(f"{path}: {row.entry.name!r} is listed twice; remove one of the lines")
    return found


def _row(path: Path, number: int, line: dict[str | None, Any]) -> Row:
    name = line["path"]
    if not name:
        raise DataError(f"{path}: line {number} has no path; correct the line")
    if None in line:
        raise DataError(f"{path}: line {number} has too many columns; put a name with a comma in double quotes")
    status = None
    with contextlib.suppress(OSError):
        status = (path.parent / name).stat()
    is_file = status is not None and stat.S_ISREG(status.st_mode)
    entry = Entry(name, status.st_mtime_ns, status.st_size) if status and is_file else Entry(name, 0, 0)
    return Row(entry, line.get("class") or "", line.get("split") or "")
