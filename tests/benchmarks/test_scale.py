"""The costs per million images: how a step is measured, and the line through two measurements."""

import json
import time

import pytest

from benchmarks import figures, harness, scale
from benchmarks.scale import ALL, STEPS, Cost, Model, Step

MB = 1_000_000


@pytest.fixture
def project(tmp_path):
    """A folder with the two sources of a data set."""
    (tmp_path / "sources").mkdir()
    for name in scale._SOURCES.values():
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_line_through_two_costs_gives_both_and_continues():
    few, many = Cost(10, 3.0, 5.0, 700, 1000), Cost(30, 7.0, 5.0, 900, 3000)
    model = Model.through(few, many)
    assert model.per_item == Cost(1, 0.2, 0.0, 10.0, 100.0)
    assert (model.at(10), model.at(30)) == (few, many)
    assert model.at(130) == Cost(130, 27.0, 5.0, 1900.0, 13_000.0)


def test_noise_makes_no_cost_negative():
    model = Model.through(Cost(10, 5.0, 5.0, 100, 0), Cost(20, 4.0, 11.0, 100, 0))
    assert model.per_item == Cost(1, 0.0, 0.6, 0.0, 0.0)
    assert model.fixed == Cost(0, 5.0, 0.0, 100.0, 0.0)


def test_a_step_is_measured_with_its_children_and_without_mapped_files(project):
    (project / "big").write_bytes(bytes(80 * MB))
    code = f"""
import mmap, subprocess, sys, time
anonymous = bytearray(b"x") * {50 * MB}
with open("big", "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    mapped.rfind(b"x")
    burn = "import time\\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", burn])
    time.sleep(0.2)
open("out.bin", "wb").write(bytes(1234))
"""
    start = time.perf_counter()
    cost = scale.measure(project, Step("s", ALL, ("-c", code), ("out.bin",)), 7)
    assert (cost.items, cost.disk) == (7, 1234)
    assert 50 * MB < cost.memory < 75 * MB
    assert cost.cpu > 0.3
    assert 0.5 < cost.wall <= time.perf_counter() - start


def test_another_exit_code_than_expected_ends_the_measurement(project):
    with pytest.raises(RuntimeError, match="s ended with 4: why"):
        scale.measure(project, Step("s", ALL, ("-c", "import sys; print('why'); sys.exit(4)")), 1)
    code = f"import sys; print({scale._LISTED!r}); print(open('sources/generated.yaml').read()); sys.exit(3)"
    scale.measure(project, Step("s", ALL, ("-c", code), code=3), 1)
    assert (project / "sources/generated.yaml").read_text() == "source_without_test.yaml"
    with pytest.raises(RuntimeError, match="s ended with 3"):  # the stage has failed for another reason
        scale.measure(project, Step("s", ALL, ("-c", "import sys; sys.exit(3)"), code=3), 1)


def test_the_table_has_a_line_per_step_and_a_record_becomes_a_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness, "RECORDS", tmp_path)
    few = {step.name: Cost(1000, 2.0, 3.0, 200 * MB, 12 * MB) for step in STEPS}
    many = {step.name: Cost(2000, 3.0, 5.0, 201 * MB, 24 * MB) for step in STEPS}
    lines = scale.table(few, many).splitlines()
    assert len(lines) == len(STEPS) + 2
    (shard,) = (line for line in lines if line.startswith("| shard |"))
    assert shard == "| shard | 1,000 and 2,000 | 1.0 s | 17 min | 33 min | 200 MB | 1.0 GB | 12 GB | 4.7 h |"
    scale.report(few, many, small=False)
    capsys.readouterr()
    records = [json.loads(path.read_text()) for path in tmp_path.iterdir()]
    found = {figure["conditions"]: figure for record in records for figure in figures.rows_of(record)}
    assert len(found) == len(STEPS)
    figure = found["shard, images 2,000"]
    assert (figure["ours"], figure["peer"], figure["peer_rate"]) == ("666.7", "1,000 images", "500")
    assert figure["note"] == "per million: 2,000 s of CPU, 1.0 GB of memory"
