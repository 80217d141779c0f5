"""results/overfitting.csv: the gaps between the losses of validation and training images."""

import csv
import io

import pytest

from colorize.layout import Run
from colorize.report import overfitting
from tests.report.conftest import HISTORY_HEADER

HISTORY = f"""{HISTORY_HEADER}
0,,9.0,0.1,0.02,0.2,,3.0,6.0,0.5,3.5,8.0,2.0
5,2.0,7.0,0.1,0.02,0.2,,2.0,4.0,0.5,3.0,7.0,2.0
9,1.0,7.5,0.1,0.02,0.2,,1.0,2.0,0.5,2.75,7.5,2.0
"""


@pytest.fixture
def run(make_run):
    made = make_run(("a",), ("regression", "cnn_weighted"))
    made.write_history("a", "cnn_weighted", text=HISTORY)
    return made


def test_a_gap_is_val_minus_train_at_the_first_the_best_and_the_last_step(run):
    found = {(gap.measure, gap.at): (gap.step, gap.train, gap.val, gap.gap) for gap in overfitting.gaps(run.inputs)}
    assert found == {
        ("cross_entropy", "first"): (0, 3.0, 3.5, 0.5),
        ("weighted_cross_entropy", "first"): (0, 6.0, 8.0, 2.0),
        ("normalized_weighted_cross_entropy", "first"): (0, 12.0, 4.0, -8.0),
        ("cross_entropy", "best"): (5, 2.0, 3.0, 1.0),
        ("cross_entropy", "last"): (9, 1.0, 2.75, 1.75),
        ("weighted_cross_entropy", "best"): (5, 4.0, 7.0, 3.0),
        ("weighted_cross_entropy", "last"): (9, 2.0, 7.5, 5.5),
        ("normalized_weighted_cross_entropy", "best"): (5, 8.0, 3.5, -4.5),
        ("normalized_weighted_cross_entropy", "last"): (9, 4.0, 3.75, -0.25),
    }


def test_only_classifiers_have_gaps(run):
    assert {gap.run for gap in overfitting.gaps(run.inputs)} == {Run("a", "cnn_weighted", 0)}


def test_csv_has_one_line_per_gap(run):
    rows = list(csv.DictReader(io.StringIO(overfitting.to_csv(overfitting.gaps(run.inputs)))))
    assert len(rows) == 9
    assert rows[2] == {
        "dataset": "a", "model": "cnn_weighted", "seed": "0", "measure": "cross_entropy", "at": "last", "step": "9",
        "train": "1.00000", "val": "2.75000", "gap": "1.75000",
    }  # fmt: skip
