"""Differences between two runs: what counts as changed, and with which interval."""

import math

import numpy as np
import pytest

from colorize.layout import Cell
from colorize.report import changes, page
from colorize.report.evidence import gather
from colorize.report.measures import Method
from tests.report.conftest import Outputs

HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def two(tmp_path):
    """Two equal runs in two folders."""
    roots = [tmp_path / name for name in ("before", "after")]
    for root in roots:
        root.mkdir()
    return [Outputs(root, ["a"], ["cnn", "regression"], [0]) for root in roots]


def test_equal_runs_have_no_changes(two):
    found = changes.compare_runs(*(run.inputs for run in two))
    assert found.changed == [] and found.added == [] and found.removed == []
    assert found.equal > 0


def test_a_change_of_every_image_is_clear_and_comes_first(two):
    two[1].write_metrics("a", "cnn", "a", l2=0.25)
    first = changes.compare_runs(*(run.inputs for run in two)).changed[0]
    assert (first.source, first.target, first.method, first.measure) == ("a", "a", Method("cnn", "mode"), "l2")
    assert first.is_clear and first.difference.value == pytest.approx(-0.25)
    assert changes.verdict(first) == "better"


def test_a_change_of_one_image_can_be_chance(two):
    run = two[1]
    l2 = 0.5 + run.noise
    l2[-1] += 0.12
    run.write_per_image("a", "regression", "a", l2=l2)
    (only,) = changes.compare_runs(*(run.inputs for run in two)).changed
    assert not only.is_clear
    assert changes.verdict(only) == "can be chance"


def test_other_test_images_give_no_interval(two):
    run = two[1]
    run.write_metrics("a", "regression", "a", l2=0.25)
    run.write_per_image("a", "regression", "a", key=1 + 10 * np.arange(run.images), l2=0.25 + run.noise)
    found = changes.compare_runs(*(run.inputs for run in two)).changed
    change = next(one for one in found if one.measure == "l2")
    assert math.isnan(change.difference.value) and not change.is_clear
    assert "no interval" in changes.verdict(change)


def test_cells_of_one_run_only_are_named(two):
    two[0].models.remove("regression")
    found = changes.compare_runs(*(run.inputs for run in two))
    assert found.added == [Cell("a", "regression", "a")] and found.removed == []


def test_the_page_names_the_changes_and_the_parameters(two):
    two[1].write_metrics("a", "cnn", "a", l2=0.25)
    found = changes.compare_runs(*(run.inputs for run in two))
    params = [{"train": {"lr": 0.1}, "seeds": [0]}, {"train": {"lr": 0.2}, "seeds": [0], "new": HOSTILE}]
    names = ["HEAD", HOSTILE]
    html = page.render_comparison(two[0].inputs, gather(two[1].inputs), found, names, params).decode()
    assert "<code>train.lr</code>" in html and "<code>seeds</code>" not in html
    assert "<bdi>0.1</bdi>" in html and "<bdi>0.2</bdi>" in html
    assert HOSTILE not in html
    assert "1 changed clearly" in html
