"""Lists that give the class and the group of images by name."""

import re
from pathlib import Path

import pytest

from colorize.runtime import DataError
from colorize.sharding import listing, sources
from tests.helpers.listing import list_images

NAMES = ("cats/1.png", "cats/2.png", "dogs/1.png")


@pytest.fixture
def listed(tmp_path):
    """`listed(text, columns=[...])` -> (class, group) of the three photos of a folder with this list."""

    def read(text: str | bytes, columns: tuple[str, ...] = ("name", "group"), **fields: str) -> list[tuple[str, str]]:
        folder = tmp_path / "photos"
        for name in NAMES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x")
        (folder / "list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
        (folder / "classes.txt").write_text("/c/cat 0\n/d/dog 1\n")
        wanted = {"file": "list.txt", "columns": list(columns), **fields}
        values = {"path": str(folder), "fractions": {"val": 0, "test": 0}, "lists": [wanted]}
        source = sources.Source.model_validate(values)
        found = list_images(source, sources.locate(source, tmp_path), ["train"])
        assert found.skipped["path"].get(listing.OTHER, 0) == (1 if "classes" not in fields else 0)  # classes.txt
        return [(member.class_name, member.group) for member in found.splits["train"]]

    return read


def test_a_list_gives_groups_and_leaves_the_classes_of_the_folders(listed):
    assert listed("cats/1.png a\n\ndogs/1.png\tb\tmore columns\n") == [("cats", "a"), ("cats", ""), ("dogs", "b")]


def test_a_list_may_give_classes_by_the_last_part_of_a_name(listed):
    assert listed("2.png tiger", ("name", "class")) == [("cats", ""), ("tiger", ""), ("dogs", "")]
    assert listed("tiger g 2.png", ("class", "group", "name"))[1] == ("tiger", "g")


def test_classes_may_be_numbers_of_another_list(listed):
    found = listed("cats/1.png 1\n2.png 0\n", ("name", "class"), classes="classes.txt")
    assert found == [("d/dog", ""), ("c/cat", ""), ("dogs", "")]


@pytest.mark.parametrize(
    ("text", "fields", "words"),
    [
        ("1.png a", {"file": "nowhere.txt"}, "there is no file 'nowhere.txt'; correct `lists` in the source file"),
        ("cats/1.png", {}, "list.txt: the line 'cats/1.png' has fewer than 2 columns"),
        (b"cats/1.png \xff", {}, "list.txt: not a text in UTF-8"),
        ("cats/1.png a\ncats/1.png b", {}, "list.txt: 'cats/1.png' has two different labels"),
        ("3.png a", {}, "list.txt: none of its names is an image of a split"),
        ("", {}, "list.txt: none of its names is an image of a split"),
        ("1.png 7", {"columns": ["name", "class"], "classes": "classes.txt"}, "classes.txt has no class of number '7'"),
    ],
)
def test_a_wrong_list_is_one_line(listed, text, fields, words):
    with pytest.raises(DataError) as caught:
        listed(text, **fields)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"file": "a", "columns": ["class", "group"]}, "columns must contain `name`"),
        ({"file": "a", "columns": ["name", "name"]}, "each column only once"),
        (
            {"file": "a", "columns": ["name", "class"], "archive": "b.tar"},
            "lists.0.archive is 'b.tar', expected one of",
        ),
        ({"file": "a", "columns": ["name", "size"]}, "columns"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path, wanted, words):
    values = {"path": str(Path(tmp_path)), "fractions": {"val": 0, "test": 0}, "lists": [wanted]}
    with pytest.raises(ValueError, match=re.escape(words)):
        sources.Source.model_validate(values)
