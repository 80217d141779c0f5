"""Reading shards without the page cache."""

import resource

import pytest

from colorize.data.shards import Geometry
from colorize.data.uncached import UncachedReader
from colorize.runtime import DataError


def test_more_shards_than_open_files_are_named_with_the_remedies(tmp_path):
    (tmp_path / "000000.tar").touch()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
    try:
        with pytest.raises(DataError, match=r"300 shards need as many open files.*`ulimit -n`.*COLORIZE_CACHE=host"):
            UncachedReader([tmp_path / "000000.tar"] * 300, [1] * 300, Geometry(16))
        (tmp_path / "000000.tar").open().close()  # the descriptors were closed
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
