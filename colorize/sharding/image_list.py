"""Lists of images: a CSV file with the columns `path`, `class` and `split`; `class` and `split` are optional.

A relative path is relative to the folder of the list.
"""

import csv
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from colorize.archives.entry import Entry
from colorize.runtime import DataError

_COLUMNS = ("path", "class", "split")


class Row(NamedTuple):
    """One image of a list."""

    entry: Entry
    class_name: str
    split: str


def read(path: Path) -> list[Row]:
    """The images of a list, sorted by path. A missing file has the length 0, and cannot be read later.

    Raises:
        DataError: the list cannot be read, has no column `path`, or names a file twice.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file)
            columns = lines.fieldnames or ()
            if "path" not in columns or set(columns) - set(_COLUMNS):
                raise DataError(f"{path}: the columns are {', '.join(columns)}; expected {', '.join(_COLUMNS)}")
            found = [_row(path.parent, line) for line in lines]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a list of images ({error})") from error
    found.sort(key=lambda row: row.entry.name)
    for row, after in pairwise(found):
        if row.entry.name == after.entry.name:
            raise DataError(f"{path}: {row.entry.name!r} is listed twice; remove one of the lines")
    return found


def _row(folder: Path, line: dict[str, str | None]) -> Row:
    name = line["path"] or ""
    try:
        status = (folder / name).stat()
        entry = Entry(name, status.st_mtime_ns, status.st_size)
    except OSError:
        entry = Entry(name, 0, 0)
    return Row(entry, line.get("class") or "", line.get("split") or "")
