"""The tables in benchmarks/README.md: they come from figures.csv, whose figures are complete and honest."""

import json
import re
import subprocess
from datetime import date

import pytest

from benchmarks import figures, harness
from benchmarks.harness import Row

FIGURES = figures.read()
ROWS = [Row("ours, fast", 200.0, None, 0.5), Row("ours, slow", 100.0, (2.0, 1.9, 2.1), 0.25)]
ROWS += [Row("peer", 50.0, (4.0, 3.5, 120.4), 0.1), Row("gone", None, None, None, "why")]
ROWS += [Row("memcpy (limit)", 400.0, (0.5, 0.4, 0.6), 1.0)]


def test_the_tables_in_the_readme_are_those_of_the_figures(repo):
    readme = (repo / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert figures.render(readme, FIGURES) == readme, "run `python -m benchmarks.figures`"


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: f"{figure['machine']}, {figure['question']}")
def test_figures_are_well_formed(figure):
    assert tuple(figure) == figures.COLUMNS
    assert 0 < float(figure["ratio_low"]) <= float(figure["ratio"]) <= float(figure["ratio_high"])
    assert float(figure["ours"]) > 0
    assert float(figure["peer_rate"]) > 0
    assert bool(figure["share_of_limit"]) == bool(figure["limit"])
    assert date.fromisoformat(figure["date"]) >= date(2026, 11, 1)
    assert {figure["in_history"], figure["clean_tree"]} <= {"yes", "no", "unknown"}
    assert re.fullmatch("[0-9a-f]{12}|unknown", figure["commit"])
    assert all(figure[name] for name in ("question", "unit", "peer", "machine", "date_source", "versions"))


def test_figures_say_whether_their_commit_is_in_the_history(repo):
    found = subprocess.run(
        ["git", "-C", str(repo), "rev-parse", "--is-shallow-repository"], capture_output=True, text=True, check=False
    )
    if found.stdout.strip() != "false":
        pytest.skip("this copy has no complete history")
    for commit, marked in {(figure["commit"], figure["in_history"]) for figure in FIGURES}:
        assert marked == ("yes" if figures.in_history(commit) else "no"), commit


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a figures.csv without figures, and a README.md without tables; records are written here."""
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    monkeypatch.setattr(harness, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(harness, "machine", lambda: {"cpu": "C", "cores": 2, "flags": ["f"], "gpu": None, "load": 0.0})
    (tmp_path / "figures.csv").write_text(",".join(figures.COLUMNS) + "\n")
    (tmp_path / "README.md").write_text("a\n<!-- figures: C (f), 2 cores -->\nold\n<!-- end of figures -->\nb\n")
    return tmp_path


def run(monkeypatch, *arguments) -> None:
    monkeypatch.setattr("sys.argv", ["figures", *map(str, arguments)])
    figures.main()


def test_a_record_becomes_the_lines_of_its_peers(folder, monkeypatch):
    harness.report("loading", "Loading", ROWS, "img/s", place="host", images=7000, small=True)
    run(monkeypatch, "--add", *(folder / "records").iterdir())
    (figure,) = figures.read()
    assert (figure["peer"], figure["ours"], figure["peer_rate"], figure["load"]) == ("peer", "200", "50", "0.0")
    table = """\
**Loading** (host, images 7,000)

| peer | our rate | peer's rate | ratio (range) | share of limit |
| :--- | ---: | ---: | ---: | ---: |
| peer | 200 img/s | 50 img/s | 4.0 (3.5 to 120) | 50% of memcpy |
"""
    marked = f"a\n<!-- figures: C (f), 2 cores -->\n{table}<!-- end of figures -->\nb\n"
    assert (folder / "README.md").read_text() == marked


def test_a_new_record_replaces_the_figures_of_the_same_measurement_and_no_other(folder, monkeypatch):
    for batch, rate in ((4, 50.0), (8, 60.0), (4, 70.0)):
        harness.report("loss", "Loss", [ROWS[0], ROWS[2]._replace(rate=rate)], "img/s", batch=batch)
    for path in sorted((folder / "records").iterdir()):
        run(monkeypatch, "--add", path)
    assert [(row["conditions"], row["peer_rate"]) for row in figures.read()] == [("batch 4", "70"), ("batch 8", "60")]
    assert "| peer, batch 8 | 200 img/s | 60 img/s |" in (folder / "README.md").read_text()


def test_check_changes_nothing_and_fails_where_the_readme_differs(folder, monkeypatch):
    before = (folder / "README.md").read_text()
    with pytest.raises(SystemExit, match=r"differs from figures\.csv; run"):
        run(monkeypatch, "--check")
    assert (folder / "README.md").read_text() == before
    run(monkeypatch)
    run(monkeypatch, "--check")


def test_a_machine_without_marks_is_an_error_that_names_them(folder, monkeypatch):
    (folder / "README.md").write_text("nothing")
    harness.report("loss", "Loss", ROWS, "img/s")
    with pytest.raises(SystemExit, match=r"<!-- figures: C \(f\), 2 cores -->"):
        run(monkeypatch, "--add", *(folder / "records").iterdir())


def test_a_file_that_is_no_record_is_an_error(folder, monkeypatch):
    for content in ({}, {"rows": []}, [{"rows": []}]):
        (folder / "other.json").write_text(json.dumps(content))
        with pytest.raises(SystemExit, match="error: --add needs records"):
            run(monkeypatch, "--add", folder / "other.json")


def test_conditions_read_the_same_in_any_order():
    conditions = {"width": 0.25, "model": "cnn", "images": 7000, "small": True, "precision": "bf16", "device": "cpu"}
    expected = "cnn, bf16, images 7,000, width 0.25"
    assert figures.conditions_text(conditions) == expected
    assert figures.conditions_text(dict(reversed(conditions.items()))) == expected
