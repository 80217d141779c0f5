"""Provide one archive: verify the existing file, or download it (a broken download is resumed) and verify it.

A download is written to `<file>.part` and renamed when its length and checksum are right. Then `<file>.verified`
records size, modification time and checksum, so that a file of 24 GB is hashed only once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from colorize import runtime
from colorize.archives import buckets, disk, urls
from colorize.runtime import DataError

if TYPE_CHECKING:
    from requests import Response

ATTEMPTS = 6  # consecutive attempts with less than a new piece, after which the download fails
STALL_S = 120  # an attempt fails if less than a new piece arrives in this time: at least 546 bytes per second
MAX_WAIT_S = 600  # longest pause that a server may ask for
BACKOFF_S = 1.0  # pause before the second attempt; doubles with each attempt
TIMEOUT_S = (30, 60)  # limits for connecting and for the time between two reads
CHUNK = 1 << 20  # bytes hashed at once
PIECE = 1 << 16  # bytes received at once; a broken connection loses at most one piece

_SILENT_S = 5  # longer pauses are announced
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
    failures = 0
    while True:
        have = _part_size(wanted)
        trouble = _attempt(wanted, have)
        if trouble is None:
            return
        failures = 0 if _part_size(wanted) >= have + PIECE else failures + 1
        if failures >= ATTEMPTS or trouble.wait_s > MAX_WAIT_S:
            wish = f", and asks to wait {trouble.wait_s:,.0f} seconds" if trouble.wait_s else ""
            raise DataError(
                f"{wanted.shown}: {trouble.reason} after {_part_size(wanted):,} bytes{wish}, {failures} attempts "
                f"failed; run again to resume, or put the file at {wanted.path} by hand"
            )
        pause_s = max(trouble.wait_s, BACKOFF_S * 2 ** (failures - 1) if failures else 0)
        if pause_s >= _SILENT_S:
            runtime.note(f"{wanted.shown}: {trouble.reason}; tries again in {pause_s:.0f} seconds")
        time.sleep(pause_s)


class Trouble(NamedTuple):
    """A failed attempt, after which another one may succeed."""

    reason: str
    wait_s: float = 0  # seconds that the server asks to wait


def _attempt(wanted: Wanted, have: int) -> Trouble | None:
    """Connect once, and append to the first `have` bytes of the part file; None if it is complete."""
    import requests
    import urllib3

    try:
        with runtime.stall_limit(STALL_S):  # connecting, redirects and headers
            response = requests.get(wanted.url, headers=_headers(have), stream=True, timeout=TIMEOUT_S)
        with response:
            if response.status_code in _RETRIED_STATUS:
                return Trouble(f"the server answers {response.status_code} {response.reason}", _retry_after(response))
            if _receive(wanted, response, have):
                return None
            encoding = response.headers.get("Content-Encoding")
            return Trouble(f"the server compresses the file with {encoding}" if encoding else "connection cut")
    except DataError:
        raise
    except runtime.Stalled:
        return Trouble(f"the server sends less than {PIECE:,} bytes in {STALL_S:,} seconds")
    except ValueError as error:  # the address of the source file, or one that the server leads to
        reason = runtime.without_secrets(runtime.first_line(error))
        raise DataError(
            f"{wanted.shown}: leads to an address that is not http or https, or not valid ({reason}); check the "
            f"address in the source file, or put the file at {wanted.path} by hand"
        ) from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        return Trouble(type(error).__name__)


def _retry_after(response: Response) -> float:
    """Seconds until the time that the header Retry-After gives, in seconds or as a date; 0 without it."""
    text = response.headers.get("Retry-After", "")
    if (seconds := _whole_number(text)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0


def _whole_number(text: str) -> int | None:
    """The value of a number in a header; None if it is not one, or has more digits than the length of any file."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


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
    limit = shutil.disk_usage(wanted.path.parent).free // 2 if total is None else total  # bytes
    todo = (total or have) // CHUNK - have // CHUNK
    with wanted.part.open("r+b" if have else "wb") as file:
        file.seek(have)
        try:
            name, pieces = f"download {wanted.path.name}", lambda: file.tell() // PIECE
            with runtime.progress(name, todo, "MiB") as advance, runtime.stall_limit(STALL_S, pieces):
                # not decoded: the bytes count, and a small compressed body could fill the disk
                for piece in response.raw.stream(PIECE, decode_content=False):
                    shown = file.tell() // CHUNK
                    file.write(piece)
                    advance(file.tell() // CHUNK - shown)
                    if file.tell() > limit:
                        break
        finally:
            file.flush()
            os.fsync(file.fileno())
        size = file.tell()
    if size > limit:
        wanted.part.unlink()
        what = "the announced length" if total is not None else "half of the free disk space, and announces no length"
        raise DataError(
            f"{wanted.shown}: the server sends more than {limit:,} bytes, {what}; the download was deleted; correct "
            "`bytes` or `url` in the source file"
        )
    return total is None or size == total


def _range_start(response: Response) -> int | None:
    """First byte in a Content-Range header "bytes 100-199/200"."""
    return _whole_number(response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0])


def _total(response: Response, have: int) -> int | None:
    """Length of the whole file in bytes, as the server reports it; None if it does not."""
    if (total := _whole_number(response.headers.get("Content-Range", "").rpartition("/")[2])) is not None:
        return total
    length = _whole_number(response.headers.get("Content-Length", ""))
    return None if length is None or response.status_code == 416 else have + length
