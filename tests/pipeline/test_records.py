"""A record of a run against what DVC has recorded of it."""

import pytest

from colorize.pipeline import records

RECORD = {
    "stage": "train@a-x",
    "params": {"train": {"lr": 0.003}},
    "deps": {"colorize/a.py": "11", "data/shards/a": {"manifest.json": "22", "train/0.tar": 5_000_000}},
    "outs": {"data/models/a-x": "33.dir"},
}
LISTINGS = {
    "44.dir": {"manifest.json": "22", "train/0.tar": "55"},
    "66.dir": {"manifest.json": "22"},
    "77.dir": {"manifest.json": "23", "train/0.tar": "55"},
}


def entry(lr: float = 0.003, code: str = "11", shards: str = "44.dir", model: str = "33.dir") -> dict:
    return {
        "params": {"params.yaml": {"train": {"lr": lr}}},
        "deps": [{"path": "colorize/a.py", "md5": code}, {"path": "data/shards/a", "md5": shards}],
        "outs": [{"path": "data/models/a-x", "md5": model}, {"path": "data/records/train-a-x.json", "md5": "99"}],
    }


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        (
            {"lr": 0.005},
            ["computed with another parameter value than DVC recorded (computed -> recorded): train.lr 0.003 -> 0.005"],
        ),
        ({"code": "12"}, ["colorize/a.py: DVC recorded other content than the stage read"]),
        ({"shards": "66.dir"}, ["data/shards/a/train/0.tar: DVC recorded other content than the stage read"]),
        ({"shards": "77.dir"}, ["data/shards/a/manifest.json: DVC recorded other content than the stage read"]),
        ({"shards": "88.dir"}, []),  # nobody knows what that stands for
        ({"model": "34.dir"}, ["data/models/a-x: DVC recorded other content than the stage wrote"]),
    ],
)
def test_what_contradicts_is_named(changes, found):
    assert list(records.contradictions(RECORD, entry(**changes), LISTINGS.get)) == found


def test_what_the_stage_never_saw_is_named():
    recorded = entry()
    recorded["deps"].append({"path": "colorize/b.py", "md5": "1"})
    assert list(records.contradictions(RECORD, recorded, LISTINGS.get)) == [
        "colorize/b.py: recorded by DVC, but the stage never read it"
    ]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"stage": 1, "params": 1, "deps": {}, "outs": {}}', b"\xff"])
def test_what_is_no_record_is_refused(content):
    with pytest.raises(ValueError):
        records.parse(content)


def test_the_record_is_found_among_the_outs():
    assert records.record_of(entry()) == ("data/records/train-a-x.json", "99")
    assert records.record_of({"outs": []}) is None
