"""Index files: the images of one split in one archive, sorted by name.

The listing of an archive is written once, and each task reads its own rows of it. So no process holds the listing of
the whole data set, which would take 330 bytes per image.

An index file is an .npy file with texts at its end:

    per image: place and length in the archive, and the end of its texts
    per image: name, class and group, each followed by a zero byte
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
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


def write(path: Path, members: Sequence[Member], forget: Callable[[], object]) -> None:
    """Write an index.

    Args:
        path: path of the index. If it holds these members already, nothing is written.
        members: the images.
        forget: called before it is written; removes what was made from another index.
    """
    pieces = _encoded(members)
    if not _holds(path, pieces):
        forget()
        with runtime.atomic_write(path) as file:
            for piece in pieces:
                file.write(piece)


def _holds(path: Path, pieces: Sequence[bytes]) -> bool:
    if not path.exists() or path.stat().st_size != sum(map(len, pieces)):
        return False
    with path.open("rb") as file:
        return all(file.read(len(piece)) == piece for piece in pieces)


def _encoded(members: Sequence[Member]) -> tuple[bytes, bytes]:
    texts = [_encode(member) for member in members]
    rows = np.empty(len(members), _ROW)
    if members:
        _, *numbers = zip(*(member.entry for member in members), strict=True)
        for field, values in zip(_NUMBERS, numbers, strict=True):
            rows[field] = values
        rows["end"] = np.cumsum([len(text) for text in texts])
    file = io.BytesIO()
    np.save(file, rows)
    return file.getvalue(), b"".join(texts)


def _encode(member: Member) -> bytes:
    texts = (member.name, member.class_name, member.group)
    return "".join([text.replace("\0", "\ufffd") + "\0" for text in texts]).encode("utf-8", "backslashreplace")


def read(path: Path, start: int, stop: int, prefix: str) -> list[Member]:
    """The members with the positions `start` to `stop` - 1, at least one.

    Args:
        path: path of the index.
        start: first position.
        stop: position after the last.
        prefix: of the archive; it is not in the names of the entries.
    """
    rows = np.load(path, mmap_mode="r")
    begin = int(rows["end"][start - 1]) if start else 0
    part = rows[start:stop]
    with path.open("rb") as file:
        file.seek(rows.offset + rows.nbytes + begin)
        texts = file.read(int(part["end"][-1]) - begin).decode().split("\0")
    members = []
    for number, (offset, size, packed, crc, method, _) in enumerate(part.tolist()):
        name, class_name, group = texts[_TEXTS * number : _TEXTS * (number + 1)]
        members.append(
            Member(Entry(name.removeprefix(prefix), offset, size, packed, crc, method), name, class_name, group)
        )
    return members
