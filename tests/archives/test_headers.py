"""Headers of tars that take long, or that a naive reader takes for numbers."""

import tarfile
import time

import pytest

from colorize.archives import containers
from colorize.runtime import DataError


def header(kind: bytes, size: int = 0, name: str = "a.jpg") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.USTAR_FORMAT)


def pax(kind: bytes, body: bytes) -> bytes:
    return header(kind, len(body)) + body + bytes(-len(body) % 512)


def test_a_pax_header_of_many_records_takes_linear_time(tmp_path):
    """Copying the rest after each record would move 100 GB."""
    (tmp_path / "a.tar").write_bytes(pax(b"x", b"5 a=\n" * 200_000) + header(b"0") + bytes(1024))
    begun = time.process_time()
    assert [entry.name for entry in containers.scan(tmp_path / "a.tar").entries] == ["a.jpg"]
    assert time.process_time() - begun < 5


def test_many_global_keys_cost_no_time_for_each_member(tmp_path):
    """20,000 links times 20,000 keys would be 400 million copies."""
    keys = b"".join(b"24 GNU.sparse.%06d=1\n" % n for n in range(20_000)).replace(b"24 ", b"23 ")
    (tmp_path / "a.tar").write_bytes(pax(b"g", keys) + header(b"2") * 20_000 + bytes(1024))
    begun = time.process_time()
    assert containers.scan(tmp_path / "a.tar").skipped == {"symbolic link": 20_000}
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "record", [b"9" * 5000, b"+9 a=b\n\0\0", b"1_0 a=bcd\n", "²".encode() + b" a=\n", b"0 a=\n", b"3 =\n", b"99 a=\n"]
)
def test_a_pax_record_without_a_plain_length_is_refused(tmp_path, record):
    (tmp_path / "a.tar").write_bytes(pax(b"x", record) + header(b"0") + bytes(1024))
    with pytest.raises(DataError, match="unreadable pax header"):
        containers.scan(tmp_path / "a.tar")


@pytest.mark.parametrize("size", ["²".encode(), b"1" * 5000, b"-1", b"1_0"])
def test_a_pax_size_that_is_no_number_is_refused(tmp_path, size):
    length = len(size) + len(" size=\n")
    total = length + len(str(length + len(str(length))))
    (tmp_path / "a.tar").write_bytes(pax(b"x", b"%d size=%s\n" % (total, size)) + header(b"0") + bytes(1024))
    with pytest.raises(DataError, match="unreadable pax size"):
        containers.scan(tmp_path / "a.tar")
