"""A file is hashed once, and again as soon as anything about it has changed."""

import mmap
import os

import pytest

from colorize import runtime
from colorize.data import verified
from colorize.runtime import DataError

CONTENT = bytes(range(256)) * 64


@pytest.fixture
def shard(tmp_path, monkeypatch):
    """A file whose last change counts as long ago, in a project of its own."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(verified, "_SETTLED_S", -10.0)
    path = tmp_path / "000000.tar"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def hashed(monkeypatch) -> list:
    """Paths in the order in which they were hashed."""
    paths = []
    plain = runtime.sha256_of
    monkeypatch.setattr(runtime, "sha256_of", lambda path: paths.append(path) or plain(path))
    return paths


@pytest.fixture
def check(shard):
    """`check()`: the file against the digest that it had at first."""
    digest = runtime.sha256_of(shard)
    return lambda: verified.check([shard], [digest], "restore it")


def test_a_file_that_stays_is_hashed_once(shard, check, hashed):
    for _ in range(3):
        check()
    assert hashed == [shard]


def flip_in_place(path) -> None:
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"!")


def flip_and_restore_the_time(path) -> None:
    before = path.stat()
    flip_in_place(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip_through_a_mapping(path) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        data[1000] ^= 1


def replace_with_as_many_bytes(path) -> None:
    other = path.with_name("other")
    other.write_bytes(CONTENT[::-1])
    other.replace(path)


@pytest.mark.parametrize(
    "damage", [flip_in_place, flip_and_restore_the_time, flip_through_a_mapping, replace_with_as_many_bytes]
)
def test_a_change_after_the_verification_is_noticed(shard, check, damage):
    check()
    damage(shard)
    with pytest.raises(
        DataError, match=r"000000\.tar: damaged: its SHA-256 differs from the one in the manifest; restore it"
    ):
        check()


def test_a_damaged_file_is_not_remembered(shard, check):
    flip_in_place(shard)
    for _ in range(2):
        with pytest.raises(DataError):
            check()


def test_another_digest_is_another_verification(shard, check):
    check()
    with pytest.raises(DataError):
        verified.check([shard], ["0" * 64], "restore it")


def test_a_file_changed_just_now_is_hashed_again(check, hashed, monkeypatch):
    """Two changes within a tick of the file system's clock have the same times."""
    monkeypatch.setattr(verified, "_SETTLED_S", 2.0)
    check()
    check()
    assert len(hashed) == 2


def test_without_the_memory_files_are_hashed_again(shard, check, hashed, tmp_path):
    check()
    for marker in (tmp_path / ".state" / "verified").iterdir():
        marker.unlink()
    check()
    assert len(hashed) == 2


def test_where_nothing_can_be_remembered_every_run_hashes(check, hashed, tmp_path):
    (tmp_path / ".state").write_text("a file where the folder should be")
    check()
    check()
    assert len(hashed) == 2
