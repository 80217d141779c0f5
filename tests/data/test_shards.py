"""The shard format: anybody's tools read it, and it is one strided array."""

import csv
import hashlib
import io
import json
import pickle
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from colorize.data import shards
from colorize.data.split import Split
from colorize.runtime import DataError


@pytest.fixture(scope="module")
def pixels(images_of) -> np.ndarray:
    """(4, 64, 64, 3): the size of the real ones."""
    return images_of(4, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_images, pixels):
    """Two tars, and a gap in the keys where an image was rejected."""
    folders = write_images(tmp_path_factory.mktemp("shards"), {"train": pixels}, 2, {"train": [0, 1, 3, 12]}, "mine")
    return folders.shards("train", "mine")


@pytest.fixture(scope="module")
def tars(folder) -> list[str]:
    """Paths of the tars, in order."""
    return [str(path) for path in sorted(folder.glob("*.tar"))]


def test_stock_webdataset_yields_our_loaders_pixels_and_keys(folder, tars, pixels):
    import webdataset

    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"))
    split = Split(folder)
    rows = np.arange(len(split))
    assert [int(sample["__key__"]) for sample in samples] == split.keys(rows).tolist() == [0, 1, 3, 12]
    found = np.stack([sample["ppm"] for sample in samples])
    assert found.dtype == np.uint8
    assert np.array_equal(found, split.images(rows))
    assert np.array_equal(found, pixels)


def test_stock_webdataset_decodes_pil_images(tars, pixels):
    import webdataset

    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("pil"))
    assert np.array_equal(np.stack([np.asarray(sample["ppm"]) for sample in samples]), pixels)


def test_tarfile_and_any_image_viewer_read_the_members(tars, pixels):
    with tarfile.open(tars[1]) as tar:
        members = tar.getmembers()
        contents = [tar.extractfile(member).read() for member in members]
    assert [member.name for member in members] == ["00000003.ppm", "00000012.ppm"]
    assert all(member.isreg() and member.mtime == member.uid == member.gid == 0 for member in members)
    for content, image in zip(contents, pixels[2:], strict=True):
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.format, picture.size, picture.mode) == ("PPM", (64, 64), "RGB")
            assert np.array_equal(np.asarray(picture), image)


def test_a_shard_is_one_array_of_stride_13312(tars, pixels):
    raw = np.fromfile(tars[0], dtype=np.uint8)
    assert len(raw) == 2 * 13_312 + 1024
    members = raw[: 2 * 13_312].reshape(2, 13_312)
    assert np.array_equal(members[:, 576 : 576 + 64 * 64 * 3].reshape(2, 64, 64, 3), pixels[:2])


@pytest.mark.parametrize("size", [16, 48, 64, 224])
def test_the_ppm_header_has_64_bytes_at_any_size(size):
    geometry = shards.Geometry(size)
    assert len(geometry.ppm_header()) == 64
    assert geometry.stride % 512 == 0
    assert 0 <= geometry.stride - 512 - geometry.content < 512


def test_the_digest_is_that_of_the_file(tmp_path, pixels):
    sha256 = shards.write_shard(tmp_path / "a.tar", 64, [5], pixels[:1])
    assert sha256 == hashlib.sha256((tmp_path / "a.tar").read_bytes()).hexdigest()


@pytest.mark.parametrize("key", [0, 9, 5000, 77_777_777, 99_999_999])
def test_a_header_is_the_one_that_tarfile_makes(key):
    info = tarfile.TarInfo(f"{key:08d}.ppm")
    info.size = 64 + 3 * 48**2
    assert shards.Geometry(48).tar_header(key) == info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("at_once", [1, 32, 50, 128])
def test_a_shard_of_many_images_is_whole(tmp_path, images_of, monkeypatch, at_once):
    monkeypatch.setattr(shards, "AT_ONCE", at_once)
    images = images_of(100)
    shards.write_shard(tmp_path / "a.tar", 16, range(100), images)
    members = np.fromfile(tmp_path / "a.tar", dtype=np.uint8)[:-1024].reshape(100, -1)
    assert np.array_equal(members[:, 576 : 576 + 768].reshape(100, 16, 16, 3), images)


def test_the_same_images_make_the_same_bytes(tmp_path, pixels):
    first, again = (shards.write_shard(tmp_path / name, 64, [0, 1], pixels[:2]) for name in ("a.tar", "b.tar"))
    assert first == again


def refusal(folder) -> str:
    with pytest.raises(DataError) as caught:
        Split(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def damaged(tmp_path, write_images, images_of):
    """A data set of 5 tiny images, to be damaged."""
    return write_images(tmp_path, {"train": images_of(5)}, per_shard=3, name="mine").shards("train", "mine")


def test_a_truncated_shard_is_refused_with_its_remedy(damaged):
    path = damaged / "000001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    message = refusal(damaged)
    assert f"{path}: " in message
    assert "the manifest says" in message
    assert f"run `python -m colorize.verify --repair {damaged} && dvc repro shard@mine`" in message


def test_a_missing_shard_is_refused(damaged):
    (damaged / "000000.tar").unlink()
    assert "000000.tar: the file has 0 bytes, the manifest says" in refusal(damaged)


def test_a_tar_of_another_geometry_is_refused(damaged):
    path = damaged / "000000.tar"
    content = bytearray(path.read_bytes())
    content[512:515] = b"P5\n"
    path.write_bytes(content)
    assert "not a shard of 16x16 images" in refusal(damaged)


def test_without_a_manifest_the_stage_to_run_is_named(tmp_path):
    assert "make it with `dvc repro shard@mine`" in refusal(tmp_path / "mine")


def test_a_manifest_of_another_format_is_refused(damaged):
    path = damaged / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": "strided-ppm-9"}))
    assert "format 'strided-ppm-9', expected 'strided-ppm-2'" in refusal(damaged)


def test_a_damaged_manifest_is_refused(damaged):
    path = damaged / "manifest.json"
    path.write_text(path.read_text()[:-10])
    assert "manifest.json: damaged" in refusal(damaged)


def change(folder, path: tuple, value) -> None:
    """Put a value into the manifest, at a path of keys."""
    manifest = place = json.loads((folder / "manifest.json").read_text())
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), ["strided-ppm-2"]), (("size",), "16"), (("size",), True), (("size",), 0), (("size",), 10**9),
        (("size",), float("nan")), (("shards",), None), 
        (("split",), "test"), (("dataset",), "other"), (("dataset",), None), (("shards",), []), (("shards",), {}),
        (("images",), 6), (("images",), "5"),
        (("shards", 0), "000000.tar"),
        (("shards", 0, "name"), "../000000.tar"),
        (("shards", 0, "name"), "/etc/passwd"),
        (("shards", 0, "name"), "000000.tar\n"),
        (("shards", 0, "images"), -1), (("shards", 0, "images"), 3.0),
        (("shards", 0, "sha256"), "0" * 63),
        (("shards", 0, "sha256"), int("1" * 64)),
        (("parts",), None), (("parts",), []), (("parts",), [5]),
        (("parts",), [{"dataset": "a", "images": 4, "first_key": 0}]),
        (("parts",), [{"dataset": "a", "images": 5}]),
        (("parts",), [{"dataset": "a", "images": 5, "first_key": -1}]),
        (("parts",), [{"dataset": "a", "images": 5, "first_key": 0, "weight": 0}]),
        (("parts",), [{"dataset": "a", "images": 5, "first_key": 0, "weight": 10**12}]),
        (("parts",), [{"dataset": "a", "images": 5, "first_key": 0, "size": 3}]),
    ],
)  # fmt: skip
def test_a_manifest_of_another_shape_is_refused_with_its_remedy(damaged, path, value):
    change(damaged, path, value)
    assert "manifest.json: damaged (" in refusal(damaged)
    assert f"run `python -m colorize.verify --repair {damaged} && dvc repro shard@mine`" in refusal(damaged)


def test_a_shard_that_is_listed_twice_or_empty_is_refused(damaged):
    entries = json.loads((damaged / "manifest.json").read_text())["shards"]
    change(damaged, ("shards",), [entries[0], entries[0]])
    change(damaged, ("images",), 2 * entries[0]["images"])
    assert "a shard is listed twice" in refusal(damaged)
    change(damaged, ("shards",), [{**entries[0], "images": 0}])
    change(damaged, ("images",), 0)
    assert "the list of shards is wrong" in refusal(damaged)


def test_the_images_of_another_split_are_not_taken_for_this_one(damaged):
    """Otherwise a model would be tested on the images that it was trained on."""
    other = damaged.parents[1] / "test" / "mine"
    shutil.copytree(damaged, other)
    assert "manifest.json: damaged (it belongs to 'train' of 'mine')" in refusal(other)


@pytest.mark.parametrize("content", [b"", b"[]", b"5", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_a_manifest_that_is_no_object_is_refused(damaged, content):
    (damaged / "manifest.json").write_bytes(content)
    assert "manifest.json: damaged (" in refusal(damaged)


def test_every_flipped_bit_of_a_manifest_is_one_line_or_can_be_read(damaged):
    path = damaged / "manifest.json"
    whole = path.read_bytes()
    num_refused = 0
    for bit in range(8 * len(whole)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            manifest = shards.read_manifest(damaged)
            assert all(len(shard["sha256"]) == 64 for shard in manifest["shards"])
        except DataError as error:
            num_refused += 1
            assert "\n" not in str(error)
    assert num_refused > 6 * len(whole)


def test_a_column_of_a_table_stays_text(tmp_path):
    names = ["0000", "1e5", "NA", "True", "0x10", "nan", " padded ", 'a "quoted"\r\nname', ""]
    with (tmp_path / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("key", "source"), *enumerate(names)])
    assert list(shards.read_column(tmp_path, "source")) == names


@pytest.mark.parametrize("content", [None, b"", b"key,class\n", b"key,source\n1\n", b"key,source\n1,\xff\n"])
def test_a_damaged_table_is_refused_with_its_remedy(tmp_path, content):
    if content is not None:
        (tmp_path / "images.csv").write_bytes(content)
    with pytest.raises(
        DataError, match=r"images\.csv: missing or damaged .*; run `.*verify --repair .* && dvc repro shard@"
    ):
        list(shards.read_column(tmp_path, "source"))


# --- every damage is noticed -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory, write_images, images_of) -> tuple:
    """A data set of one shard, the shard, and its bytes."""
    folders = write_images(tmp_path_factory.mktemp("sound"), {"train": images_of(12)}, per_shard=12, name="mine")
    folder = folders.shards("train", "mine")
    path = folder / "000000.tar"
    return folder, path, path.read_bytes()


def test_500_flips_of_a_bit_are_all_noticed(sound):
    folder, path, whole = sound
    places = np.random.default_rng(0).choice(len(whole) * 8, 500, replace=False)
    for place in places.tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert f"{path}: " in refusal(folder)
    path.write_bytes(whole)
    assert len(Split(folder)) == 12


def test_every_cut_at_a_block_is_noticed(sound):
    folder, path, whole = sound
    for length in range(0, len(whole), shards.TAR_BLOCK):
        path.write_bytes(whole[:length])
        assert f"{path}: the file has {length:,} bytes, the manifest says {len(whole):,}" in refusal(folder)
    path.write_bytes(whole)


def test_a_shard_with_something_behind_it_is_refused(damaged):
    path = damaged / "000000.tar"
    path.write_bytes(path.read_bytes() + bytes(512))
    assert "the manifest says" in refusal(damaged)


# --- shards of a hostile hand ----------------------------------------------------------------------------------------


class Executed:
    """A pickle that leaves a file where it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def hostile_tar(length: int, owned) -> bytes:
    """A tar of the given length with members that stock decoders would execute, and names that lead elsewhere."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("00000000.pyd", "00000000.pickle", "00000000.pth", "../../escape.ppm"):
            info, content = tarfile.TarInfo(name), pickle.dumps(Executed(owned))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue().rstrip(b"\0").ljust(length, b"\0")


@pytest.mark.parametrize("has_right_digest", [False, True])
def test_a_tar_with_pickles_and_other_members_is_refused_and_nothing_executed(damaged, tmp_path, has_right_digest):
    path, owned = damaged / "000000.tar", tmp_path / "owned"
    content = hostile_tar(path.stat().st_size, owned)
    path.write_bytes(content)
    if has_right_digest:
        manifest = json.loads((damaged / "manifest.json").read_text())
        manifest["shards"][0]["sha256"] = hashlib.sha256(content).hexdigest()
        (damaged / "manifest.json").write_text(json.dumps(manifest))
    assert f"{path}: not a shard of 16x16 images" in refusal(damaged)
    assert not owned.exists()
