"""Provide one archive: verify the existing file, or download it (a broken download is resumed) and verify it.

A download is written to `<file>.part` and renamed when its length and checksum are right. Then `<file>.verified`
records size, modification time and checksum, so that a file of 24 GB is hashed only once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from colorize import runtime
from colorize.archives import buckets, disk, urls
from colorize.runtime import DataError

if TYPE_CHECKING:
    from requests import Response

ATTEMPTS = 6  # consecutive attempts without a new byte, after which the download fails
BACKOFF_S = 1.0  # pause before the second attempt; doubles with each attempt
TIMEOUT_S = (30, 60)  # limits for connecting and for the time between two reads
CHUNK = 1 << 20  # bytes hashed at once
PIECE = 1 << 16  # bytes received at once; a broken connection loses at most one piece

_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)


class Wanted(NamedTuple):
    """One file to provide, with its URL and checksum."""

    path: Path
    url: str
    size: int | None  # bytes; None if unknown
    algorithm: str  # md5 or sha256
    digest: str  # hex

    @property
    def shown(self) -> str:
        """The URL for messages, without a query, which can hold a token."""
        return runtime.without_secrets(self.url)

    @property
    def part(self) -> Path:
        """Path of the unfinished download."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def marker(self) -> Path:
        """Path of the record of the verification."""
        return self.path.with_name(self.path.name + ".verified")


def ensure(path: Path, url: str, size: int | None, algorithm: str, digest: str) -> Path:
    """Verify a file, or download it if it does not exist.

    An existing file is verified once. If its *length* differs from the published one, the file is accepted as the
    user's own selection of the data set, and sharding prints a warning. If only the checksum differs, the file is
    refused as damaged.

    Args:
        path: path of the file.
        url: address to download it from; an object in a bucket needs the extra `buckets`.
        size: its length in bytes; None if unknown.
        algorithm: `md5` or `sha256`.
        digest: its expected checksum, hex.

    Returns:
        The path.

    Raises:
        DataError: the server refuses, `ATTEMPTS` consecutive attempts fail, the disk is full, or the length or the
            checksum does not match.
    """
    wanted = Wanted(path, url, size, algorithm, digest)
    if path.is_file():
        _verify_found(wanted)
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk.locked(path):
            if not path.is_file():  # another process may have downloaded it meanwhile
                _download(wanted)
    except OSError as error:
        raise disk.explained(path, error) from error
    return path


def _verify_found(wanted: Wanted) -> None:
    if wanted.size is not None and wanted.path.stat().st_size != wanted.size:
        return
    if _read_marker(wanted) == _fingerprint(wanted):
        return
    found = _hash(wanted.path, wanted.algorithm)
    if found != wanted.digest:
        raise DataError(
            f"{wanted.path}: {wanted.algorithm} is {found}, expected {wanted.digest}; delete the file to download it "
            "again"
        )
    with contextlib.suppress(OSError):  # in a read-only folder, the file is hashed every time
        runtime.write_json(wanted.marker, _fingerprint(wanted))


def _fingerprint(wanted: Wanted) -> dict:
    status = wanted.path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, wanted.algorithm: wanted.digest}


def _read_marker(wanted: Wanted) -> object:
    try:
        return json.loads(wanted.marker.read_text())
    except (OSError, ValueError):
        return None


def _hash(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size = path.stat().st_size
    with path.open("rb") as file, runtime.progress(f"verify {path.name}", -(-size // CHUNK), "MiB") as advance:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            advance(1)
    return digest.hexdigest()


def _download(wanted: Wanted) -> None:
    """Download into the part file, verify it and rename it."""
    if urls.is_bucket(wanted.url):
        _fetch_object(wanted)
    else:
        _fetch(wanted)
    found = _hash(wanted.part, wanted.algorithm)
    if found != wanted.digest:
        buckets.discard(wanted.part)  # it is unknown which bytes are wrong, so resuming would always fail
        raise DataError(
            f"{wanted.shown}: {wanted.algorithm} is {found}, expected {wanted.digest}; the download was deleted; try "
            "again, or correct the source file if the publisher has changed the archive"
        )
    buckets.publish(wanted.part, wanted.path)
    runtime.write_json(wanted.marker, _fingerprint(wanted))


def _fetch_object(wanted: Wanted) -> None:
    """Complete the part file with the bytes of an object in a bucket."""
    (found,) = buckets.list_objects(wanted.url)
    _check_total(wanted, found.size)
    buckets.receive(found, wanted.part)


def _fetch(wanted: Wanted) -> None:
    """Append to the part file until it is complete; connect again after a broken connection."""
    import requests

    failures = 0
    while True:
        have = _part_size(wanted)
        try:
            with requests.get(wanted.url, headers=_headers(have), stream=True, timeout=TIMEOUT_S) as response:
                if _receive(wanted, response, have):
                    return
            reason = "connection cut"
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
            raise DataError(
                f"{wanted.shown}: leads to an address that is not http or https "
                f"({runtime.without_secrets(str(error))}); check the address in the "
                f"source file, or put the file at {wanted.path} by hand"
            ) from error
        except requests.exceptions.RequestException as error:
            reason = type(error).__name__
        failures = 0 if _part_size(wanted) > have else failures + 1
        if failures >= ATTEMPTS:
            raise DataError(
                f"{wanted.shown}: {reason} after {_part_size(wanted):,} bytes, {ATTEMPTS} attempts failed; run again "
                f"to resume, or put the file at {wanted.path} by hand"
            )
        if failures:
            time.sleep(BACKOFF_S * 2 ** (failures - 1))


def _part_size(wanted: Wanted) -> int:
    return wanted.part.stat().st_size if wanted.part.exists() else 0


def _headers(have: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}  # no compression: lengths are those of the file
    if have:
        headers["Range"] = f"bytes={have}-"
    return headers


def _receive(wanted: Wanted, response: Response, have: int) -> bool:
    """Process one response; return whether the part file is complete."""
    if response.status_code == 416:  # no bytes after `have`: the part file is complete, or wrong
        if have == wanted.size or (wanted.size is None and _total(response, 0) == have):
            return True
        wanted.part.unlink(missing_ok=True)
        return False
    if response.status_code in _RETRIED_STATUS:
        return False
    if response.status_code not in (200, 206):
        raise DataError(
            f"{wanted.shown}: the server answers {response.status_code} {response.reason}; check the address in the "
            f"source file, or put the file at {wanted.path} by hand"
        )
    if response.status_code == 200:
        have = 0  # the server ignores ranges, so start again
    elif _range_start(response) != have:
        wanted.part.unlink(missing_ok=True)
        return False
    total = _total(response, have)
    _check_total(wanted, total)
    return _append(wanted, response, have, wanted.size or total)


def _check_total(wanted: Wanted, total: int | None) -> None:
    if wanted.size is not None and total is not None and total != wanted.size:
        wanted.part.unlink(missing_ok=True)
        raise DataError(
            f"{wanted.shown}: the server offers {total:,} bytes, expected {wanted.size:,}; correct `bytes` or `url` in "
            "the source file"
        )


def _append(wanted: Wanted, response: Response, have: int, total: int | None) -> bool:
    """Write the body after the first `have` bytes of the part file; return whether the file is complete."""
    disk.check_space(wanted.path, (total or have) - have)
    todo = (total or have) // CHUNK - have // CHUNK
    with wanted.part.open("r+b" if have else "wb") as file:
        file.seek(have)
        try:
            with runtime.progress(f"download {wanted.path.name}", todo, "MiB") as advance:
                for piece in response.iter_content(PIECE):
                    shown = file.tell() // CHUNK
                    file.write(piece)
                    advance(file.tell() // CHUNK - shown)
        finally:
            file.flush()
            os.fsync(file.fileno())
        size = file.tell()
    if total is not None and size > total:
        wanted.part.unlink()
        raise DataError(
            f"{wanted.shown}: the server sent {size:,} bytes, expected {total:,}; the download was deleted; try again"
        )
    return total is None or size == total


def _range_start(response: Response) -> int | None:
    """First byte in a Content-Range header "bytes 100-199/200"."""
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else None


def _total(response: Response, have: int) -> int | None:
    """Length of the whole file in bytes, as the server reports it; None if it does not."""
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    if total.isdigit():
        return int(total)
    length = response.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() and response.status_code != 416 else None
