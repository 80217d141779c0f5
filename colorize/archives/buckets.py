"""List objects in buckets and on web servers, and copy them to local files.

    objects = list_objects("s3://bucket/photographs/*.tar")
    fetch(objects[0], Path("000000.tar"))

The package obstore (the extra `buckets`) sends the requests. It reads keys and endpoints from the environment variables
that `docs/data.md` lists. All its code runs in a child process, which lives for one call of this module, because its
threads do not survive a fork, and its calls do not end when a signal arrives. What travels between processes is an
`Object`, which contains no secret.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from colorize import runtime
from colorize.archives import disk, stores, urls
from colorize.runtime import DataError

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

REQUESTED = 1 << 26  # bytes requested at once; between two requests, a replaced object is noticed
PIECE = 1 << 16  # bytes written at once; a broken connection loses at most one piece
MIB = 1 << 20  # unit of the progress display


class Object(NamedTuple):
    """One version of an object; everything that another process needs to read it, except keys."""

    url: str  # without query, user name and password
    size: int  # bytes
    etag: str  # identifies the content


def list_objects(url: str) -> list[Object]:
    """List objects, sorted by name.

    Args:
        url: one object; all objects below a folder, which ends with `/`; or a pattern such as `s3://bucket/a/*.tar`,
            in which `*` and `[...]` match within one folder name or file name. A web server cannot list, so
            `https://` and `http://` lead to one object, and the server must send a strong ETag.

    Raises:
        DataError: the address is wrong or holds a secret, there is no such bucket or object, access is denied, the
            network fails, or obstore is not installed.
    """
    try:
        urls.check(url)
    except ValueError as error:
        raise DataError(f"{_shown(url)}: {error}") from None
    stores.obstore(url)  # imported here, not again in each child
    return runtime.call_in_child(_list, url)


def fetch(wanted: Object, path: Path) -> None:
    """Copy an object to a local file; `path` appears only when it is complete.

    Unfinished bytes stay in `<path>.part`, and the next call continues there if the object is still the same. A worker
    process shows no progress, because the process that started it shows its own.

    Args:
        wanted: the object, as `list_objects` returned it.
        path: path of the file, which is replaced if it exists.

    Raises:
        DataError: the object has changed or is gone, access is denied, the network fails, the store sends other bytes
            than it announced, or the disk is full.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk.locked(path):
            receive(wanted, part)
            publish(part, path)
    except OSError as error:
        raise disk.explained(path, error) from error


def receive(wanted: Object, part: Path) -> None:
    """Complete the part file of an object. The caller holds the lock, and then calls `publish` or `discard`.

    Raises:
        DataError: as `fetch`.
        OSError: the disk is full, or a file cannot be written.
    """
    stores.obstore(wanted.url)
    if _read_origin(part) != wanted._asdict() or _size(part) > wanted.size:
        discard(part)  # it belongs to another object, or to another version of this one
        runtime.write_json(_origin(part), wanted._asdict())
    disk.check_space(part, wanted.size - _size(part))
    with _shown_progress(wanted, part) as watch:
        runtime.call_in_child(_receive, wanted, part, watch=watch)


def _shown(url: str) -> str:
    shown = runtime.without_secrets(url)
    return shown if shown.isprintable() else repr(shown)


def publish(part: Path, path: Path) -> None:
    """Rename a complete part file."""
    part.replace(path)
    _origin(part).unlink(missing_ok=True)


def discard(part: Path) -> None:
    """Remove a part file."""
    part.unlink(missing_ok=True)
    _origin(part).unlink(missing_ok=True)


def _origin(part: Path) -> Path:
    """Path of the record that says of which object a part file is."""
    return part.with_name(part.name + ".json")


def _read_origin(part: Path) -> object:
    try:
        return json.loads(_origin(part).read_text())
    except (OSError, ValueError):
        return None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


@contextlib.contextmanager
def _shown_progress(wanted: Object, part: Path) -> Iterator[Callable[[], None]]:
    """Show the growth of a part file; yields the function that looks at its size."""
    if multiprocessing.parent_process() is not None:
        yield lambda: None
        return
    shown = _size(part) // MIB
    name, todo = wanted.url.rpartition("/")[2], wanted.size // MIB - shown
    with runtime.progress(f"download {name}", todo, "MiB") as advance:

        def watch() -> None:
            nonlocal shown
            now = _size(part) // MIB
            if now > shown:
                advance(now - shown)
                shown = now

        yield watch


# --- in the child process --------------------------------------------------------------------------------------------


def _list(url: str) -> list[Object]:
    store, key = stores.connect(url)
    if not urls.names_many(url):
        with stores.explained(url):
            meta = stores.obstore().head(store, key)
        return [Object(url, meta["size"], _etag(url, meta))]
    found = _listed(url, store, key)
    if not found:
        raise DataError(f"{url}: no object has such a name; correct the address")
    root = url.removesuffix(key)
    return sorted(Object(root + meta["path"], meta["size"], _etag(url, meta)) for meta in found)


def _listed(url: str, store: ObjectStore, key: str) -> list[ObjectMeta]:
    """The objects below a folder, or those that match a pattern."""
    folder = re.split(r"[*\[]", key)[0].rpartition("/")[0]
    with stores.explained(url):
        found = [meta for chunk in stores.obstore().list(store, prefix=folder or None) for meta in chunk]
        if key and not key.endswith("/"):
            found = [meta for meta in found if _matches(meta["path"], key)]
        return [meta for meta in found if meta["size"] or not _is_folder(store, meta["path"])]


def _matches(key: str, pattern: str) -> bool:
    names, patterns = key.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatch.fnmatchcase, names, patterns))


def _is_folder(store: ObjectStore, key: str) -> bool:
    """Whether an empty object is the marker of a folder: its name ends with `/`, which the listing drops."""
    try:
        stores.obstore().head(store, key)
    except FileNotFoundError:
        return True
    return False


def _etag(url: str, meta: ObjectMeta) -> str:
    etag = meta["e_tag"]
    if not etag or etag.startswith("W/"):
        raise DataError(
            f"{url}: the server sends no strong ETag, so a change of the file would not be noticed; download the file "
            "yourself, or list it under `archives` with its checksum"
        )
    return etag


def _receive(wanted: Object, part: Path) -> None:
    """Append to the part file until it is complete, and check that the object is still the same."""
    store, key = stores.connect(wanted.url)
    with part.open("ab") as file:
        while (have := file.tell()) < wanted.size:
            _append(wanted, store, key, file)
            if file.tell() == have:  # obstore has tried several times
                raise DataError(f"{wanted.url}: connection cut after {have:,} bytes; run again to resume")
        file.flush()
        os.fsync(file.fileno())
    with stores.explained(wanted.url):
        _check_same(wanted, stores.obstore().head(store, key))


def _append(wanted: Object, store: ObjectStore, key: str, file: BinaryIO) -> None:
    """Request the next bytes, and write those that arrive; a broken connection is no error."""
    start, end = file.tell(), min(file.tell() + REQUESTED, wanted.size)
    with stores.explained(wanted.url):
        result = stores.obstore().get(store, key, options={"if_match": wanted.etag, "range": (start, end)})
        _check_same(wanted, result.meta)
        chunks = iter(result.stream(min_chunk_size=PIECE))
    while chunk := _next(chunks):
        if file.tell() + len(chunk) > end:
            raise DataError(f"{wanted.url}: the store sends other bytes than requested; download the file yourself")
        file.write(chunk)


def _next(chunks: Iterator[Any]) -> Any:
    try:
        return next(chunks, None)
    except stores.obstore().exceptions.BaseError:  # the connection is broken
        return None


def _check_same(wanted: Object, meta: ObjectMeta) -> None:
    if (meta["e_tag"], meta["size"]) != (wanted.etag, wanted.size):
        raise stores.changed(wanted.url)
