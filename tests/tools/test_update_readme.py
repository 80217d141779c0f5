"""The table in README.md: some rows of results/table1.csv, with the marks of Table 1."""

import pytest

from tools import update_readme

TABLE1 = """\
source,target,model,metric,value,sd,paper,difference,mark
objects,objects,gray,l2,0.5,,,,
objects,objects,mean_ab,l2,0.25,,,,
objects,objects,prior,l2,0.5,,,,
objects,objects,prior,accuracy,0.125,,,,
objects,objects,lightness,l2,0.375,,,,
objects,objects,cnn,l2,0.25,0.01,,,best
objects,objects,cnn,accuracy,0.0625,0.02,,,worse
objects,objects,oracle,l2,0.001,,,,
objects,scenes,cnn,l2,0.75,0.01,,,best
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A README without a table, and results."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/table1.csv").write_text(TABLE1)
    (tmp_path / "README.md").write_text(f"before\n{update_readme.START}old\n{update_readme.END}after\n")
    return tmp_path


def test_the_table_has_the_marks_of_table_1_and_leaves_out_some_baselines(folder):
    update_readme.main()
    lines = (folder / "README.md").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert [line for line in lines if line.startswith("|")][2:] == [
        "| Gray | 0.5000 | - | - |",
        "| Constant Prior | 0.5000 | - | 0.1250 |",
        r"| p(ab \| L) | 0.3750 | - | - |",
        "| CNN | **0.2500 ± 0.0100** | - | 0.0625 ± 0.0200\N{DAGGER} |",
    ]


def test_check_refuses_another_table(folder):
    with pytest.raises(SystemExit, match=r"differs from results/"):
        update_readme.main("--check")
    update_readme.main()
    update_readme.main("--check")
