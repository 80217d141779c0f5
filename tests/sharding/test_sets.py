"""Data sets of many archives: sets of tars in the layout of img2dataset, lists of images, compressed tars."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from colorize.archives import parts
from colorize.layout import Folders
from colorize.runtime import DataError, ParameterError, files
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


def raise_(error: BaseException):
    """A function that raises an error."""

    def function(*_: object, **__: object) -> None:
        raise error

    return function


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


@pytest.mark.parametrize(("first", "last"), [(0, 0), (2, 2)])
def test_a_range_may_be_a_single_tar(shard, laion, first, last):
    _, manifests = shard(f"path: laion/{{{first:05d}..{last:05d}}}.tar\n{SPLITS}")
    assert sum(manifest["images"] for manifest in manifests.values()) == 12


def test_the_name_of_the_folder_of_raw_archives_is_no_pattern(shard, laion, monkeypatch, tmp_path):
    (tmp_path / "raw").rename(tmp_path / "raw [1] {1..2}")
    monkeypatch.setenv("COLORIZE_RAW", str(tmp_path / "raw [1] {1..2}"))
    expected = shards_of(shard(f"path: laion\n{SPLITS}", "folder")[0])
    for name in ("*.tar", "{00000..00002}.tar"):
        assert shards_of(shard(f"path: 'laion/{name}'\n{SPLITS}", name)[0]) == expected


def test_hidden_files_beside_the_tars_are_ignored(shard, laion):
    (laion / "._00000.tar").write_bytes(b"\0\5\x16\7")  # macOS writes such files
    (laion / ".cache").mkdir()
    _, manifests = shard(f"path: laion\n{SPLITS}")
    assert manifests["train"]["archive"]["archives"] == 3


def test_a_tar_whose_name_is_not_utf8_is_one_line(shard, laion):
    (laion / "00000.tar").rename(laion / os.fsdecode(b"caf\xe9.tar"))
    with pytest.raises(DataError, match=r"laion: the file name 'caf.*.tar' is not UTF-8; rename the file$"):
        shard(f"path: laion\n{SPLITS}")


def test_a_pattern_may_name_folders_of_images(shard, tmp_path, pictures):
    for number, picture in enumerate(pictures):
        path = tmp_path / f"raw/days/{number % 2}/{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    folders, _ = shard(f"path: days/*\n{SPLITS}")
    assert {row["source"] for row in rows(folders)} == {f"{number % 2}/{number}.jpg" for number in range(36)}


def test_no_tar_of_an_earlier_run_stays(shard, laion):
    folders, _ = shard(f"path: laion\n{SPLITS}")
    extra = folders.shards("train", "mine") / "000099.tar"
    extra.write_bytes(b"x")
    shard(f"path: laion\n{SPLITS}")
    assert not extra.exists()


def test_patterns_of_splits_without_the_name_of_the_tar_are_explained(shard, laion):
    text = "splits: {train: {glob: '00000????.jpg'}, val: {glob: '*'}, test: {glob: '*'}}\n"
    with pytest.raises(DataError, match=r"no file is an image of split 'train'; .* such as '00000.tar/000000000.jpg'"):
        shard(f"path: laion\n{text}")


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


def test_an_ending_that_no_file_has_is_one_line(shard, laion):
    with pytest.raises(DataError, match=r"^\*.cls: names no image of a split; correct `lists` or `class_file` in "):
        shard(f"path: laion\nclass_file: {{}}\n{SPLITS}")


def test_null_is_no_class(shard, laion, pictures):
    write_tar(laion / "00003.tar", {"a.jpg": pictures[0], "a.json": b'{"kind": null}'})
    folders, _ = shard(f"path: laion\nclass_file: {{ending: json, key: kind}}\n{SPLITS}")
    assert [row["class"] for row in rows(folders) if row["source"] == "00003.tar/a.jpg"] == [""]


def test_a_json_that_is_none_is_one_line(shard, laion):
    write_tar(laion / "00003.tar", {"a.jpg": b"x", "a.json": b"{"})
    with pytest.raises(
        DataError, match=r"00003.tar: 'a.json' gives no class \(.*\); correct the file or `class_file`$"
    ):
        shard(f"path: laion\nclass_file: {{ending: json, key: kind}}\n{SPLITS}")


def zstd(content: bytes) -> bytes:
    return pytest.importorskip("zstandard", reason="zstandard is missing: `make scale` installs it").compress(content)


@pytest.mark.parametrize(
    ("compress", "ending"),
    [(gzip.compress, "gz"), (bz2.compress, "bz2"), (lzma.compress, "xz"), (zstd, "zst")],
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


def test_a_compressed_file_that_is_no_tar_is_named(shard, laion):
    (laion / "00003.tar.gz").write_bytes(gzip.compress(b"no tar" * 1000))
    with pytest.raises(DataError, match=r"^/.*/raw/laion/00003.tar.gz: .*: damaged, or neither a zip nor"):
        shard(f"path: laion\n{SPLITS}")


def test_a_disk_that_is_full_is_not_called_a_damaged_archive(tmp_path, monkeypatch):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(b"x" * 1000))
    monkeypatch.setattr(files._Output, "write", raise_(DataError("disk full: free some space and run again")))
    with pytest.raises(DataError, match=r"^disk full: free some space and run again$"):
        parts.local_copy(parts.part_of("path", path), tmp_path / "copies/000000.tar")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_that_unpacks_to_far_more_than_photos_do_is_refused(tmp_path, monkeypatch, compress):
    monkeypatch.setattr(parts, "_ALWAYS_ALLOWED", 1 << 20)
    path, copy = tmp_path / "a.tar.gz", tmp_path / "copies/000000.tar"
    path.write_bytes(compress(bytes(5 << 20)))
    with pytest.raises(DataError, match=r"a.tar.gz: unpacks to more than 1,048,576 bytes, 100 times its length"):
        parts.local_copy(parts.part_of("path", path), copy)
    assert not [found for found in copy.parent.iterdir() if found.suffix != ".lock"]


def test_an_unpacked_archive_leaves_a_tenth_of_the_disk(tmp_path, monkeypatch):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(bytes(1000)))
    monkeypatch.setattr(parts.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1100))
    with pytest.raises(DataError, match=r"more than 990 bytes, nine tenths of the free disk space; free some space"):
        parts.local_copy(parts.part_of("path", path), tmp_path / "copies/000000.tar")


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
        ("name,split\na.jpg,train\n", "list.csv: the columns are name, split; expected path, class, split"),
        ("path,split\na.jpg,trian\n", "'a.jpg' has the split 'trian'; expected train, val, test or no text"),
        ("path,split\n,train\n", "line 2 has no path"),
        ("path,split\na,b.jpg,train\n", "line 2 has too many columns; put a name with a comma in double quotes"),
        ('path,split\n"a.jpg,train\n', "cannot be read as a list of images (unexpected end of data)"),
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
    assert str(caught.value).count("list.csv") == 1


def test_a_list_of_excel_with_odd_names_is_read(shard, photos, tmp_path):
    names = ["new\nline, and comma.jpg", "\u05e9\u05dc\u05d5\u05dd\u202e.jpg", "../photos/00.jpg"]
    for name in names[:2]:
        (photos / name).write_bytes((photos / "01.jpg").read_bytes())
    lines = [f'"{name}",{split}\r\n' for name, split in zip(names, ("train", "val", "test"), strict=True)]
    (photos / "list.csv").write_bytes(("\ufeffpath,split\r\n" + "".join(lines)).encode())
    assert [row["source"] for row in rows(shard("path: photos/list.csv\n")[0])] == names


def test_missing_files_of_a_list_are_counted_as_empty_ones(shard, photos):
    (photos / "list.csv").write_text("path\ngone.jpg\n" + "".join(f"{n:02d}.jpg\n" for n in range(36)))
    with pytest.raises(DataError, match=r"1 of \d+ images are broken.*: 1 empty file \(first: 'gone.jpg'\)"):
        shard(f"path: photos/list.csv\n{SPLITS}")


def test_the_patterns_of_splits_may_overlap_in_a_list_too(shard, photos):
    (photos / "list.csv").write_text("path\n" + "".join(f"{n:02d}.jpg\n" for n in range(36)))
    globs = {"train": "*", "val": "0*", "test": "1*"}
    text = "".join(f"  {split}: {{glob: '{glob}'}}\n" for split, glob in globs.items())
    _, manifests = shard(f"path: photos/list.csv\nsplits:\n{text}")
    assert [manifest["images"] for manifest in manifests.values()] == [36, 10, 10]


def test_class_files_need_a_key_for_json_alone(tmp_path):
    for text in ("{ending: json}", "{ending: cls, key: a}"):
        (tmp_path / "mine.yaml").write_text(f"path: a.tar\nclass_file: {text}\n{SPLITS}")
        with pytest.raises(ParameterError, match="give a key for the ending json, and for no other ending"):
            sources.load("mine", tmp_path)


def test_a_range_cannot_name_more_archives_than_anybody_has(tmp_path):
    with pytest.raises(DataError, match="a range of more than 10,000,000 archives"):
        parts.find("path", tmp_path, "{0..99999999999}.tar", bool)
    with pytest.raises(DataError, match="a range of more than 10,000,000 archives"):
        parts.find("path", tmp_path, "{0..9999}/{0..9999}.tar", bool)


def test_a_range_that_counts_down_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"^\{2..1\}.tar: a range must not count down; correct `path`$"):
        parts.find("path", tmp_path, "{2..1}.tar", bool)


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


def test_a_range_in_a_bucket_names_nothing_else(s3):
    for number in range(2):
        s3.put(f"single/{number}.tar", b"x")
    assert [part.path for part in parts.find_objects("path", s3.url("single/{1..1}.tar"))] == [s3.url("single/1.tar")]
    with pytest.raises(DataError, match=r"a range must not count down"):
        parts.find_objects("path", s3.url("single/{1..0}.tar"))
    with pytest.raises(DataError, match=r"give a range or a pattern, not both"):
        parts.find_objects("path", s3.url("single/{0..1}*.tar"))


def test_a_missing_object_of_a_range_is_named(shard, s3):
    s3.put("short/00000.tar", b"x")
    with pytest.raises(DataError, match=r"short/00001.tar: no such file; 2 of the 3 archives are missing$"):
        shard(f"path: {s3.url('short')}/{{00000..00002}}.tar\n{SPLITS}")
