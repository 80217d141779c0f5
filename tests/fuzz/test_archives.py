"""Damaged archives: refused, or read exactly as Python's own modules read them; never a crash, a hang or a silent loss.

The content of a tar has no checksum, so damage there is for the image policy; everything else must be noticed.
"""

import contextlib
import io
import stat
import tarfile
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorize.raw import archives, tar
from colorize.runtime import DataError

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


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    """Where every example writes its archive."""
    return tmp_path_factory.mktemp("fuzz") / "archive"


def mended(data: bytes) -> bytes:
    """A tar with right checksums again, so that the damage reaches the fields behind them."""
    blocks = bytearray(data)
    for start in range(0, len(blocks) - tar.BLOCK + 1, tar.BLOCK):
        header = blocks[start : start + tar.BLOCK]
        if header[257:262] == b"ustar":
            header[148:156] = b" " * 8
            blocks[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    return bytes(blocks)


def scan_and_read(path) -> tuple[archives.Listing, dict[str, bytes]] | None:
    """What our reader makes of an archive; None where it refuses, in one line."""
    started = time.monotonic()
    try:
        listing = archives.scan(path)
        with archives.Reader(path) as reader:
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


@pytest.mark.parametrize("format", TARS)
@given(data=st.data(), is_mended=st.booleans())
def test_a_damaged_tar_is_refused_or_read_as_tarfile_reads_it(path, mutated, format, data, is_mended):
    damaged = data.draw(mutated(TARS[format]))
    path.write_bytes(mended(damaged) if is_mended else damaged)
    if (read := scan_and_read(path)) is None:
        return
    listing, contents = read
    ours, theirs = {entry.offset: entry for entry in listing.entries}, tarfiles_view(path)
    for offset in ours.keys() & theirs.keys():
        name, content = theirs[offset]
        assert contents[ours[offset].name] == content
        assert is_mended or ours[offset].name == name  # tarfile takes the times in a GNU header for part of the name
    assert len(theirs.keys() - ours.keys()) <= sum(listing.skipped.values())


@pytest.mark.parametrize("compression", ZIPS)
@given(data=st.data())
def test_a_damaged_zip_is_refused_or_read_as_zipfile_reads_it(path, mutated, compression, data):
    path.write_bytes(data.draw(mutated(ZIPS[compression])))
    if (read := scan_and_read(path)) is None:
        return
    listing, contents = read
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        assert len(infos) == len(listing.entries) + sum(listing.skipped.values())
        for name, content in contents.items():
            info = archive.getinfo(name)
            assert (len(content), zipfile.crc32(content)) == (info.file_size, info.CRC)
            assert not stat.S_ISLNK(info.external_attr >> 16)
            # zipfile also reads the names in the local headers, which we do not use, and may stumble over them
            with contextlib.suppress(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError):
                assert archive.read(info) == content


@pytest.mark.parametrize("kind", [*TARS, *ZIPS])
@given(data=st.data())
def test_an_archive_that_changes_after_it_was_listed_gives_right_bytes_or_an_error(path, mutated, kind, data):
    whole = (TARS | ZIPS)[kind]
    path.write_bytes(whole)
    entries = archives.scan(path).entries
    path.write_bytes(data.draw(mutated(whole)))
    for entry in entries:
        try:
            with archives.Reader(path) as reader:
                content = bytes(reader.read(entry))
        except DataError as error:
            assert "\n" not in str(error)
            continue
        assert len(content) == entry.size
        assert kind in TARS or content == content_of(entry.name)


@given(data=st.data())
def test_whatever_the_bytes_are_an_archive_is_listed_or_refused(path, data):
    path.write_bytes(data.draw(st.binary(max_size=2000)))
    scan_and_read(path)


def test_the_mutations_reach_both_ends(path, mutated):
    """A fuzzer that only ever meets refusals, or none, tests nothing."""
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(TARS["gnu"])
        damaged[rng.integers(len(damaged))] ^= 1
        path.write_bytes(damaged)
        outcomes.add(scan_and_read(path) is None)
    assert outcomes == {True, False}
