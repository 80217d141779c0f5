"""Unions: the shards are the members' own files, keys and groups stay apart, and no leak between members is missed."""

import csv
import importlib.util
import io
import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from colorize.config import params
from colorize.data.shards import SPLITS
from colorize.data.split import Split
from colorize.layout import Folders
from colorize.prior import counts
from colorize.runtime import DataError, ParameterError
from colorize.sharding import build, joint, union
from tests.helpers import clusters

SOURCE = """
path: {name}.zip
splits:
  train: {{glob: 'train/*'}}
  val: {{glob: 'val/*'}}
  test: {{glob: 'test/*'}}
lists:
- file: groups.txt
  columns: [name, group]
"""
COUNTS = {"a": {"train": 7, "val": 2, "test": 3}, "b": {"train": 4, "val": 2, "test": 2}, "c": dict.fromkeys(SPLITS, 2)}


def write_archive(name: str, pictures: np.ndarray) -> None:
    """A zip with the images of all splits, the first of which is broken; images of a split belong to two groups."""
    names = [f"{split}/{n:02d}.png" for split, count in COUNTS[name].items() for n in range(count)]
    with zipfile.ZipFile(f"{name}.zip", "w") as archive:
        for file, picture in zip(names, pictures, strict=True):
            content = io.BytesIO()
            Image.fromarray(picture).save(content, format="PNG")
            archive.writestr(file, b"broken" if file == "train/00.png" else content.getvalue())
        archive.writestr("groups.txt", "".join(f"{file} group{n % 2}\n" for n, file in enumerate(names)))


def shard(name: str, settings, pictures: np.ndarray) -> None:
    write_archive(name, pictures)
    Path(f"sources/{name}.yaml").write_text(SOURCE.format(name=name))
    section = settings.shard.model_copy(update={"size": 16, "per_shard": 3, "max_reject_fraction": 0.5})
    build.shard(name, section, Folders())


@pytest.fixture(scope="module")
def members(tmp_path_factory, settings, images_of) -> Path:
    """A project with three data sets; the first val image of c is also the second training image of a."""
    folder = tmp_path_factory.mktemp("members")
    pictures = images_of(25, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLORIZE_RAW", str(folder))
        patch.setenv("COLORIZE_PROCS", "1")
        Path("sources").mkdir()
        shard("a", settings, pictures[:12])
        shard("b", settings, pictures[12:20])
        shard("c", settings, np.concatenate([pictures[20:22], pictures[1:2], pictures[22:25]]))
    return folder


@pytest.fixture
def project(members, tmp_path, monkeypatch) -> Folders:
    """A copy of it, the working folder; its tars are links, as DVC makes them."""
    shutil.copytree(members / "data", tmp_path / "data", copy_function=lambda a, b: Path(b).hardlink_to(a))
    (tmp_path / "sources").mkdir()
    monkeypatch.chdir(tmp_path)
    return Folders()


@pytest.fixture
def join(project, settings):
    """`join("ab", "a", "b", (2, 1))` -> the manifests; does what the stages `union` and `shard` do."""

    def run(name: str, first: str, second: str, mix: tuple[int, int] = (1, 1), **changes) -> dict:
        union.write_description(name, params.Union(first=first, second=second, mix=list(mix)), project)
        section = settings.shard.model_copy(update={"size": 16, **changes})
        return joint.link(name, union.find(name, project), section, project)

    return run


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "images.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_shards_are_the_files_of_the_members(project, join):
    join("ab", "a", "b")
    for split in SPLITS:
        theirs = [path for name in "ab" for path in sorted(project.shards(split, name).glob("*.tar"))]
        ours = sorted(project.shards(split, "ab").glob("*.tar"))
        assert len(ours) == len(theirs) > 1
        assert all(one.samefile(other) for one, other in zip(ours, theirs, strict=True))


def test_no_shard_of_an_earlier_run_stays(project, join):
    extra = project.shards("train", "ab") / "000099.tar"
    extra.parent.mkdir(parents=True, exist_ok=True)
    extra.write_bytes(b"x")
    join("ab", "a", "b")
    assert not extra.exists()


def test_a_disk_without_hard_links_gets_copies(project, join, monkeypatch):
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError(95, "Operation not supported")))
    join("ab", "a", "b")
    path = project.shards("test", "ab") / "000000.tar"
    assert path.stat().st_nlink == 1
    assert path.read_bytes() == (project.shards("test", "a") / "000000.tar").read_bytes()


def test_images_come_from_both_members_with_different_keys(project, join):
    join("ab", "a", "b")
    for split in SPLITS:
        both, *alone = (Split(project.shards(split, name)) for name in ("ab", "a", "b"))
        every = np.arange(len(both))
        images = np.concatenate([one.images(np.arange(len(one))) for one in alone])
        assert np.array_equal(both.images(every), images)
        keys = [one.keys(np.arange(len(one))) for one in alone]
        assert both.keys(every).tolist() == [*keys[0], *(keys[1] + COUNTS["a"][split])]  # as many as were listed
        assert both.keys(every).tolist() == [int(row["key"]) for row in rows_of(project.shards(split, "ab"))]


def test_names_and_groups_begin_with_the_member(project, join):
    join("ab", "a", "b")
    rows, theirs = rows_of(project.shards("val", "ab")), rows_of(project.shards("val", "b"))
    assert [row["source"] for row in rows] == ["a/val/00.png", "a/val/01.png", "b/val/00.png", "b/val/01.png"]
    assert {row["group"] for row in rows} == {"a/group0", "a/group1", "b/group0", "b/group1"}
    assert [row["xxh128"] for row in rows[2:]] == [row["xxh128"] for row in theirs]


def test_the_manifest_has_the_sums_and_only_train_has_weights(project, join):
    manifests = join("ab", "a", "b", (2, 4))
    train = manifests["train"]
    assert (train["listed"], train["images"]) == (11, 9)
    assert train["rejected"] == {"not an image": {"images": 2, "first": ["a/train/00.png", "b/train/00.png"]}}
    assert train["parts"] == [
        {"dataset": "a", "images": 6, "first_key": 0, "weight": 1},
        {"dataset": "b", "images": 3, "first_key": 7, "weight": 2},
    ]
    assert manifests["test"]["parts"] == [
        {"dataset": "a", "images": 3, "first_key": 0},
        {"dataset": "b", "images": 2, "first_key": 3},
    ]
    assert json.loads((project.shards("train", "ab") / "manifest.json").read_text()) == json.loads(json.dumps(train))
    assert "ab train: 9 images, 0 of them gray; 2 rejected (not an image)" in build.describe(manifests)


def test_a_union_of_unions_has_the_weights_of_both_mixes(project, join):
    join("ab", "a", "b", (1, 2))
    train = join("abc", "ab", "c", (3, 1), max_leaked=None)["train"]
    assert [(part["dataset"], part["first_key"], part["weight"]) for part in train["parts"]] == [
        ("a", 0, 1), ("b", 7, 2), ("c", 11, 1)
    ]  # fmt: skip
    keys = Split(project.shards("train", "abc")).keys(np.arange(10))
    assert keys.tolist() == [*range(1, 7), *range(8, 11), 12]
    assert rows_of(project.shards("train", "abc"))[0]["source"] == "ab/a/train/01.png"


def test_a_held_out_image_of_one_member_in_the_training_images_of_the_other_is_a_leak(join, expect_one_line):
    with expect_one_line(DataError, "ac: ", "1 of val", "'c/val/00.png' equals 'a/train/01.png'", "max_leaked"):
        join("ac", "a", "c")
    assert join("ac", "a", "c", max_leaked=1)["val"]["leaked"]["images"] == 1


def test_one_data_set_cannot_be_in_both_members(join, expect_one_line):
    join("ab", "a", "b")
    with expect_one_line(ParameterError, "unions.aab: a is in both members"):
        join("aab", "ab", "a")


def test_a_mix_with_too_long_a_pattern_is_refused(join, expect_one_line):
    with expect_one_line(ParameterError, "unions.ab.mix", "1,000,001", "choose smaller numbers"):
        join("ab", "a", "b", (1_000_000, 1))


@pytest.mark.parametrize("name", ["images.csv", "manifest.json"])
def test_a_member_that_changed_after_the_description_is_refused(project, join, settings, expect_one_line, name):
    join("ab", "a", "b")
    path = project.shards("val", "b") / name
    content = path.read_text().replace("c", "C", 1) if name == "images.csv" else path.read_text() + " "
    path.unlink()
    path.write_text(content)
    with expect_one_line(DataError, "data/shards/val/b", "sources/ab.yaml", "run `dvc repro shard@ab`"):
        joint.link("ab", union.find("ab", project), settings.shard.model_copy(update={"size": 16}), project)


def test_a_damaged_shard_of_a_member_is_refused_with_the_remedy_for_the_member(project, join, expect_one_line):
    path = project.shards("train", "b") / "000001.tar"
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.unlink()
    path.write_bytes(content)
    with expect_one_line(DataError, f"{path}: damaged", "verify --repair data/shards/train/b && dvc repro shard@b"):
        join("ab", "a", "b")


def test_a_missing_member_says_how_to_make_it(join, expect_one_line):
    with expect_one_line(DataError, "data/shards/train/nowhere/manifest.json", "dvc repro shard@nowhere"):
        join("ab", "a", "nowhere")


def test_a_description_is_told_from_other_sources(project, expect_one_line):
    Path("sources/plain.yaml").write_text("path: photos\nfractions: {val: 0.1, test: 0.1}\n")
    assert union.find("plain", project) == union.find("nowhere", project) == []
    union.write_description("ab", params.Union(first="a", second="b", mix=[1, 1]), project)
    Path("sources/ab.yaml").write_text(Path("sources/ab.yaml").read_text().replace("weight: 1", "weight: 0"))
    with expect_one_line(ParameterError, "sources/ab.yaml", "union.0.weight"):
        union.find("ab", project)


def test_the_description_changes_with_the_images_and_the_mix_only(project):
    def describe(**values) -> dict:
        fields = {"first": "a", "second": "b", "mix": [1, 1]} | values
        union.write_description("ab", params.Union(**fields), project)
        return yaml.safe_load(Path("sources/ab.yaml").read_text())

    found = SimpleNamespace(first=describe(), again=describe(), mixed=describe(mix=[1, 2]), other=describe(second="c"))
    assert found.first == found.again
    assert found.first != found.mixed and found.first != found.other


@pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="the package for Dask is missing: `make scale` installs it"
)
def test_a_cluster_counts_the_same_colors_of_a_data_set_and_of_a_union(project, join, tmp_path, monkeypatch):
    join("ab", "a", "b", (3, 1))
    splits = [Split(project.shards("train", name)) for name in ("a", "ab")]
    local = [counts.count_colors(split, "a") for split in splits]
    cluster = clusters.Cluster(tmp_path)
    try:
        cluster.add_workers(2)
        monkeypatch.setenv("COLORIZE_DASK", cluster.address)
        monkeypatch.setattr(counts, "_TASK", 2)  # images, so that each data set is several tasks
        for split, expected in zip(splits, local, strict=True):
            np.testing.assert_array_equal(counts.count_colors(split, "a"), expected)
    finally:
        cluster.stop()
