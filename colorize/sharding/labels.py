"""Lists in an archive that give the class and the group of an image by its name.

The images of one group are not independent of each other: they are crops of one photograph, for example. The number of
groups, not the number of images, decides how sure a mean over images is.
"""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from colorize.archives import containers
from colorize.config.strict_yaml import Section
from colorize.runtime import DataError


class LabelList(Section):
    """A text file with one line per image. White space separates the columns; further columns are ignored."""

    file: str  # name in the archive
    archive: str | None = None  # one of `Source.files`; optional if there is only one
    columns: Annotated[list[Literal["name", "class", "group"]], Field(min_length=2)]
    classes: str | None = None  # another list in the archive, of class and number: `file` holds only the numbers

    @model_validator(mode="after")
    def _has_names(self) -> "LabelList":
        if "name" not in self.columns or len(set(self.columns)) < len(self.columns):
            raise ValueError("columns must contain `name`, and each column only once")
        return self


class Label(NamedTuple):
    """What a list says of one image."""

    class_name: str | None  # None: the list has no such column
    group: str | None


def read(wanted: LabelList, path: Path, listing: containers.Listing) -> dict[str, Label]:
    """Read a list.

    Args:
        wanted: the description of the list.
        path: the archive that contains it.
        listing: of this archive.

    Returns:
        A label per name: the name of a file in the archive, or its last part.

    Raises:
        DataError: the archive has no such file, a line has too few columns, or a name has two different labels.
    """
    names = {}
    if wanted.classes is not None:
        names = {number: name.removeprefix("/") for name, number in _rows(wanted.classes, 2, path, listing)}
    labels: dict[str, Label] = {}
    for row in _rows(wanted.file, len(wanted.columns), path, listing):
        values = dict(zip(wanted.columns, row, strict=True))
        class_name = values.get("class")
        if class_name is not None and wanted.classes is not None:
            if class_name not in names:
                raise DataError(f"{path}: {wanted.file}: {wanted.classes} has no class of number {class_name!r}")
            class_name = names[class_name]
        label = Label(class_name, values.get("group"))
        if labels.setdefault(values["name"], label) != label:
            raise DataError(f"{path}: {wanted.file}: {values['name']!r} has two different labels; correct the list")
    return labels


def label_of(labels: dict[str, Label], name: str) -> Label | None:
    """The label of a file of an archive, by its whole name or by the last part; None if no list names it."""
    return labels.get(name) or labels.get(name.rpartition("/")[2])


def _rows(file: str, num_columns: int, path: Path, listing: containers.Listing) -> list[list[str]]:
    """The first columns of every line that is not empty."""
    entry = next((entry for entry in listing.entries if entry.name == file), None)
    if entry is None:
        raise DataError(f"{path}: there is no file {file!r}; correct `lists` in the source file")
    if entry.size > containers.MAX_INFLATED:
        raise DataError(
            f"{path}: {file}: {entry.size:,} bytes are too many for a list, the limit is {containers.MAX_INFLATED:,}"
        )
    with containers.Reader(path) as reader:
        content = bytes(reader.read(entry))
    try:
        rows = [line.split()[:num_columns] for line in content.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {file}: not a text in UTF-8 ({error}); correct the list") from None
    short = next((row for row in rows if len(row) < num_columns), None)
    if short is not None:
        raise DataError(f"{path}: {file}: the line {' '.join(short)!r} has fewer than {num_columns} columns")
    return rows
