"""Fault points: one list of all of them, and a real death at each."""

import re
import signal

import pytest

from colorize import runtime
from tests.helpers import processes, projects


def test_the_list_names_exactly_the_points_in_the_code(repo):
    texts = [path.read_text() for path in sorted((repo / "colorize").rglob("*.py"))]
    used = [name for text in texts for name in re.findall(r"fault_point\(\"([^\"]+)\"\)", text)]
    assert sorted(used) == sorted(runtime.FAULT_POINTS)


def test_the_soak_arms_every_point():
    assert {*projects.EVERYWHERE, *(point for points in projects.POINTS.values() for point in points)} == set(
        runtime.FAULT_POINTS
    )


@pytest.mark.parametrize(
    ("fault", "number"), [("shard-member:2", signal.SIGKILL), ("shard-member:2:TERM", signal.SIGTERM)]
)
def test_the_process_dies_at_the_pass_that_is_named(tmp_path, fault, number):
    def body():
        for n in range(3):
            print(n)
            runtime.fault_point("shard-rename")
            runtime.fault_point("shard-member")

    pid = processes.fork(body, tmp_path, tmp_path / "log", COLORIZE_FAULT=fault)
    assert processes.wait(pid) == -number
    assert (tmp_path / "log").read_text() == "0\n1\n"


@pytest.mark.parametrize(
    "armed", ["nowhere", "shard-member:two", ":1", "shard-member:1:STOPPED", "shard-member:1:TERM:1"]
)
def test_a_point_that_is_not_there_is_refused(monkeypatch, armed):
    monkeypatch.setenv("COLORIZE_FAULT", armed)
    with pytest.raises(runtime.ParameterError, match=r"no such fault point; the fault points are shard-member, "):
        runtime.fault_point("shard-member")
