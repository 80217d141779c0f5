"""Index files: the images of one split in one archive, sorted by name.

The listing of an archive is written once, and each task reads its own rows of it. So no process holds the listing of
the whole data set, which would take 330 bytes per image.

    <name>.npy    per image: place and length in the archive, and the end of its texts in the other file
    <name>.txt    per image: name, class and group, each followed by a zero byte
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from colorize import runtime
from colorize.archives.entry import Entry

_NUMBERS = ("offset", "size", "packed", "crc", "method")  # of an Entry
_ROW = np.dtype([(name, "<u8") for name in (*_NUMBERS, "end")])
_TEXTS = 3  # name, class, group


class Member(NamedTuple):
    """One image of a split."""

    entry: Entry
    name: str  # of the entry; before it the name of the archive, if the data set has several
    class_name: str
    group: str = ""  # name of a group of images that are not independent; empty if it is unknown


def write(path: Path, members: Sequence[Member]) -> None:
    """Write the index `<path>.npy` and `<path>.txt`; the .npy is written last."""
    texts = [_encode(member) for member in members]
    rows = np.empty(len(members), _ROW)
    if members:
        _, *numbers = zip(*(member.entry for member in members), strict=True)
        for field, values in zip(_NUMBERS, numbers, strict=True):
            rows[field] = values
        rows["end"] = np.cumsum([len(text) for text in texts])
    with runtime.atomic_write(path.with_suffix(".txt")) as file:
        file.write(b"".join(texts))
    runtime.write_array(path.with_suffix(".npy"), rows)


def _encode(member: Member) -> bytes:
    texts = (member.name, member.class_name, member.group)
    return "".join([text.replace("\0", "\ufffd") + "\0" for text in texts]).encode("utf-8", "backslashreplace")


def read(path: Path, start: int, stop: int) -> list[Member]:
    """The members with the positions `start` to `stop` - 1."""
    rows = np.load(path.with_suffix(".npy"), mmap_mode="r")
    begin = int(rows["end"][start - 1]) if start else 0
    part = rows[start:stop]
    with path.with_suffix(".txt").open("rb") as file:
        file.seek(begin)
        texts = file.read(int(part["end"][-1]) - begin).decode().split("\0") if len(part) else []
    members = []
    for number, (offset, size, packed, crc, method, _) in enumerate(part.tolist()):
        name, class_name, group = texts[_TEXTS * number : _TEXTS * (number + 1)]
        members.append(Member(Entry(name, offset, size, packed, crc, method), name, class_name, group))
    return members
