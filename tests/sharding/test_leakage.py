"""Held-out images that are training images too are found by their pixels' hashes, whatever the tables look like."""

import csv
from pathlib import Path

import pytest
import xxhash

from colorize.data.shards import COLUMNS, TABLE
from colorize.sharding import leakage


@pytest.fixture
def folder(tmp_path):
    """`folder(train="abc", val="b", test="")` -> tables of images; a letter stands for the pixels."""

    def write(**splits: str) -> Path:
        for split, letters in splits.items():
            (tmp_path / split).mkdir()
            with (tmp_path / split / TABLE).open("w", newline="") as file:
                table = csv.writer(file, lineterminator="\n")
                table.writerow(COLUMNS)
                for key, letter in enumerate(letters):
                    digest = xxhash.xxh3_128_hexdigest(letter.encode())
                    table.writerow((key, "class, quoted", "", f"{split} {letter}{key}", digest, "1.00", 0))
        return tmp_path

    return write


def find(tables: Path, count: int = 1) -> dict[str, dict]:
    """What the manifests say, with the hashes divided into `count` parts."""
    train, found = tables / "train", {}
    for split in leakage.HELD_OUT:
        parts = [leakage.find_in(str(train), str(tables / split), number, count) for number in range(count)]
        found[split] = leakage.combine(train, tables / split, parts)
    return found


def test_every_held_out_image_with_a_twin_in_train_is_counted_once(folder):
    found = find(folder(train="abcab", val="xbyb", test="zc"))
    assert found["val"] == {"images": 2, "first": [["val b1", "train b1"], ["val b3", "train b1"]]}
    assert found["test"] == {"images": 1, "first": [["test c1", "train c2"]]}


@pytest.mark.parametrize("count", [2, 7, 1000])
def test_the_number_of_parts_changes_nothing(folder, count):
    letters = "abcdefghijklmnopqrstuvwxyz"
    tables = folder(train=letters + letters, val=letters[::-1] + "12", test="3z4y")
    assert find(tables, count) == find(tables)
    assert find(tables)["val"]["images"] == 26


def test_twins_within_a_split_or_between_val_and_test_are_no_leaks(folder):
    none = {"images": 0, "first": []}
    assert find(folder(train="aab", val="xx", test="xzz")) == {"val": none, "test": none}


def test_only_the_first_pairs_are_named(folder):
    letters = "abcdefghijklmnopq"
    found = find(folder(train=letters, val=letters, test="x"))["val"]
    assert found["images"] == 17
    assert found["first"] == [[f"val {letter}{n}", f"train {letter}{n}"] for n, letter in enumerate(letters[:10])]


def test_hashes_that_end_in_zeros_are_told_apart(folder, monkeypatch):
    """numpy's fixed strings forget trailing zeros, which is harmless only because all are equally long."""
    digests = {"a": "11" * 15 + "00", "b": "11" * 14 + "0000", "c": "00" * 16}
    tables = folder(train="ac", val="b", test="c")
    for split in ("train", "val", "test"):
        path = tables / split / TABLE
        text = path.read_text()
        for letter, digest in digests.items():
            text = text.replace(xxhash.xxh3_128_hexdigest(letter.encode()), digest)
        path.write_text(text)
    found = find(tables)
    assert (found["val"]["images"], found["test"]["images"]) == (0, 1)
