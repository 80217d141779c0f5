"""Files as they lie in the folders of users: a data set and the command line agree on every one of them."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest

from colorize import __main__ as command
from colorize.archives import containers
from colorize.archives.entry import Entry
from colorize.commands import models, photo_file, photos
from colorize.layout import Folders
from colorize.photos import photo
from colorize.photos.photo import Photo
from colorize.photos.predict import Colorized, Prediction
from colorize.sharding import build, formats, images, listing, sources
from tests.helpers.odd_images import encoded
from tests.helpers.rights import without_rights
from tests.sharding.test_kinds import KINDS, Used

ENDINGS = (*formats._ENDINGS["JPEG"], "png", "TIF", "avif", "jp2", "pgm")
LEFT_OUT = ("notes.txt", "more.TXT", "photo.heic", "archive.zip", "no ending")


class Echo:
    """Stands for a model: gives the photo back."""

    name, sha256, temperature, size, strength = "echo", "0" * 64, None, None, 1.0

    def predict(self, photos: list[Photo], entropy: bool) -> list[Prediction]:
        return [Prediction(None, None) for _ in photos]

    def join(self, photo: Photo, prediction: Prediction, layout: str, advance, threads: int) -> Colorized:
        pixels = photo.pixels if photo.pixels.ndim == 3 else np.repeat(photo.pixels[..., None], 3, axis=2)
        return Colorized(pixels, None, 0.0, prediction)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in, with a model for the command line that changes no pixel."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "find", Path)
    monkeypatch.setattr(photos, "_load", lambda model, options: Echo())
    monkeypatch.setenv("COLORIZE_PROCS", "1")
    return tmp_path


def colorize(*arguments: str) -> int:
    try:
        command.main("photos", *arguments, "-o", "out", "--format", "png")
    except SystemExit as error:
        return error.code
    return 0


def test_a_data_set_and_the_command_line_agree_on_every_kind_of_file(here, capsys):
    names = {kind: f"photos/{n:03d}.{ENDINGS[n % len(ENDINGS)]}" for n, kind in enumerate(KINDS)}
    Path("photos").mkdir()
    for kind, name in names.items():
        Path(name).write_bytes(KINDS[kind][0])
    for name in LEFT_OUT:
        Path("photos", name).write_bytes(encoded("PNG"))
    assert colorize("photos") == 3
    said, complained = (text.splitlines() for text in capsys.readouterr())
    source = sources.Source.model_validate({"path": str(here / "photos"), "fractions": {"val": 0, "test": 0}})
    found = sources.locate(source, here)
    listed = listing.list_part(source, found[0], found, lambda part: Path(part.path), ["train"])
    assert [f"photos/{member.name}" for member in listed.splits["train"]] == sorted(names.values())
    for kind, name in names.items():
        data, expected = KINDS[kind]
        try:
            images.decode(data, 64)
        except images.Reject as reject:
            assert not isinstance(expected, Used)
            assert f"error: {name}: {photo_file.reason_of(reject, images.MAX_PIXELS)}" in complained
        else:
            read = photo.read(data)
            note = ", ".join([read.note] * bool(read.note) + ["its own colors were not used"] * (read.pixels.ndim == 3))
            result = f"out/{Path(name).stem}.png"
            fitted = "colors of 0.0 % of the pixels reduced to fit into sRGB"
            assert f"{name} -> {result}  ({f'{note}; ' if note else ''}{fitted})" in said
            mine, expected = (np.asarray(images.open_rgb(content)) for content in (Path(result).read_bytes(), data))
            assert np.array_equal(mine, expected)
    assert len(said) + sum(line.startswith("error: ") for line in complained) == len(KINDS)
    assert f"left out: 5 files (.txt 2, .heic 1, .zip 1, no ending 1); HEIC: {formats.HEIC_REMEDY}" in complained


def test_a_folder_without_photos_says_what_is_in_it(here, capsys):
    Path("photos").mkdir()
    for name in ("a.heic", "b.HEIC", ".hidden.jpg"):
        Path("photos", name).write_bytes(b"x")
    assert colorize("photos") == 3
    assert capsys.readouterr().err.splitlines() == [
        "error: photos: no photos in this folder",
        f"left out: 2 files (.heic 2); HEIC: {formats.HEIC_REMEDY}",
    ]


def test_a_file_that_is_named_is_not_left_out(here, capsys):
    Path("photos").mkdir()
    for name in ("photo", "other.png"):
        Path("photos", name).write_bytes(encoded("PNG"))
    assert colorize("photos", "photos/photo") == 0
    (summary,) = capsys.readouterr().err.splitlines()
    assert summary.startswith("2 photos colored in ") and summary.endswith(" s, into out/")


def shard(settings, fraction: float = 1.0) -> tuple[dict, str]:
    """Shard the folder `photos`, whose images are in all splits; returns the manifest of train and the summary."""
    Path("sources").mkdir()
    splits = "{train: {glob: '*'}, val: {glob: '*'}, test: {glob: '*'}}"
    Path("sources/mine.yaml").write_text(f"{{path: {Path('photos').resolve()}, splits: {splits}}}")
    section = settings.shard.model_copy(update={"max_leaked": None, "max_reject_fraction": fraction})
    manifests = build.shard("mine", section, Folders(Path("data")))
    return manifests["train"], build.describe(manifests)


@pytest.fixture
def unreadable(here) -> Path:
    """A folder with two photos, of which one may not be read."""
    Path("photos").mkdir()
    for name in ("closed.png", "open.png"):
        Path("photos", name).write_bytes(encoded("PNG"))
    Path("photos/closed.png").chmod(0)
    top = Path(tempfile.gettempdir())
    for above in (here, *itertools.takewhile(lambda parent: parent != top, here.parents)):
        above.chmod(0o777)  # a user without rights must reach the other photo
    return here


def test_a_photo_of_a_data_set_that_may_not_be_read_is_counted(unreadable, settings, monkeypatch):
    read = containers.Reader.read

    def read_without_rights(reader: containers.Reader, entry: Entry) -> bytes | memoryview:
        with without_rights():
            return read(reader, entry)

    monkeypatch.setattr(containers.Reader, "read", read_without_rights)
    manifest, summary = shard(settings)
    assert manifest["rejected"] == {"unreadable": {"images": 1, "first": ["closed.png"]}}
    assert manifest["images"] == 1
    assert "1 rejected (unreadable)" in summary


def test_the_command_line_colors_the_photos_beside_one_that_may_not_be_read(unreadable, capsys):
    with without_rights():
        assert colorize("photos") == 3
    failure, summary, failures = capsys.readouterr().err.splitlines()
    assert failure == "error: photos/closed.png: Permission denied"
    assert summary.startswith("1 photo colored in ") and summary.endswith(" s, into out/")
    assert failures == "1 of 2 photos failed; the errors are above"
    assert Path("out/open.png").is_file()
