"""From archives to shards: what is kept, what is rejected and counted, and the same bytes for any number of workers."""

import csv
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xxhash
from PIL import Image

from colorize.archives import containers
from colorize.color.colorfulness import colorfulness
from colorize.data.split import Split
from colorize.layout import Folders
from colorize.runtime import DataError
from colorize.sharding import build as sharding

SOURCE = """
path: mine.zip
splits:
  train: {glob: 'train/*'}
  val: {glob: 'val/*'}
  test: {glob: 'test/*'}
"""


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture
def files(images_of) -> dict[str, bytes]:
    """13 training images in two classes, 2 of each other split; as PNG, so that pixels can be compared."""
    pictures = images_of(17, 64)
    named = [f"train/n0{n % 2}/{n:02d}.png" for n in range(13)]
    named += ["val/a.png", "val/b.png", "test/a.png", "test/b.png"]
    return {name: png(picture) for name, picture in zip(named, pictures, strict=True)}


@pytest.fixture
def build(tmp_path, monkeypatch, settings):
    """Shard files in a scratch project: `build(files, out="out", per_shard=5, ...)` -> folders, manifests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLORIZE_RAW", str(tmp_path))
    monkeypatch.setenv("COLORIZE_PROCS", "1")
    Path("sources").mkdir()
    Path("sources/mine.yaml").write_text(SOURCE)

    def run(files: dict[str, bytes], out: str = "out", **changes) -> tuple[Folders, dict]:
        with zipfile.ZipFile("mine.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        section = settings.shard.model_copy(update={"per_shard": 5, "max_reject_fraction": 0.5, **changes})
        manifests = sharding.shard("mine", section, Folders(Path(out)))
        sharding.discard("mine")  # else the next run would find its shards made
        return Folders(Path(out)), manifests

    return run


def table(folders: Folders) -> list[dict]:
    with (folders.shards("train", "mine") / "images.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_shards_hold_the_archives_pixels_in_the_order_of_the_names(build, files):
    folders, manifests = build(files)
    split = Split(folders.shards("train", "mine"))
    for row, name in enumerate(sorted(name for name in files if name.startswith("train/"))):
        with Image.open(io.BytesIO(files[name])) as picture:
            assert np.array_equal(split.images(np.array([row]))[0], np.asarray(picture))
    assert [entry["images"] for entry in manifests["train"]["shards"]] == [5, 5, 3]
    assert {split: entry["images"] for split, entry in manifests.items()} == {"train": 13, "val": 2, "test": 2}


def test_the_manifest_is_on_the_disk_with_every_shards_sha256(build, files):
    folders, manifests = build(files)
    for split, manifest in manifests.items():
        folder = folders.shards(split, "mine")
        assert json.loads((folder / "manifest.json").read_text()) == manifest
        found = (manifest["format"], manifest["dataset"], manifest["split"], manifest["size"])
        assert found == ("strided-ppm-2", "mine", split, 64)
        for shard in manifest["shards"]:
            assert hashlib.sha256((folder / shard["name"]).read_bytes()).hexdigest() == shard["sha256"]


def test_an_own_cut_is_named_in_the_manifest_and_in_one_line_with_the_way_back(build, files, capsys):
    published = f"archives: {{mine.zip: {{url: 'http://x/mine.zip', bytes: 99, md5: '{'0' * 32}'}}}}"
    Path("sources/mine.yaml").write_text(SOURCE.replace("path: mine.zip", published))
    folders, manifests = build(files)
    size = Path("mine.zip").stat().st_size
    for manifest in manifests.values():
        assert manifest["archive"] == {"file": "mine.zip", "bytes": size, "is_published": False}
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert f"{size:,} bytes, but the published archive has 99" in warning and "dvc repro -f shard@mine" in warning
    assert str(Path.cwd()) not in (folders.shards("test", "mine") / "manifest.json").read_text()


def test_the_table_has_a_row_an_image(build, files):
    folders, _ = build(files)
    rows = table(folders)
    assert tuple(rows[0]) == ("key", "class", "group", "source", "xxh128", "colorfulness", "is_gray")
    assert [int(row["key"]) for row in rows] == list(range(13))
    assert [row["source"] for row in rows] == sorted(name for name in files if name.startswith("train/"))
    assert rows[0]["class"] == "train/n00"
    pixels = Split(folders.shards("train", "mine")).images(np.arange(13))
    for row, image in zip(rows, pixels, strict=True):
        assert row["xxh128"] == xxhash.xxh3_128_hexdigest(image.tobytes())
        assert float(row["colorfulness"]) == pytest.approx(colorfulness(image), abs=0.005)
        assert row["is_gray"] == "0"


@pytest.mark.parametrize("workers", ["2", "4"])
def test_bytes_do_not_depend_on_the_number_of_workers(build, files, monkeypatch, workers):
    def tree(folders: Folders) -> dict[str, bytes]:
        files = [path for path in folders.root.rglob("*") if path.is_file()]
        return {str(path.relative_to(folders.root)): path.read_bytes() for path in files}

    one, _ = build(files, "one", per_shard=2)
    monkeypatch.setenv("COLORIZE_PROCS", workers)
    several, _ = build(files, "several", per_shard=2)
    assert len(tree(one)) == 7 + 1 + 1 + 3 + 3
    assert tree(one) == tree(several)


def test_a_rejected_image_leaves_a_gap_moves_no_other_and_is_counted_by_reason(build, files):
    names = sorted(name for name in files if name.startswith("train/"))
    files[names[2]], files[names[7]], files[names[8]] = b"", b"<html>not found</html>", b"plain words"
    folders, manifests = build(files)
    split = Split(folders.shards("train", "mine"))
    expected = [key for key in range(13) if key not in (2, 7, 8)]
    assert split.keys(np.arange(len(split))).tolist() == expected
    assert [int(row["key"]) for row in table(folders)] == expected
    assert [row["source"] for row in table(folders)] == [names[key] for key in expected]
    entry = manifests["train"]
    assert (entry["listed"], entry["images"]) == (13, 10)
    assert [shard["images"] for shard in entry["shards"]] == [4, 3, 3]
    assert entry["rejected"] == {
        "empty file": {"images": 1, "first": [names[2]]},
        "not an image": {"images": 2, "first": [names[7], names[8]]},
    }
    expected = "mine train: 10 images, 0 of them gray; 1 rejected (empty file); 2 rejected (not an image)"
    assert sharding.describe(manifests).splitlines()[0] == expected


def test_images_that_are_written_some_at_a_time_stay_beside_their_rows(build, images_of, monkeypatch):
    monkeypatch.setattr("colorize.data.shards.AT_ONCE", 32)
    pictures = images_of(75, 64)
    files = {f"train/{n:02d}.png": png(picture) for n, picture in enumerate(pictures)}
    files |= {"val/a.png": png(pictures[0]), "test/a.png": png(pictures[1]), "train/20.png": b"", "train/32.png": b""}
    folders, _ = build(files, per_shard=75, max_leaked=None)
    expected = [key for key in range(75) if key not in (20, 32)]
    split, rows = Split(folders.shards("train", "mine")), table(folders)
    assert split.keys(np.arange(len(split))).tolist() == [int(row["key"]) for row in rows] == expected
    assert [row["source"] for row in rows] == [f"train/{key:02d}.png" for key in expected]
    found = split.images(np.arange(len(split)))
    assert np.array_equal(found, pictures[expected])
    assert [row["xxh128"] for row in rows] == [xxhash.xxh3_128_hexdigest(image.tobytes()) for image in found]
    assert [row["colorfulness"] for row in rows] == [f"{colorfulness(image):.2f}" for image in found]


def test_a_shard_of_which_nothing_is_left_is_not_written(build, files):
    for name in sorted(name for name in files if name.startswith("train/"))[:5]:
        files[name] = b""
    folders, manifests = build(files)
    assert [path.name for path in sorted(folders.shards("train", "mine").glob("*.tar"))] == ["000001.tar", "000002.tar"]
    assert len(Split(folders.shards("train", "mine"))) == manifests["train"]["images"] == 8


@pytest.fixture
def with_gray(files) -> dict[str, bytes]:
    """The files, one of them without color."""
    return {**files, "train/n00/gray.png": png(np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 64, 3)))}


def test_gray_images_are_kept_and_marked(build, with_gray):
    folders, manifests = build(with_gray, gray="keep", max_reject_fraction=0.0)
    assert (manifests["train"]["images"], manifests["train"]["without_color"]) == (14, 1)
    assert [row["source"] for row in table(folders) if row["is_gray"] == "1"] == ["train/n00/gray.png"]


def test_gray_images_are_dropped_where_asked_and_are_not_broken_ones(build, with_gray):
    _, manifests = build(with_gray, gray="drop", max_reject_fraction=0.0)
    entry = manifests["train"]
    assert (entry["images"], entry["without_color"]) == (13, 0)
    assert entry["rejected"] == {"grayscale": {"images": 1, "first": ["train/n00/gray.png"]}}


def test_pale_images_are_left_out_by_their_colorfulness_and_are_not_broken_ones(build, with_gray):
    amounts = {row["source"]: float(row["colorfulness"]) for row in table(build(with_gray, "all")[0])}
    threshold = sorted(amounts.values())[4] + 0.01  # between two images
    folders, manifests = build(with_gray, min_colorfulness=threshold, max_reject_fraction=0.0)
    kept = {name for name, amount in amounts.items() if amount > threshold}
    assert {row["source"] for row in table(folders)} == kept
    pale = sorted(set(amounts) - kept)
    assert len(pale) == 5 and "train/n00/gray.png" in pale
    assert manifests["test"]["min_colorfulness"] == threshold
    assert manifests["train"]["rejected"] == {"low colorfulness": {"images": 5, "first": pale}}
    assert "5 rejected (low colorfulness)" in sharding.describe(manifests)


def test_an_image_too_large_to_be_one_is_not_even_read(build, files, monkeypatch):
    monkeypatch.setattr("colorize.sharding.images.MAX_BYTES", 100_000)
    files["train/n00/00.png"] = bytes(100_001)
    read = containers.Reader.read

    def read_small(reader, entry):
        assert entry.size <= 100_000
        return read(reader, entry)

    monkeypatch.setattr(containers.Reader, "read", read_small)
    _, manifests = build(files)
    assert manifests["train"]["rejected"] == {"too large": {"images": 1, "first": ["train/n00/00.png"]}}


# --- leaks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def leaky(files) -> dict[str, bytes]:
    """Two test images and one of val that train holds as well, one of them in another encoding."""
    names = sorted(name for name in files if name.startswith("train/"))
    with Image.open(io.BytesIO(files[names[3]])) as picture:
        bitmap = io.BytesIO()
        picture.save(bitmap, "BMP")
    return {
        **files,
        "test/a.png": files[names[0]],
        "test/b.bmp": bitmap.getvalue(),
        "val/b.png": files[names[12]],
        "train/n01/twin.png": files["train/n01/01.png"],  # twice in train is no leak
    }


def test_held_out_images_that_are_training_images_are_counted_and_named(build, leaky):
    folders, manifests = build(leaky, max_leaked=None)
    train = [row["source"] for row in table(folders) if "twin" not in row["source"]]
    assert {split: manifests[split]["leaked"] for split in ("val", "test")} == {
        "test": {"images": 2, "first": [["test/a.png", train[0]], ["test/b.bmp", train[3]]]},
        "val": {"images": 1, "first": [["val/b.png", train[12]]]},
    }
    twins = "'val/b.png' equals 'train/n01/11.png'"
    expected = f"mine: images that are also in train, pixel for pixel: 1 of val, 2 of test (first: {twins})"
    assert expected in sharding.describe(manifests)


def test_more_leaks_than_allowed_fail_in_one_line(build, leaky):
    assert build(leaky, "fine", max_leaked=3)[1]["test"]["leaked"]["images"] == 2
    message = refusal(build, leaky, max_leaked=2)
    assert message.startswith("mine: images that are also in train, pixel for pixel: 1 of val, 2 of test (first:")
    assert "more than shard.max_leaked = 2; remove one of each pair" in message


def test_a_data_set_without_leaks_says_nothing_of_them(build, files):
    _, manifests = build(files, max_leaked=0)
    assert manifests["val"]["leaked"] == manifests["test"]["leaked"] == {"images": 0, "first": []}
    assert "too" not in sharding.describe(manifests)


def refusal(build, files, **changes) -> str:
    with pytest.raises(DataError) as caught:
        build(files, **changes)
    assert "\n" not in str(caught.value)
    assert not list(Path("out").rglob("manifest.json"))
    return str(caught.value)


def test_too_many_broken_images_fail_in_one_line_with_reason_and_name(build, files):
    files["train/n00/00.png"] = b""
    message = refusal(build, files, max_reject_fraction=0.05)
    assert "mine, train: 1 of 13 images are broken, more than shard.max_reject_fraction = 0.05" in message
    assert "1 empty file (first: 'train/n00/00.png'); repair the files, or raise this fraction in" in message


def test_as_many_broken_images_as_allowed_are_fine(build, files):
    files["train/n00/00.png"] = b""
    assert build(files, max_reject_fraction=1 / 13)[1]["train"]["images"] == 12


def test_a_split_without_files_is_refused(build, files):
    assert "no file is an image of split 'val'" in refusal(
        build, {name: f for name, f in files.items() if "val/" not in name}
    )


def test_a_split_of_which_nothing_is_left_is_refused(build, files):
    files["val/a.png"] = files["val/b.png"] = png(np.zeros((64, 64, 3), np.uint8))
    assert (
        "mine, val: none of the 2 images can be used; set shard.gray to keep or lower shard.min_colorfulness"
        in refusal(build, files, gray="drop")
    )


def test_a_missing_archive_is_one_line(build, files, monkeypatch):
    monkeypatch.setenv("COLORIZE_RAW", "/nowhere")
    Path("sources/mine.yaml").write_text(SOURCE.replace("mine.zip", "other.zip"))
    assert "other.zip: no such folder, zip or tar; correct `path` in the source file" in refusal(build, files)


def test_a_folder_and_a_tar_give_the_shards_of_the_zip(build, files, tmp_path):
    zipped, _ = build(files, "zip")
    for name, content in files.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    with tarfile.open("mine.tar", "w") as archive:
        for name in files:
            archive.add(f"folder/{name}", arcname=name)
    for kind in ("folder", "mine.tar"):
        Path("sources/mine.yaml").write_text(SOURCE.replace("mine.zip", kind))
        other, _ = build(files, kind.replace(".", "_"))
        for shard in sorted(zipped.root.rglob("*.tar")):
            assert shard.read_bytes() == (other.root / shard.relative_to(zipped.root)).read_bytes(), kind
