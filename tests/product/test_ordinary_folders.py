"""Photos, folders, archives and disks as people have them are used, by a data set and by the command line."""

import configparser
import contextlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.helpers import outside
from tests.helpers.outside import assert_one_line
from tests.helpers.rights import without_rights


def picture(number: int = 0, side: int = 32) -> Image.Image:
    """A smooth picture; each number gives another one."""
    corners = np.random.default_rng(number).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize((side, side), Image.Resampling.BILINEAR)


def encoded(format: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (picture() if image is None else image).save(file, format, **options)
    return file.getvalue()


JPEG = encoded("JPEG")
DEEP = Image.fromarray(np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 64)


def pages(*types: int) -> bytes:
    """A TIFF of several pages; 1 marks a page of reduced resolution."""
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file) as tiff:
        for number, kind in enumerate(types):
            picture(number, 16 if kind else 32).save(tiff, "TIFF", tiffinfo={254: kind})
            tiff.newFrame()
    return file.getvalue()


SOUND_JPEGS = {
    "zeros before the end": JPEG[:-2] + bytes(16) + JPEG[-2:],
    "fill bytes before the end": JPEG[:-2] + b"\xff" * 9 + JPEG[-2:],
    "no end": JPEG[:-2],
    "a trailer for an end": JPEG[:-2] + bytes(6) + b"SEFH" + bytes(range(90)) + b"SEFT",
    "bytes before a marker": JPEG[:20] + b"\0\0\0" + JPEG[20:],
    "text before a marker": JPEG[:20] + b"made by a camera" + JPEG[20:],
    "JFIF 2.1": JPEG[:11] + b"\x02\x01" + JPEG[13:],
    "JFIF 1.255": JPEG[:11] + b"\x01\xff" + JPEG[13:],
    "a trailer": JPEG + b"SEFH" + bytes(range(90)) + b"SEFT",
}
PAGES = {
    "photo and thumbnail": pages(0, 1),
    "thumbnail first": pages(1, 0),
    "two": pages(0, 0),
    "three": pages(0, 0, 0),
}
FORMATS = {
    "AVIF": encoded("AVIF"),
    "JPEG 2000": encoded("JPEG2000"),
    "codestream of JPEG 2000": encoded("JPEG2000", no_jp2=True),
    "PNG of 16 bits": encoded("PNG", DEEP),
    "TIFF of 16 bits": encoded("TIFF", DEEP),
    "PGM of 16 bits": encoded("PPM", DEEP),
}


@pytest.fixture
def data_set(small_project) -> Callable[..., subprocess.CompletedProcess]:
    """A function that makes `data/raw/mine` a data set, and shards it."""
    (small_project / "data/raw/mine").mkdir()
    outside.change(small_project, "shard.max_leaked", None)

    def shard(source: str = f"path: mine\n{outside.ALL}", **environment: str) -> subprocess.CompletedProcess:
        outside.write(small_project / "sources/tiny.yaml", source)
        shutil.rmtree(small_project / "data/shards")
        return outside.stage(small_project, "shard", "tiny", **environment)

    return shard


def num_images(project: Path) -> int:
    """Images in the shards of all splits."""
    count = 0
    for path in (project / "data/shards").rglob("*.tar"):
        with tarfile.open(path) as tar:
            count += len(tar.getmembers())
    return count


# --- photos ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [SOUND_JPEGS, PAGES, FORMATS], ids=["JPEGs", "pages", "formats"])
def test_a_photo_that_every_viewer_opens_is_used(small_project, data_set, model, kinds):
    folder = small_project / "data/raw/mine"
    for number, content in enumerate(kinds.values()):
        (folder / f"{number}.jpg").write_bytes(content)
    names = [path.name for path in sorted(folder.iterdir())]
    colored = outside.colorize(folder, model, *names)
    failed = [kind for number, kind in enumerate(kinds) if str(number) not in outside.results(folder)]
    assert (colored.returncode, failed) == (0, []), colored.stderr
    shutil.rmtree(folder / "out")
    sharded = data_set()  # no photo of it may be rejected
    assert (sharded.returncode, num_images(small_project)) == (0, 3 * len(kinds)), sharded.stderr


@pytest.mark.parametrize("ending", ["jfif", "jpe", "mpo", "pgm", "J2K"])
def test_a_data_set_knows_the_endings_of_the_command_line(small_project, data_set, ending):
    for number in range(9):
        (small_project / f"data/raw/mine/{number}.{ending}").write_bytes(encoded("PNG", picture(number)))
    done = data_set("path: mine\nfractions: {val: 0.34, test: 0.33}\n")
    assert (done.returncode, num_images(small_project)) == (0, 9), done.stderr


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_a_heic_is_named_with_its_remedy(tmp_path, model, brand):
    (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(40))
    assert_one_line(outside.colorize(tmp_path, model, "photo.jpg"), 3, "photo.jpg: HEIC")


def test_what_a_folder_leaves_out_is_named_by_ending(tmp_path, model):
    (tmp_path / "album").mkdir()
    for name in ("a.png", "b.heic", "c.HEIC", "d.cr2", "e.txt", "no ending"):
        (tmp_path / "album" / name).write_bytes(encoded("PNG"))
    done = outside.colorize(tmp_path, model, "album")
    assert (done.returncode, outside.results(tmp_path)) == (0, {"a"})
    assert all(words in done.stderr for words in ("left out: 5 files", ".heic 2", ".cr2 1", ".txt 1", "no ending 1"))


# --- folders and archives --------------------------------------------------------------------------------------------


def as_links(folder: Path, stored: Path) -> None:
    for path in stored.iterdir():
        (folder / path.name).symlink_to(path)


def as_a_linked_folder(folder: Path, stored: Path) -> None:
    (folder / "album").symlink_to(stored)
    (folder / "album of albums").symlink_to(folder)  # leads back


def as_links_to_links(folder: Path, stored: Path) -> None:
    as_links(stored.with_name("links"), stored)
    as_links(folder, stored.with_name("links"))


@pytest.mark.parametrize("make", [as_a_linked_folder, as_links_to_links])
def test_links_are_followed(small_project, data_set, tmp_path, make):
    for name in ("stored", "links"):
        (tmp_path / name).mkdir()
    for number in range(3):
        (tmp_path / f"stored/{number}.png").write_bytes(encoded("PNG", picture(number)))
    make(small_project / "data/raw/mine", tmp_path / "stored")
    done = data_set()
    assert (done.returncode, num_images(small_project)) == (0, 9), done.stderr


@pytest.mark.parametrize("path", ["mine", "mine/*.tar"])
def test_a_set_of_tars_is_a_data_set(small_project, data_set, path):
    for number in range(3):
        with tarfile.open(small_project / f"data/raw/mine/{number:03d}.tar", "w") as tar:
            content = encoded("PNG", picture(number))
            info = tarfile.TarInfo(f"{number:06d}.png")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    done = data_set(f"path: {path}\n{outside.ALL}")
    assert (done.returncode, num_images(small_project)) == (0, 9), done.stderr


def test_an_extracted_archive_counts_as_the_archive(small_project, monkeypatch):
    monkeypatch.setattr("colorize.archives.download.BACKOFF_S", 0.001)
    folder = small_project / "data/raw/tiny-imagenet-200"
    for number, place in enumerate(("train/n01443537/images", "val/images", "test/images")):
        (folder / place).mkdir(parents=True)
        (folder / place / f"{number}.JPEG").write_bytes(encoded("JPEG", picture(number)))
    (folder / "val/val_annotations.txt").write_text("1.JPEG\tn01443537\t0\t0\t9\t9\n")
    outside.change(small_project, "datasets", ["tiny", "tiny_imagenet"])
    dead = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = outside.stage(small_project, "shard", "tiny_imagenet", **dead)
    assert done.returncode == 0, done.stderr


OTHER_ARCHIVES = {
    "7z x": b"7z\xbc\xaf\x27\x1c",
    "unrar x": b"Rar!\x1a\x07\x01\x00",
    "lz4": b"\x04\x22\x4d\x18",
    "self-extracting": b"MZ\x90\0",
    "a cabinet": b"MSCF",
    "neither a zip nor": bytes(3000) + b"CD001",
    "if it is another kind of archive, unpack it": b"PAR1",
}


@pytest.mark.parametrize("words", OTHER_ARCHIVES)
def test_another_kind_of_archive_is_named_with_its_tool(small_project, words):
    outside.write(small_project / "data/raw/tiny.zip", OTHER_ARCHIVES[words] + bytes(4096))
    assert_one_line(outside.stage(small_project, "shard", "tiny"), 3, words)


# --- rights and disks ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_to_all(project: Path) -> Iterator[Path]:
    """A copy of a project that a user without rights can work in."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(project, Path(folder, "project")))
        for path in (Path(folder), copy, *copy.rglob("*")):
            path.chmod(0o777)
        yield copy


def test_one_unreadable_photo_is_counted(small_project, data_set, model):
    folder = small_project / "data/raw/mine"
    for number in range(3):
        (folder / f"{number}.png").write_bytes(encoded("PNG", picture(number)))
    outside.change(small_project, "shard.max_reject_fraction", 0.5)
    outside.write(small_project / "sources/tiny.yaml", f"path: mine\n{outside.ALL}")
    with open_to_all(small_project) as project:
        (project / "data/raw/mine/1.png").chmod(0)
        shutil.copytree(model, project / "model", copy_function=shutil.copyfile)
        with without_rights():
            sharded = outside.stage(project, "shard", "tiny")
            colored = outside.colorize(project, project / "model", "data/raw/mine")
    assert (sharded.returncode, "1 rejected (unreadable)" in sharded.stdout) == (0, True), sharded.stderr
    assert (colored.returncode, "1.png: Permission denied" in colored.stderr) == (3, True), colored.stderr


def test_the_home_folder_may_hold_the_archives(small_project, tmp_path):
    (small_project / "data/raw").rename(tmp_path / "raw")
    done = outside.stage(small_project, "shard", "tiny", COLORIZE_RAW="~/raw", HOME=str(tmp_path))
    assert (done.returncode, (small_project / "~").exists()) == (0, False), done.stderr


@pytest.mark.parametrize("name", ["data", "data/shards"])
def test_results_behind_a_link_are_refused_before_the_work(small_project, tmp_path, name):
    shutil.rmtree(small_project / "data/shards")
    (small_project / name).mkdir(parents=True, exist_ok=True)
    (small_project / name).rename(tmp_path / "large")
    (small_project / name).symlink_to(tmp_path / "large")
    done = outside.stage(small_project, "shard", "tiny", DVC_STAGE="shard@tiny")
    assert_one_line(done, 3, f"{name}: a link", "dvc cache dir")
    assert not list((tmp_path / "large").rglob("*.tar"))


def test_a_disk_without_links_gets_copies(repo):
    settings = configparser.ConfigParser()
    settings.read(repo / ".dvc/config")
    assert settings["cache"]["type"].strip('"').split(",")[-1] == "copy"


def test_git_ignores_the_page_of_dvcs_plots_which_loads_nothing(repo):
    assert "/dvc_plots/" in (repo / ".gitignore").read_text().split()
    settings = configparser.ConfigParser()
    settings.read(repo / ".dvc/config")
    assert settings.has_option("plots", "html_template")
    page = (repo / ".dvc" / settings["plots"]["html_template"]).read_text()
    assert "://cdn" not in page and 'src="http' not in page


# --- git, platforms and names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "words"), [(lambda path: None, "git clone"), (Path.touch, "git refuses")])
def test_a_folder_that_git_does_not_accept_is_refused_before_the_installation(repo, tmp_path, make, words):
    shutil.copy(repo / "Makefile", tmp_path)
    shutil.copytree(repo / "tools", tmp_path / "tools")
    (tmp_path / "requirements.txt").touch()
    make(tmp_path / ".git")
    done = subprocess.run(["make", "repro", "PYTHON=false"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, (tmp_path / ".venv").exists()) == (2, False)
    assert "error: " in done.stderr and words in done.stderr


def test_the_docs_say_that_a_queued_experiment_needs_git_add(repo):
    text = " ".join(" ".join(path.read_text().split()) for path in (repo / "docs").glob("*.md"))
    assert "run `git add` for a new file" in text and "dvc exp run --queue" in text


@pytest.mark.parametrize("module", ["colorize.__main__", "stages"])
def test_on_windows_the_line_names_wsl(repo, module):
    code = f"import sys; sys.platform = 'win32'; sys.modules['fcntl'] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n"), "WSL" in done.stderr) == (1, 1, True)


def test_a_source_may_not_take_everything_by_mistake(small_project):
    for source, words in (
        (f"path: ''\n{outside.SPLITS}", "path is empty"),
        (f"path: tiny.zip\nimages: {{glob: '*'}}\n{outside.SPLITS}", "images belongs to fractions"),
    ):
        outside.write(small_project / "sources/tiny.yaml", source)
        assert_one_line(outside.stage(small_project, "shard", "tiny"), 2, words)


def test_names_of_photos_cannot_control_the_terminal(tmp_path, model):
    names = ("\x1b[2J.png", "\x9b2J.png", "a\rb.png", "\u202egnp.png")
    for name in names:
        (tmp_path / name).write_bytes(b"no picture")
    done = outside.colorize(tmp_path, model, *names)
    lines = done.stderr.splitlines()
    assert done.returncode == 3 and len(lines) == len(names) + 1
    assert all(line.isprintable() for line in lines)


def test_names_of_a_data_set_are_utf8_in_every_locale(small_project):
    """A process of its own, because Python chooses the encoding of names when it starts."""
    raw = small_project / "data/raw/mine"
    raw.mkdir()
    for number, name in enumerate(("é.png", "日本.png", "ü ä.png")):
        (raw / name).write_bytes(encoded("PNG", picture(number)))
    outside.change(small_project, "shard.max_leaked", None)
    outside.write(small_project / "sources/tiny.yaml", f"path: mine\n{outside.ALL}")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLORIZE_PROCS": "1"}
    line = [sys.executable, "-m", "stages.shard", "tiny"]
    done = subprocess.run(line, cwd=small_project, env={**os.environ, **locale}, capture_output=True, text=True)
    assert (done.returncode, num_images(small_project)) == (0, 9), done.stderr
