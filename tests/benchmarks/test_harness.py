"""The harness: interleaved rounds, ratios within a round, complete records."""

import json
import subprocess
import time
from datetime import datetime

import pytest

from benchmarks import harness
from benchmarks.harness import Row


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch):
    monkeypatch.setattr(harness, "_TURN_S", 1e-9)
    monkeypatch.setattr(harness, "_PAUSE_S", 0.0)


def paced(rates: list[float], monkeypatch) -> list[Row]:
    """Rows of "ours", at 8 items per second, and of a peer whose turns have these rates."""
    turns = {"ours": iter([1.0] + [8.0] * len(rates)), "peer": iter([1000.0, *rates])}
    works = {name: (lambda name=name: name) for name in turns}
    monkeypatch.setattr(harness, "_rate", lambda work, device: next(turns[work()]))
    return harness.compare(works, "ours", "peer", rounds=len(rates))


def test_rates_and_ratios_are_medians_and_the_first_turn_does_not_count(monkeypatch):
    ours, peer = paced([2.0, 16.0, 4.0, 4.0, 1.0], monkeypatch)
    assert (ours.rate, peer.rate) == (8.0, 4.0)
    assert ours.ratio is None
    assert peer.ratio == (2.0, 0.5, 8.0)
    assert (ours.share, peer.share) == (2.0, 1.0)


def test_every_contender_has_one_turn_per_round():
    calls = []
    works = {name: (lambda name=name: calls.append(name) or 1) for name in "abc"}
    harness.compare(works, "a", rounds=3)
    assert all(sorted(calls[start : start + 3]) == list("abc") for start in range(0, 12, 3))
    assert len(calls) == 12


def test_a_rate_is_items_per_second():
    row, _ = harness.compare({"ours": lambda: time.sleep(0.02) or 10, "other": lambda: 1}, "ours", rounds=1)
    assert 10 / 0.06 < row.rate <= 10 / 0.02


def test_a_peer_that_is_not_installed_is_named_with_the_reason():
    peer = harness.counted(harness.importable("no_such_package", lambda: pytest.fail("was set up")), 1)
    rows = harness.compare({"ours": lambda: 1, "peer": peer}, "ours", rounds=1)
    assert rows[1].rate is None
    assert rows[1].note == "not installed (No module named 'no_such_package')"


def test_a_record_holds_all_that_a_figure_depends_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness, "RECORDS", tmp_path / "records")
    rows = [Row("ours", 12345.6, None, 0.5), Row("peer", 10.0, (3.0, 2.5, 4.0), 0.1), Row("gone", *[None] * 3, "why")]
    rows.append(Row("memcpy (limit)", 24691.2, (0.5, 0.5, 0.5), 1.0))
    harness.report("loading", "shuffled batches", rows, "img/s", images=7000)
    harness.report("loading", "again", rows, "img/s", "the sky", {"height": 3})
    first, again = (json.loads(path.read_text()) for path in sorted((tmp_path / "records").iterdir()))
    assert (first["question"], first["conditions"], first["limit"]) == ("shuffled batches", {"images": 7000}, "memcpy")
    assert (again["question"], again["limit"], again["details"]) == ("again", "the sky", {"height": 3})
    assert first["rows"][1] == {"name": "peer", "rate": 10.0, "ratio": [3.0, 2.5, 4.0], "share": 0.1, "note": ""}
    assert {"cpu", "cores", "flags", "gpu", "load"} <= set(first["machine"])
    assert {"python", "torch", "numpy"} <= set(first["versions"])
    assert {"commit", "clean_tree", "unit"} <= set(first)
    assert abs(time.time() - datetime.fromisoformat(first["date"]).timestamp()) < 60
    printed = capsys.readouterr().out
    for text in ("shuffled batches, images 7,000", "12,300", "50%", "2.5 to 4", "why", "records/loading-"):
        assert text in printed


@pytest.fixture
def repository(tmp_path):
    """A git repository with one commit."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message=m"]):
        subprocess.run([*git, *arguments], check=True)
    return tmp_path


def test_the_version_of_the_code_is_the_commit_and_whether_files_differ_from_it(repository, monkeypatch):
    monkeypatch.setattr(harness, "_REPO", repository)
    commit, is_clean = harness.code_version()
    assert (len(commit), is_clean) == (12, True)
    (repository / "new.py").touch()
    assert harness.code_version() == (commit, False)


def test_a_copy_without_git_gets_its_version_from_the_environment_only(repository, monkeypatch):
    copy = repository / "copy"
    copy.mkdir()
    monkeypatch.setattr(harness, "_REPO", copy)
    monkeypatch.delenv("BENCHMARK_COMMIT", raising=False)
    assert harness.code_version() == (None, None)  # and not that of the repository around it
    for named, expected in (("abc", ("abc", True)), ("abc+", ("abc", False))):
        monkeypatch.setenv("BENCHMARK_COMMIT", named)
        assert harness.code_version() == expected


@pytest.mark.parametrize("options", [["--rounds", "4"], ["--rounds", "many"]])
def test_fewer_than_five_rounds_are_no_result(monkeypatch, options):
    monkeypatch.setattr("sys.argv", ["targets", *options])
    with pytest.raises(SystemExit) as caught:
        harness.arguments("What it measures.")
    assert caught.value.code == 2
