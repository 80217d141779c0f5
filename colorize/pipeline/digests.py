"""MD5 hashes of files and folders, as DVC computes them.

A *listing* describes the content of a path: `{relative path: MD5 or size}` for a folder, `{"": MD5 or size}` for a
file. Files larger than `LARGE` are listed by their size in bytes, because hashing them again would take minutes. Other
hashes cover their content: the manifest has the SHA-256 of every shard, the sidecar the SHA-256 of a model's weights.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from colorize import runtime

LARGE = 1 << 22  # bytes

_SETTLED_S = 2.0  # a file that changed more recently may change again within one tick of its timestamps

Listing = dict[str, str | int]
Stamp = tuple[int, int, int, int]  # size in bytes, mtime and ctime in ns, inode number
Memory = dict[Path, tuple[Stamp, str]]  # MD5 of files, valid while their stamps stay the same


def md5(content: bytes) -> str:
    """MD5 in hex, used only to identify content, not for security."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5_of_file(path: Path) -> str:
    """MD5 of a file's content, in hex."""
    with runtime.open_regular(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def md5_of_listing(listing: Listing) -> str | None:
    """The hash that DVC writes to `dvc.lock` for this content; None if the listing has files without an MD5."""
    if any(isinstance(value, int) for value in listing.values()):
        return None
    if "" in listing:
        return str(listing[""])
    entries = [{"md5": listing[name], "relpath": name} for name in sorted(listing)]
    return md5(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def listing_of(path: Path, memory: Memory | None = None) -> Listing:
    """The current listing of a path; empty if the path does not exist.

    Args:
        path: path of a file or folder.
        memory: MD5s of files that were listed before; updated. Such a file is hashed again only if its stamp differs.

    Raises:
        OSError: a file cannot be read.
    """
    return {name_in(path, file): _value(file, {} if memory is None else memory) for file in files_in(path)}


def stamps_of(path: Path) -> dict[str, tuple[int, int, int]]:
    """Size, mtime and inode of the files for which a listing has no MD5; they show whether a file was replaced."""
    large = ((file, file.stat()) for file in files_in(path))
    return {
        name_in(path, file): (status.st_size, status.st_mtime_ns, status.st_ino)
        for file, status in large
        if status.st_size > LARGE
    }


def name_in(path: Path, file: Path) -> str:
    """Name of a file in the listing of a path."""
    return "" if file == path else file.relative_to(path).as_posix()


def files_in(path: Path) -> list[Path]:
    """The files of an out or dependency, sorted, without those that `.dvcignore` excludes."""
    if path.is_file():
        return [path]
    return sorted(_walk(path, _ignored()))


def _walk(folder: Path, ignored: tuple[str, ...]) -> Iterator[Path]:
    for top, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _matches(name, ignored)]
        yield from (Path(top, name) for name in names if not _matches(name, ignored))


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _ignored() -> tuple[str, ...]:
    """Patterns of `.dvcignore` that match file or folder names at any level."""
    try:
        lines = Path(".dvcignore").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    patterns = (line.strip().rstrip("/") for line in lines if not line.startswith("#"))
    return tuple(pattern.removeprefix("\\") for pattern in patterns if pattern and "/" not in pattern)


def _value(file: Path, memory: Memory) -> str | int:
    status = file.stat()
    if status.st_size > LARGE:
        return status.st_size
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    known = memory.get(file)
    if known and known[0] == stamp:
        return known[1]
    md5 = md5_of_file(file)
    if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_S:
        memory[file] = (stamp, md5)
    return md5
