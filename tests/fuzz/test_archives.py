"""Damaged archives: refused, or read exactly as Python's own modules read them; never a crash, a hang or a silent loss.

The content of a tar has no checksum, so damage there is for the image policy; everything else must be noticed.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorize.archives import containers
from colorize.runtime import DataError
from tests.fuzz import compare_archives, explained
from tests.fuzz.compare_archives import TARS, ZIPS, content_of, mended, scan_and_read


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    """Where every example writes its archive."""
    return tmp_path_factory.mktemp("fuzz") / "archive"


@pytest.mark.parametrize("format", TARS)
@given(data=st.data(), is_mended=st.booleans())
def test_a_damaged_tar_is_refused_or_read_as_tarfile_reads_it(path, mutated, format, data, is_mended):
    damaged = data.draw(mutated(TARS[format]))
    path.write_bytes(mended(damaged) if is_mended else damaged)
    seen = compare_archives.look(path)
    assert seen is None or not compare_archives.unexplained(seen)


@pytest.mark.parametrize("compression", ZIPS)
@given(data=st.data())
def test_a_damaged_zip_is_refused_or_read_as_zipfile_reads_it(path, mutated, compression, data):
    path.write_bytes(data.draw(mutated(ZIPS[compression])))
    seen = compare_archives.look(path)
    assert seen is None or not compare_archives.unexplained(seen)


@pytest.mark.parametrize("kind", [*TARS, *ZIPS])
@given(data=st.data())
def test_an_archive_that_changes_after_it_was_listed_gives_right_bytes_or_an_error(path, mutated, kind, data):
    whole = (TARS | ZIPS)[kind]
    path.write_bytes(whole)
    entries = containers.scan(path).entries
    path.write_bytes(data.draw(mutated(whole)))
    for entry in entries:
        try:
            with containers.Reader(path) as reader:
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


@pytest.mark.parametrize("name", compare_archives.REASONS)
def test_every_reason_to_differ_from_pythons_modules_has_an_example(path, name):
    reason = compare_archives.REASONS[name]
    path.write_bytes(reason.example())
    seen = compare_archives.look(path)
    found = compare_archives.differences(seen)
    assert reason.kind in [difference.kind for difference in found]
    reasons = compare_archives.REASONS
    assert all(explained.reasons_for(difference, seen, reasons) == [name] for difference in found)
