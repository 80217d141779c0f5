"""Our walk through tars and zips beside Python's own modules, and why the two may differ."""

import contextlib
import io
import stat
import tarfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

from colorize.archives import containers, tar
from colorize.runtime import DataError
from tests.fuzz import explained
from tests.fuzz.compare import Difference
from tests.fuzz.explained import Reason

NAMES = ["a/1.jpg", "a/2.jpg", "folder/" + "x" * 95 + ".jpg", "päivää/🙂.jpg", "two\nlines.jpg", "c/empty.jpg"]
LIMIT_S = 5.0  # of a single example; they take milliseconds


def content_of(name: str) -> bytes:
    """Bytes that differ from member to member, also in length."""
    return b"" if "empty" in name else name.encode() * (1 + len(name) % 7)


def a_tar(format: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for name in NAMES if format != tarfile.USTAR_FORMAT else NAMES[:3]:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content_of(name)), 1.5
            archive.addfile(info, io.BytesIO(content_of(name)))
        for kind in (tarfile.SYMTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f"special{kind.decode()}")
            info.type = kind
            archive.addfile(info)
    return file.getvalue()


def a_zip(compression: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name in NAMES:
            archive.writestr(zipfile.ZipInfo(name), content_of(name), compression)
    return file.getvalue()


TARS = {"ustar": a_tar(tarfile.USTAR_FORMAT), "gnu": a_tar(tarfile.GNU_FORMAT), "pax": a_tar(tarfile.PAX_FORMAT)}
ZIPS = {"stored": a_zip(zipfile.ZIP_STORED), "deflated": a_zip(zipfile.ZIP_DEFLATED)}


def mended(data: bytes) -> bytes:
    """A tar with right checksums again, so that the damage reaches the fields behind them."""
    blocks = bytearray(data)
    for start in range(0, len(blocks) - tar.BLOCK + 1, tar.BLOCK):
        header = blocks[start : start + tar.BLOCK]
        if header[257:262] == b"ustar":
            header[148:156] = b" " * 8
            blocks[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    return bytes(blocks)


def scan_and_read(path) -> tuple[containers.Listing, dict[str, bytes]] | None:
    """What our reader makes of an archive; None where it refuses, in one line."""
    started = time.monotonic()
    try:
        listing = containers.scan(path)
        with containers.Reader(path) as reader:
            contents = {entry.name: bytes(reader.read(entry)) for entry in listing.entries}
    except DataError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return None
    finally:
        assert time.monotonic() - started < LIMIT_S
    assert [entry.name for entry in listing.entries] == sorted(contents)
    return listing, contents


def label(name: str) -> str:
    """tarfile's name as ours: what is not UTF-8 is spelt out."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def tarfiles_view(path) -> dict[int, tuple[str, bytes]]:
    """Offset, name and bytes of regular members, as far as Python's reader gets: at damage it often just ends."""
    found = {}
    with contextlib.suppress(tarfile.TarError, ValueError, OSError, EOFError), tarfile.open(path, "r:") as archive:
        for member in archive:
            is_folder = member.name.endswith("/") and not member.size  # as the oldest tars, and GNU's, mark one
            if member.isreg() and not member.issparse() and not is_folder:
                found[member.offset_data] = label(member.name), archive.extractfile(member).read()
    return found


class Seen(NamedTuple):
    """One archive as both read it."""

    data: bytes
    listing: containers.Listing
    ours: dict[int, tuple[str, bytes]]  # offset of the content (in a zip: of the header), name, content
    theirs: dict[int, tuple[str, bytes | None]]  # None where zipfile cannot read the member


def look(path: Path) -> Seen | None:
    """Read an archive with both; None where we refuse it."""
    if (read := scan_and_read(path)) is None:
        return None
    listing, contents = read
    ours = {entry.offset: (entry.name, contents[entry.name]) for entry in listing.entries}
    view = zipfiles_view if containers.kind_of(path) == "zip" else tarfiles_view
    return Seen(path.read_bytes(), listing, ours, view(path))


def zipfiles_view(path: Path) -> dict[int, tuple[str, bytes | None]]:
    """Offset, name and bytes of the regular members; of one name the last."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for info in {info.filename: info for info in archive.infolist()}.values():
            if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
                continue
            content = None
            with contextlib.suppress(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError):
                content = archive.read(info)
            found[info.header_offset] = info.filename, content
    return found


def differences(seen: Seen) -> list[Difference]:
    """Every member that the two read differently."""
    found = []
    for offset in sorted(seen.ours.keys() & seen.theirs.keys()):
        (name, content), (their_name, their_content) = seen.ours[offset], seen.theirs[offset]
        if name != their_name:
            found.append(Difference("name", f"{name!r} at {offset}, theirs {their_name!r}"))
        if their_content is None:
            found.append(Difference("unreadable", f"{name!r} at {offset}: zipfile cannot read it"))
        elif content != their_content:
            found.append(Difference("content", f"{name!r} at {offset}"))
    if missing := seen.theirs.keys() - seen.ours.keys():
        found.append(Difference("missing", f"members at {sorted(missing)}"))
    if more := seen.ours.keys() - seen.theirs.keys():
        found.append(Difference("more", f"members at {sorted(more)}"))
    return found


def unexplained(seen: Seen) -> list[Difference]:
    """The differences between the readers of an archive that no reason explains."""
    return explained.unexplained(differences(seen), seen, REASONS)


def _is_left_out(seen: Seen) -> bool:
    return len(seen.theirs.keys() - seen.ours.keys()) <= sum(seen.listing.skipped.values())


def _has_gnu_times(seen: Seen) -> bool:
    """GNU tar may keep times in the place where ustar keeps the first half of a name."""
    wrong = [at for at in seen.ours.keys() & seen.theirs.keys() if seen.ours[at][0] != seen.theirs[at][0]]
    headers = [seen.data[at - tar.BLOCK : at] for at in wrong]
    return all(header[345] and header[257:263] != b"ustar\0" for header in headers)


def _has_endless_name(seen: Seen) -> bool:
    """Tarfile reads a long name up to the next zero, even behind its own end."""
    names = [(seen.ours[at][0], seen.theirs[at][0]) for at in seen.ours.keys() & seen.theirs.keys()]
    return all(theirs.startswith(ours) for ours, theirs in names)


def _endless_name() -> bytes:
    at = TARS["gnu"].index(b"x" * 95 + b".jpg\0") + 99
    return TARS["gnu"][:at] + b"more" + TARS["gnu"][at + 4 :]


def _ends_early(seen: Seen) -> bool:
    """Tarfile takes a header that it cannot read for the end, and says nothing."""
    last = max(seen.theirs, default=-1)
    return all(offset > last for offset in seen.ours.keys() - seen.theirs.keys())


def _gnu_times() -> bytes:
    return mended(TARS["gnu"][:345] + b"14000000000\0" + TARS["gnu"][357:])


def _repeated_name() -> bytes:
    return TARS["ustar"][: 2 * tar.BLOCK] + TARS["ustar"]


def _bad_time() -> bytes:
    at = TARS["ustar"].index(b"a/2.jpg")
    return mended(TARS["ustar"][: at + 136] + b"9" * 11 + TARS["ustar"][at + 147 :])


def _local_name() -> bytes:
    at = ZIPS["stored"].index(b"a/2.jpg")
    return ZIPS["stored"][:at] + b"b" + ZIPS["stored"][at + 1 :]


REASONS: dict[str, Reason] = {
    "left out": Reason("missing", "of one name the last member counts", _is_left_out, _repeated_name),
    "times in a GNU header": Reason("name", "tarfile takes them for part of the name", _has_gnu_times, _gnu_times),
    "long name without an end": Reason("name", "tarfile reads on", _has_endless_name, _endless_name),
    "tarfile ends early": Reason("more", "at a field that we do not need", _ends_early, _bad_time),
    "local names": Reason("unreadable", "zipfile compares the name before the content", lambda _: True, _local_name),
}
