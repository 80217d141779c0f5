"""Sources are checked as a whole, and list the same images under the same keys wherever they are."""

import shutil
from pathlib import Path

import pytest

from colorize.archives import containers, parts
from colorize.data.shards import SPLITS
from colorize.runtime import DataError, ParameterError
from colorize.sharding import sources
from tests.helpers.listing import list_images

TRACKED = Path(__file__).parents[2] / "sources"


def published(name: str, folder: Path, real_layouts: dict[str, bytes]) -> tuple[sources.Source, dict[str, Path]]:
    """A tracked source and small archives in its layout."""
    source = sources.load(name, TRACKED)
    for file in source.files:
        (folder / file).write_bytes(real_layouts[file])
    return source, {file: folder / file for file in source.files}


# --- listing ---------------------------------------------------------------------------------------------------------


def test_keys_are_positions_in_the_sorted_listing(tmp_path, real_layouts):
    source, paths = published("tiny_imagenet", tmp_path, real_layouts)
    train = list_images(source, paths).splits["train"]
    names = [member.entry.name for member in train]
    assert names == sorted(names) and names[1].endswith("n01443537_1.JPEG")
    assert [member.class_name for member in train] == ["n01443537"] * 3 + ["n02123045"] * 3
    with containers.Reader(paths["tiny-imagenet-200.zip"]) as reader:
        assert bytes(reader.read(train[0].entry)).startswith(b"train/n01443537/images/n01443537_0.JPEG")


def test_classes_of_places_may_be_nested(tmp_path, real_layouts):
    source, paths = published("places365", tmp_path, real_layouts)
    splits = list_images(source, paths).splits
    assert [member.class_name for member in splits["train"]] == [
        "a/airfield",
        "a/apartment_building/outdoor",
    ]
    assert [member.entry.name for member in splits["val"]] == [
        "val_256/Places365_val_00000001.jpg",
        "val_256/Places365_val_00000002.jpg",
    ]


def test_validation_images_have_the_classes_of_the_published_lists(tmp_path, real_layouts):
    tiny = list_images(*published("tiny_imagenet", tmp_path, real_layouts)).splits
    assert [member.class_name for member in tiny["val"]] == ["n02123045", "n01443537", "n01443537", "n02123045"]
    places = list_images(*published("places365", tmp_path, real_layouts)).splits
    assert [member.class_name for member in places["val"]] == ["a/apartment_building/outdoor", "a/airfield"]
    assert [member.class_name for member in places["test"]] == [""]  # none are published
    assert {member.group for members in (*tiny.values(), *places.values()) for member in members} == {""}


def own(tmp_path, **values) -> sources.Source:
    return sources.Source.model_validate({"path": str(tmp_path / "photos"), **values})


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_own_folder_is_split_by_names_and_stays_split_when_images_are_added(tmp_path):
    fill(tmp_path / "photos", *(f"{number}.jpg" for number in range(200)))
    source = own(tmp_path, fractions={"val": 0.1, "test": 0.1})

    def split_of_names():
        splits = list_images(source, sources.locate(source, tmp_path)).splits
        return {member.entry.name: split for split in SPLITS for member in splits[split]}

    before = split_of_names()
    assert len(before) == 200 and 5 < list(before.values()).count("val") < 40
    fill(tmp_path / "photos", *(f"more{number}.jpg" for number in range(50)))
    after = split_of_names()
    assert len(after) == 250
    assert {name: after[name] for name in before} == before


def test_own_images_are_told_by_their_ending_and_classed_by_folder(tmp_path):
    fill(tmp_path / "photos", "cats/1.JPG", "cats/wild/2.webp", "3.png", "notes.txt", ".hidden.jpg",
         "__MACOSX/cats/._1.jpg", "cats/.thumbnails/1.jpg", "dots...name.tiff", "two\nlines.jpg")  # fmt: skip
    source = own(tmp_path, fractions={"val": 0, "test": 0})
    found = list_images(source, sources.locate(source, tmp_path), ["train"]).splits["train"]
    assert {member.entry.name: member.class_name for member in found} == {
        "cats/1.JPG": "cats",
        "cats/wild/2.webp": "cats/wild",
        "3.png": "",
        "dots...name.tiff": "",
        "two\nlines.jpg": "",
    }


def test_own_splits_by_shell_patterns(tmp_path):
    fill(tmp_path / "photos", "train/a.jpg", "val/b.jpg", "test/c.jpg", "test/c.txt")
    source = own(tmp_path, splits={name: {"glob": f"{name}/*.jpg"} for name in SPLITS})
    splits = list_images(source, sources.locate(source, tmp_path)).splits
    assert [[member.entry.name for member in splits[name]] for name in SPLITS] == [
        ["train/a.jpg"],
        ["val/b.jpg"],
        ["test/c.jpg"],
    ]


def test_relative_path_is_looked_up_among_the_raw_archives(tmp_path):
    fill(tmp_path / "raw" / "holiday", "a.jpg")
    source = own(tmp_path, path="holiday", fractions={"val": 0, "test": 0})
    (part,) = sources.locate(source, tmp_path / "raw")
    assert part.path == str(tmp_path / "raw" / "holiday")


def test_links_to_photos_are_photos_and_links_to_nothing_are_counted(tmp_path):
    fill(tmp_path, "disk/a.jpg")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "b.jpg").symlink_to(tmp_path / "disk" / "a.jpg")
    (tmp_path / "photos" / "c.jpg").symlink_to("nowhere")
    source = own(tmp_path, fractions={"val": 0, "test": 0})
    listed = list_images(source, sources.locate(source, tmp_path), ["train"])
    assert [member.name for member in listed.splits["train"]] == ["b.jpg"]
    assert listed.skipped == {"path": {"broken link": 1}}


@pytest.mark.parametrize("name", ["tiny_imagenet", "places365"])
def test_an_extracted_archive_counts_as_the_archive(tmp_path, real_layouts, monkeypatch, name):
    monkeypatch.setattr(sources.download, "ensure", lambda path, *_: path)  # the small archives have other checksums
    source, paths = published(name, tmp_path, real_layouts)
    expected = list_images(source, paths)
    for file, path in paths.items():
        if source.archives[file].extracted:
            shutil.unpack_archive(path, tmp_path)
            path.unlink()
    found = sources.locate(source, tmp_path)
    listed = list_images(source, found)
    for split, members in expected.splits.items():
        assert [member[1:] for member in listed.splits[split]] == [member[1:] for member in members]
    assert listed.skipped == expected.skipped
    described = sources.describe_archives(source, found)
    assert {entry["file"] for entry in described.values() if entry["bytes"] is None} == {
        archive.extracted for archive in source.archives.values() if archive.extracted
    }
    assert not any(entry["is_published"] for entry in described.values() if entry["bytes"] is None)


def test_relative_path_is_looked_up_in_the_main_repository(tmp_path, monkeypatch):
    """`dvc exp run --temp` works in a copy that lacks untracked folders."""
    fill(tmp_path / "main" / "photos", "a.jpg")
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    source = own(tmp_path, path="photos", fractions={"val": 0, "test": 0})
    (part,) = sources.locate(source, tmp_path / "raw")
    assert part.path == str(tmp_path / "main" / "photos")


def test_every_archive_is_scanned_once(tmp_path, real_layouts, monkeypatch):
    """Except those with lists of classes, which are small where they are archives of their own."""
    scanned = []
    scan = containers.scan
    monkeypatch.setattr(containers, "scan", lambda path, *below: scanned.append(path.name) or scan(path, *below))
    for name in ("tiny_imagenet", "places365"):
        source, paths = published(name, tmp_path, real_layouts)
        list_images(source, paths)
    files = [*sources.load("tiny_imagenet", TRACKED).files, *sources.load("places365", TRACKED).files]
    assert sorted(scanned) == sorted([*files, *["filelist_places365-standard.tar"] * 3])


def test_found_archives_are_described_without_their_place(tmp_path, real_layouts):
    source, paths = published("tiny_imagenet", tmp_path, real_layouts)
    found = [parts.part_of(file, path) for file, path in paths.items()]
    (archive,) = sources.describe_archives(source, found).values()
    size = len(real_layouts["tiny-imagenet-200.zip"])
    assert archive == {"file": "tiny-imagenet-200.zip", "bytes": size, "is_published": False}
    original = source.archives[archive["file"]].model_copy(update={"bytes": size})
    source = source.model_copy(update={"archives": {archive["file"]: original}})
    assert sources.describe_archives(source, found)[archive["file"]]["is_published"] is True
    fill(tmp_path / "photos", "a.jpg")
    mine = own(tmp_path, fractions={"val": 0, "test": 0})
    described = sources.describe_archives(mine, sources.locate(mine, tmp_path))
    assert described == {"path": {"file": "photos", "bytes": None, "is_published": None}}


# --- refusals --------------------------------------------------------------------------------------------------------


def test_missing_local_path_is_named(tmp_path, expect_one_line):
    with expect_one_line(DataError, tmp_path / "photos", "path"):
        sources.locate(own(tmp_path, fractions={"val": 0, "test": 0}), tmp_path)


def test_empty_and_missing_splits_are_refused(tmp_path, expect_one_line):
    fill(tmp_path / "photos", "train/a.jpg")
    source = own(tmp_path, splits={"train": {"glob": "train/*"}, "val": {"glob": "val/*"}})
    paths = sources.locate(source, tmp_path)
    with expect_one_line(DataError, "'val'", "val/*", "train/a.jpg"):
        list_images(source, paths, ["train", "val"])
    with expect_one_line(DataError, "no split 'test'"):
        list_images(source, paths)


def test_too_few_images_for_the_fractions_are_told_so(tmp_path, expect_one_line):
    fill(tmp_path / "photos", "a.jpg", "b.jpg", "notes.txt")
    for fractions, remedy in (
        ({"val": 1e-9, "test": 1e-9}, "none of its 2 images falls into split 'val'; raise fractions.val"),
        ({"val": 1 - 1e-9, "test": 0}, "split 'train'; lower fractions.val and fractions.test"),
    ):
        source = own(tmp_path, fractions=fractions)
        with expect_one_line(DataError, tmp_path / "photos", remedy):
            list_images(source, sources.locate(source, tmp_path))


def test_a_folder_of_broken_links_names_how_many_were_skipped(tmp_path, expect_one_line):
    (tmp_path / "photos").mkdir()
    for name in ("b.jpg", "c.jpg"):
        (tmp_path / "photos" / name).symlink_to(tmp_path / "nowhere.jpg")
    source = own(tmp_path, fractions={"val": 0.1, "test": 0.1})
    with expect_one_line(DataError, "0 files", "skipped: 2 broken link"):
        list_images(source, sources.locate(source, tmp_path))


def write_source(folder: Path, text: str) -> None:
    (folder / "mine.yaml").write_text(text)


def test_every_problem_of_a_source_file_is_named_at_once(tmp_path, expect_one_line):
    write_source(tmp_path, "licence: x\npath: y\nfractions: {val: 2}\nimages: {regex: '('}\n")
    words = ("licence", "fractions.val", "fractions.test is missing", "images.regex")
    with expect_one_line(ParameterError, "mine.yaml", *words):
        sources.load("mine", tmp_path)


def test_a_misspelt_key_is_answered_with_the_nearest_at_any_depth(tmp_path, expect_one_line):
    text = "licence: x\narchives: {a.zip: {url: 'http://a', mdf5: x}}\nsplits: {train: {globb: a}}\n"
    write_source(tmp_path, text)
    words = ("licence: no such key (did you mean license?)", "mdf5: no such key (did you mean md5?)", "mean glob?")
    with expect_one_line(ParameterError, *words):
        sources.load("mine", tmp_path)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("path: a\npath: b\n", "twice"),
        ("archives: {..: {url: 'http://a', md5: '" + "0" * 32 + "'}}\nsplits: {train: {}}\n", "plain file"),
        ("- a\n", "list"),
        ("", "NoneType"),
        ("path: !!python/object/apply:os.getcwd []\n", "YAML"),
        ("path: b\nfractions: {val: .nan, test: 0}\n", "fractions.val: input should be a finite number"),
        ("path: b\nfractions: {val: true, test: 0}\n", "fractions.val: input should be a valid number"),
        ("archives: {a.zip: {url: 'file:///etc/passwd', md5: x}}\n", "archives.a.zip.url"),
        ("path: [\n", "YAML"),
        ("credit: a\n", "exactly one of archives, path and sample"),
        ("path: b\n", "exactly one of splits and fractions"),
        ("path: b\nfractions: {val: 0.5, test: 0.5}\n", "no images for training"),
        ("path: b\nsplits: {train: {glob: a, regex: b}}\n", "not both"),
        ("archives: {a.zip: {url: 'http://a/a.zip'}}\nfractions: {val: 0, test: 0}\n", "md5 or a sha256"),
        (
            "archives: {../a.zip: {url: 'http://a', md5: '" + "0" * 32 + "'}}\nsplits: {train: {}}\n",
            "plain file",
        ),
        ("path: b\nsplits: {train: {archive: c.zip}}\n", "c.zip"),
        ("path: b\nsplits: {training: {}}\n", "training"),
    ],
)
def test_wrong_source_files_are_refused_in_one_line(tmp_path, text, word, expect_one_line):
    write_source(tmp_path, text)
    with expect_one_line(ParameterError, "mine.yaml", word):
        sources.load("mine", tmp_path)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("https://user:hunter2@h/a.zip", "~/.netrc"),
        ("https://user:hunter2/hunter2@h/a.zip", "~/.netrc"),
        ("https://h/a.zip?X-Amz-Credential=me&X-Amz-Signature=hunter2", "download the file yourself"),
        ("https://h/a.zip?se=2030&sig=hunter2", "download the file yourself"),
        ("https://h/a.zip?access_token=hunter2", "download the file yourself"),
        ("s3://me:hunter2@bucket/a.zip", "environment variables"),
        ("s3://bucket/a.zip?key=hunter2", "environment variables"),
        ("ftp://me:hunter2@h/a.zip?hunter2", "s3://"),
        ("https://h/a b", "correct it"),
        ("s3://bucket/folder/", "one object"),
        ("s3://bucket/*.zip", "one object"),
    ],
)
def test_addresses_that_hold_a_secret_or_name_no_single_file_are_refused_without_showing_it(tmp_path, url, word):
    write_source(
        tmp_path, f"archives: {{a.zip: {{url: '{url}', md5: '{'0' * 32}'}}}}\nfractions: {{val: 0, test: 0}}\n"
    )
    with pytest.raises(ParameterError) as caught:
        sources.load("mine", tmp_path)
    message = str(caught.value)
    assert "archives.a.zip.url: " in message and word in message and message.isprintable()
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "url",
    ["https://h:80/@me/a.zip?download=1", "http://h/a.zip", "s3://b/a b@c.zip", "gs://b/a.zip", "az://b/a.zip",
     "http://[::1]:80/a@b.zip"],
)  # fmt: skip
def test_addresses_without_a_secret_are_accepted(tmp_path, url):
    write_source(
        tmp_path, f"archives: {{a.zip: {{url: '{url}', md5: '{'0' * 32}'}}}}\nfractions: {{val: 0, test: 0}}\n"
    )
    assert sources.load("mine", tmp_path).archives["a.zip"].url == url


def test_unknown_data_set_lists_the_known_ones():
    known = "objects, places365, scenes, tiny_imagenet"
    with pytest.raises(ParameterError, match=f"nothing.yaml: no such data set; the data sets are: {known}$"):
        sources.load("nothing", TRACKED)


def test_the_file_of_titles_is_no_data_set(expect_one_line):
    with expect_one_line(ParameterError, TRACKED / "titles.yaml", "no data set can be named 'titles'"):
        sources.load("titles", TRACKED)


def test_a_title_in_a_source_file_is_told_where_it_belongs(tmp_path, expect_one_line):
    write_source(tmp_path, "title: Mine\npath: b\nfractions: {val: 0, test: 0}\n")
    with expect_one_line(ParameterError, "mine.yaml: title: no such key", f"titles are in {tmp_path / 'titles.yaml'}"):
        sources.load("mine", tmp_path)


def test_messages_about_images_name_the_source_file(tmp_path, expect_one_line):
    fill(tmp_path / "photos", "train/a.jpg")
    write_source(tmp_path, f"path: {tmp_path / 'photos'}\nsplits: {{train: {{}}, val: {{glob: val/*}}}}\n")
    source = sources.load("mine", tmp_path)
    paths = sources.locate(source, tmp_path)
    with expect_one_line(DataError, tmp_path / "mine.yaml", "no split 'test'"):
        list_images(source, paths)
    with expect_one_line(DataError, "split 'val'", f"correct {tmp_path / 'mine.yaml'}"):
        list_images(source, paths, ["val"])


def test_tracked_sources_and_the_example_are_valid(tmp_path):
    for path in TRACKED.glob("*.yaml"):
        if path.stem != sources.TITLES:
            assert sources.load(path.stem, TRACKED).credit
    example = (TRACKED / "own_images.yaml.example").read_text()
    (tmp_path / "own_images.yaml").write_text(example)
    assert sources.load("own_images", tmp_path).fractions is not None


def test_published_facts_of_the_papers_data_sets():
    tiny = sources.load("tiny_imagenet", TRACKED).archives["tiny-imagenet-200.zip"]
    assert (tiny.bytes, tiny.md5) == (248100043, "90528d7ca1a48142e341f4ef8d21d0de")
    places = sources.load("places365", TRACKED).archives
    assert {name: archive.md5 for name, archive in places.items()} == {
        "train_256_places365standard.tar": "53ca1c756c3d1e7809517cc47c5561c5",
        "val_256.tar": "e27b17d8d44f4af9a78502beb927f808",
        "test_256.tar": "f532f6ad7b582262a2ec8009075e186b",
        "filelist_places365-standard.tar": "35a0585fee1fa656440f3ab298f8479c",
    }
