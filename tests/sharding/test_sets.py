"""Data sets of many archives: sets of tars in the layout of img2dataset, lists of images, compressed tars."""

import bz2
import csv
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest
import zstandard
from PIL import Image

from colorize.archives import parts
from colorize.layout import Folders
from colorize.runtime import DataError, ParameterError
from colorize.sharding import build, sources

SPLITS = "fractions: {val: 0.2, test: 0.2}\n"


def jpeg(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="module")
def pictures(images_of) -> list[bytes]:
    return [jpeg(picture) for picture in images_of(36, 64)]


@pytest.fixture
def shard(tmp_path, monkeypatch, settings):
    """`shard(yaml, out="out")` -> folders, manifests, of a scratch project; raw files are in the folder `raw`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLORIZE_RAW", str(tmp_path / "raw"))
    monkeypatch.setenv("COLORIZE_PROCS", "1")
    Path("sources").mkdir()
    Path("raw").mkdir()

    def run(text: str, out: str = "out") -> tuple[Folders, dict]:
        Path("sources/mine.yaml").write_text(text)
        section = settings.shard.model_copy(update={"per_shard": 5, "max_leaked": None})
        manifests = build.shard("mine", section, Folders(Path(out)))
        build.discard("mine")
        return Folders(Path(out)), manifests

    return run


def rows(folders: Folders) -> list[dict]:
    """The tables of all splits."""
    found = []
    for split in ("train", "val", "test"):
        with (folders.shards(split, "mine") / "images.csv").open(newline="") as file:
            found += list(csv.DictReader(file))
    return found


def shards_of(folders: Folders) -> dict[str, bytes]:
    return {str(path.relative_to(folders.root)): path.read_bytes() for path in folders.root.rglob("*.tar")}


@pytest.fixture
def laion(tmp_path, pictures) -> Path:
    """Three tars of 12 images each, as img2dataset writes them, with a table and statistics beside each."""
    folder = tmp_path / "raw" / "laion"
    for number in range(3):
        members = {}
        for position in range(12):
            stem = f"{number:05d}{position:04d}"
            members[f"{stem}.jpg"] = pictures[12 * number + position]
            members[f"{stem}.txt"] = b"a caption"
            members[f"{stem}.json"] = json.dumps({"caption": "a caption", "kind": f"k{position % 2}"}).encode()
        write_tar(folder / f"{number:05d}.tar", members)
        (folder / f"{number:05d}.parquet").write_bytes(b"PAR1")
        (folder / f"{number:05d}_stats.json").write_text("{}")
    return folder


def test_a_folder_of_tars_is_a_data_set_by_one_line(shard, laion):
    folders, manifests = shard(f"path: laion\n{SPLITS}")
    found = rows(folders)
    assert sorted(row["source"] for row in found) == [
        f"{number:05d}.tar/{number:05d}{position:04d}.jpg" for number in range(3) for position in range(12)
    ]
    assert {row["class"] for row in found} == {""}
    size = sum(path.stat().st_size for path in laion.glob("*.tar"))
    for manifest in manifests.values():
        assert manifest["archive"] == {"file": "laion", "bytes": size, "is_published": None, "archives": 3}
        assert manifest["skipped"] == {"in no split": 72}  # captions and json
    keys = [int(row["key"]) for row in rows(folders)[: manifests["train"]["images"]]]
    assert keys == list(range(len(keys)))
    assert [entry["images"] for entry in manifests["train"]["shards"][:-1]] == [5] * (len(keys) // 5)


@pytest.mark.parametrize("path", ["laion/*.tar", "laion/{00000..00002}.tar", "laion/0000[012].tar"])
def test_patterns_and_ranges_name_the_same_tars(shard, laion, path):
    expected = shards_of(shard(f"path: laion\n{SPLITS}", "folder")[0])
    assert shards_of(shard(f"path: '{path}'\n{SPLITS}")[0]) == expected


def test_a_missing_tar_of_a_range_is_named(shard, laion):
    with pytest.raises(DataError, match=r"00003.tar: no such file; 2 of the 5 archives are missing$"):
        shard(f"path: laion/{{00000..00004}}.tar\n{SPLITS}")


def test_splits_may_be_named_by_tar(shard, laion):
    text = "splits:\n" + "".join(
        f"  {split}: {{glob: '{number:05d}.tar/*.jpg'}}\n" for number, split in enumerate(("train", "val", "test"))
    )
    _, manifests = shard(f"path: laion\n{text}")
    assert [manifest["images"] for manifest in manifests.values()] == [12, 12, 12]


def test_the_class_may_be_in_a_json_beside_the_image(shard, laion):
    folders, manifests = shard(f"path: laion\nclass_file: {{ending: json, key: kind}}\n{SPLITS}")
    assert all(row["class"] == f"k{int(row['source'][-5]) % 2}" for row in rows(folders))
    assert manifests["train"]["skipped"] == {"in no split": 36}  # the captions


def test_the_class_may_be_in_a_cls_beside_the_image(shard, tmp_path, pictures):
    members = {}
    for number, picture in enumerate(pictures):
        members |= {f"{number}.jpg": picture, f"{number}.cls": str(number % 3).encode()}
    write_tar(tmp_path / "raw" / "a.tar", members)
    folders, manifests = shard(f"path: a.tar\nclass_file: {{}}\n{SPLITS}")
    assert all(row["class"] == str(int(row["source"].removesuffix(".jpg")) % 3) for row in rows(folders))
    assert manifests["train"]["skipped"] == {}


def test_a_json_that_is_none_is_one_line(shard, laion):
    write_tar(laion / "00003.tar", {"a.jpg": b"x", "a.json": b"{"})
    with pytest.raises(
        DataError, match=r"00003.tar: 'a.json' gives no class \(.*\); correct the file or `class_file`$"
    ):
        shard(f"path: laion\nclass_file: {{ending: json, key: kind}}\n{SPLITS}")


@pytest.mark.parametrize(
    ("compress", "ending"),
    [(gzip.compress, "gz"), (bz2.compress, "bz2"), (lzma.compress, "xz"), (zstandard.compress, "zst")],
)
def test_compressed_tars_give_the_same_shards(shard, laion, compress, ending):
    expected = shards_of(shard(f"path: laion\n{SPLITS.replace('0.2', '0.3')}", "plain")[0])
    for path in laion.glob("*.tar"):
        path.with_name(f"{path.name}.{ending}").write_bytes(compress(path.read_bytes()))
        path.unlink()
    found, _ = shard(f"path: laion\n{SPLITS.replace('0.2', '0.3')}")
    names = {row["source"].replace(f".tar.{ending}", ".tar") for row in rows(found)}
    assert names == {row["source"] for row in rows(Folders(Path("plain")))}
    assert sum(map(len, shards_of(found).values())) == pytest.approx(sum(map(len, expected.values())), rel=0.2)
    assert not list(Path(".state/shards").iterdir())


def test_tars_beside_images_are_ambiguous(shard, laion):
    (laion / "photo.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"laion: holds tars beside folders or images; write `path: .*/laion/\*.tar`"):
        shard(f"path: laion\n{SPLITS}")


# --- lists of images -------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path, pictures) -> Path:
    folder = tmp_path / "raw" / "photos"
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        (folder / f"{number:02d}.jpg").write_bytes(picture)
    return folder


def test_a_list_gives_class_and_split_of_each_image(shard, photos, tmp_path):
    lines = [f"photos/{n:02d}.jpg,c{n % 2},{('train', 'train', 'val', 'test')[n % 4]}\n" for n in range(36)]
    (tmp_path / "raw" / "list.csv").write_text("path,class,split\n" + "".join(reversed(lines)))
    folders, manifests = shard("path: list.csv\n")
    assert [manifest["images"] for manifest in manifests.values()] == [18, 9, 9]
    assert all(row["class"] == f"c{int(row['source'][7:9]) % 2}" for row in rows(folders))
    assert [row["source"] for row in rows(folders)][:3] == ["photos/00.jpg", "photos/01.jpg", "photos/04.jpg"]


def test_a_list_without_splits_is_divided_by_fractions(shard, photos, tmp_path):
    (photos / "list.csv").write_text("path\n" + "".join(f"{tmp_path}/raw/photos/{n:02d}.jpg\n" for n in range(36)))
    _, manifests = shard(f"path: photos/list.csv\n{SPLITS}")
    assert sum(manifest["images"] for manifest in manifests.values()) == 36


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,split\na.jpg,train\n", "the columns are name, split; expected path, class, split"),
        ("path,split\na.jpg,train\na.jpg,val\n", "'a.jpg' is listed twice; remove one of the lines"),
        ("path,split\na.jpg,train\n", "no line has the split 'val'; correct the column `split`"),
        ("path,split\n\xff\n", "cannot be read as a list of images"),
    ],
)
def test_a_wrong_list_is_one_line(shard, tmp_path, text, words):
    (tmp_path / "raw" / "list.csv").write_bytes(text.encode("latin1"))
    with pytest.raises(DataError) as caught:
        shard("path: list.csv\n")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_class_files_need_a_key_for_json_alone(tmp_path):
    for text in ("{ending: json}", "{ending: cls, key: a}"):
        (tmp_path / "mine.yaml").write_text(f"path: a.tar\nclass_file: {text}\n{SPLITS}")
        with pytest.raises(ParameterError, match="give a key for the ending json, and for no other ending"):
            sources.load("mine", tmp_path)


def test_a_range_cannot_name_more_archives_than_anybody_has(tmp_path):
    with pytest.raises(DataError, match="a range of more than 10,000,000 archives"):
        parts.find("path", tmp_path / "{0..99999999999}.tar", bool)


# --- buckets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "*.tar", "{00000..00002}.tar"])
def test_tars_in_a_bucket_give_the_shards_of_the_local_ones(shard, laion, s3, name):
    expected = shards_of(shard(f"path: laion\n{SPLITS}", "local")[0])
    folder = f"set-{len(name)}"
    for path in laion.iterdir():
        s3.put(f"{folder}/{path.name}", path.read_bytes())
    folders, manifests = shard(f"path: '{s3.url(folder)}/{name}'\n{SPLITS}")
    assert shards_of(folders) == expected
    assert [row["source"] for row in rows(folders)] == [row["source"] for row in rows(Folders(Path("local")))]
    assert manifests["train"]["archive"]["archives"] == 3


def test_a_replaced_object_is_another_input_and_no_secret_is_kept(shard, laion, s3, monkeypatch):
    for path in laion.glob("*.tar"):
        s3.put(f"replaced/{path.name}", path.read_bytes())
    monkeypatch.setattr(build, "discard", lambda name: None)
    text = f"path: {s3.url('replaced')}/\n{SPLITS}"
    before = shards_of(shard(text)[0])
    kept = [path.read_bytes() for path in Path().rglob("*") if path.is_file()]
    assert kept and not any(b"secret-of-the-tests" in content or b"AKIDOFTHETESTS" in content for content in kept)
    s3.put("replaced/00001.tar", (laion / "00000.tar").read_bytes())
    assert shards_of(shard(text)[0]) != before
    assert len(list(Path(".state/shards").glob("mine-*"))) == 2


def test_a_missing_object_of_a_range_is_named(shard, s3):
    s3.put("short/00000.tar", b"x")
    with pytest.raises(DataError, match=r"short/00001.tar: no such file; 2 of the 3 archives are missing$"):
        shard(f"path: {s3.url('short')}/{{00000..00002}}.tar\n{SPLITS}")
