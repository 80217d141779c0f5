"""Whatever is wrong outside of the program ends a stage at once, with one printable line and an exit code: a table."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import processes, projects

SHARD, TRAIN, EVALUATE = ("shard", "tiny"), ("train", "tiny", "regression", "0"), ("evaluate", "tiny", "baselines")
SPLITS = "splits: {train: {glob: 'train/*'}, val: {glob: 'val/*'}, test: {glob: 'test/*'}}\n"
ZIP, MODEL = "data/raw/tiny.zip", "data/models/tiny-regression-0/model.json"
MANY = "9" * 5000
PHOTO = "name: t, layout: places, size: 16, counts: {train: 1, val: 1, test: 1}, gray: 0, smallest: 16, largest: 16"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A project before its first stage."""
    return projects.make_project(tmp_path_factory.mktemp("lines") / "project", ("regression",))


@pytest.fixture
def project(made, tmp_path) -> Path:
    """Hard links: a change must replace a file."""
    return shutil.copytree(made, tmp_path / "project", copy_function=os.link)


def _replace(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(project: Path) -> None:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).unlink(missing_ok=True)
        make(project / name)

    return change


def fifo(name: str) -> Callable[[Path], None]:
    return _replace(name, os.mkfifo)


def zero(name: str) -> Callable[[Path], None]:
    return _replace(name, lambda path: path.symlink_to("/dev/zero"))


def loop(name: str) -> Callable[[Path], None]:
    return _replace(name, lambda path: path.symlink_to(path.name))


def sparse(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, 20 << 30)

    return _replace(name, make)


def holds(name: str, content: str | bytes) -> Callable[[Path], None]:
    raw = content if isinstance(content, bytes) else content.encode()
    return _replace(name, lambda path: path.write_bytes(raw))


def source(text: str) -> Callable[[Path], None]:
    return holds("sources/tiny.yaml", text)


def split_source(regex: str) -> Callable[[Path], None]:
    return source(f"path: tiny.zip\nfractions: {{val: 0.2, test: 0.2}}\nimages: {{regex: '{regex}'}}\n")


def slow(regex: str) -> Callable[[Path], None]:
    """A source whose only file has a long name."""

    def change(project: Path) -> None:
        (project / "data/raw/long").mkdir()
        (project / "data/raw/long" / f"{'a' * 60}.png").touch()
        source(f"path: long\nfractions: {{val: 0.2, test: 0.2}}\nimages: {{regex: '{regex}'}}\n")(project)

    return change


def sample(photo: str) -> Callable[[Path], None]:
    fields = f"sha256: '{'0' * 64}', credit: x, class: x, tiles: '.vt'"
    return source(f"sample: {{{PHOTO}, photos: {{p: {{{photo}, {fields}}}}}}}\n{SPLITS}")


WRONG_INPUTS = [  # stage, change, exit code, what the line holds
    (SHARD, fifo("params.yaml"), 2, "params.yaml: not a regular file"),
    (SHARD, sparse("params.yaml"), 2, "params.yaml: too large: 21,474,836,480 bytes"),
    (SHARD, loop("params.yaml"), 2, "params.yaml: too many levels of symbolic links"),
    (SHARD, zero("dvc.yaml"), 3, "dvc.yaml: the stage 'shard' cannot be read (not a regular file"),
    (SHARD, fifo("sources/tiny.yaml"), 2, "sources/tiny.yaml: not a regular file"),
    (SHARD, zero("sources/tiny.yaml"), 2, "sources/tiny.yaml: not a regular file"),
    (SHARD, fifo(ZIP), 3, "tiny.zip: not a regular file"),
    (SHARD, zero(ZIP), 3, "tiny.zip: not a regular file"),
    (SHARD, loop(ZIP), 3, "tiny.zip: Too many levels of symbolic links"),
    (SHARD, sparse(ZIP), 3, "tiny.zip: 21,474,836,480 bytes after the end mark, the limit is 67,108,864"),
    (SHARD, holds(ZIP, b"7z\xbc\xaf\x27\x1c" + bytes(99)), 3, "tiny.zip: a 7z archive"),
    (SHARD, holds(ZIP, b"Rar!\x1a\x07\x01\x00" + bytes(99)), 3, "`unrar x`"),
    (SHARD, holds(ZIP, b"\x04\x22\x4d\x18" + bytes(99)), 3, "compressed as a whole with lz4"),
    (SHARD, holds(ZIP, b"MZ\x90\0" + bytes(99)), 3, "self-extracting"),
    (SHARD, source("path: ~nosuchuser/x\n" + SPLITS), 2, "~nosuchuser/x: there is no such user"),
    (SHARD, source(f"path: {'x' * 5000}\n{SPLITS}"), 3, "File name too long"),
    (SHARD, source(f"path: {'x/' * 3000}\n{SPLITS}"), 3, "File name too long"),
    (SHARD, source('path: "a\\0b"\n' + SPLITS), 3, "a\\x00b: embedded null byte"),
    (SHARD, source("path: ''\n" + SPLITS), 2, "path is empty"),
    (SHARD, source("path: tiny.zip\nimages: {glob: '*'}\n" + SPLITS), 2, "images belongs to fractions"),
    (SHARD, slow("(a+)+x"), 3, "seconds of CPU time; simplify `regex`"),
    (SHARD, slow("(?:a|[^/])+x"), 3, "seconds of CPU time; simplify `regex`"),
    (SHARD, slow("(?:.*.*.*a)*x"), 3, "seconds of CPU time; simplify `regex`"),
    (SHARD, split_source("a{99999999999}"), 2, "images.regex: not a regular expression"),
    (SHARD, split_source("(" * 900 + ")" * 900), 2, "images.regex: not a regular expression"),
    (SHARD, split_source("a" * 3000), 2, "images.regex: string should have at most 2000 characters"),
    (SHARD, sample("package: os, file: x"), 2, "package: input should be 'matplotlib'"),
    (SHARD, sample("package: antigravity, file: x"), 2, "package: input should be 'matplotlib'"),
    (SHARD, sample("package: skimage, file: /dev/zero"), 2, "file: expected a path below the folder"),
    (SHARD, sample("package: skimage, file: ../../../x"), 2, "file: expected a path below the folder"),
    (("prior", "tiny"), fifo("data/shards/train/tiny/0.tar"), 3, "0.tar: cannot be read (not a regular file"),
    (EVALUATE, fifo("data/shards/test/tiny/manifest.json"), 3, "manifest.json: cannot be read (not a regular file"),
    (("evaluate", "tiny", "regression", "0"), zero(MODEL), 3, "model.json: cannot be read (not a regular file"),
    (("report",), fifo("data/evaluations/tiny-gray/tiny/details.json"), 3, "details.json: cannot be read"),
]

WRONG_VARIABLES = [  # stage, variable, value, exit code, what the line holds
    (TRAIN, "RANK", "x", 2, "RANK=x: expected a whole number"),
    (TRAIN, "RANK", "3", 2, "RANK=3, LOCAL_RANK=0: expected less than WORLD_SIZE, 1"),
    (SHARD, "LOCAL_RANK", "1", 2, "LOCAL_RANK=1: expected less than WORLD_SIZE"),
    (TRAIN, "WORLD_SIZE", "2", 2, "`torchrun` did not start this process"),
    (SHARD, "WORLD_SIZE", "8", 2, "`torchrun` did not start this process"),
    (TRAIN, "WORLD_SIZE", MANY, 2, "expected a whole number of at least 1"),
    (SHARD, "COLORIZE_PROCS", MANY, 2, "9...: expected a whole number of at least 1 and at most 1024"),
    (SHARD, "COLORIZE_PROCS", "²", 2, "COLORIZE_PROCS=²: expected a whole number"),
    (SHARD, "COLORIZE_NO_WAIT", "yes", 2, "COLORIZE_NO_WAIT=yes: expected a whole number"),
    (SHARD, "COLORIZE_FAULT", f"shard-member:{MANY}", 2, "no such fault point"),
    (SHARD, "COLORIZE_RAW", "~nosuchuser/raw", 2, "COLORIZE_RAW: ~nosuchuser/raw: there is no such user"),
    (SHARD, "COLORIZE_RAW", "x" * 5000, 3, "File name too long"),
]

WRONG_ARGUMENTS = [  # stage, exit code, what the line holds
    (("shard", "\x1b]0;x\x07"), 2, "\\x1b]0;x\\x07 is not in `datasets`"),
    (("shard", "\u202eyalp"), 2, "\\u202eyalp is not in `datasets`"),
    (("train", "tiny", "regression", MANY), 2, "is not in `seeds` of params.yaml (0)"),
    (("report", "a\nb"), 2, "unknown command"),
    (("shard",), 2, "expected arguments: dataset"),
]


def check(project: Path, stage: tuple[str, ...], code: int, words: str, **environment: str) -> None:
    done = processes.call(f"stages.{stage[0]}", *stage[1:], folder=project, **environment)
    assert (done.returncode, done.stderr[:7], done.stderr.count("\n")) == (code, "error: ", 1), done.stderr
    assert words in done.stderr
    assert (done.stdout + done.stderr.rstrip("\n")).isprintable()


@pytest.mark.parametrize(("stage", "change", "code", "words"), WRONG_INPUTS)
def test_wrong_inputs(project, monkeypatch, stage, change, code, words):
    monkeypatch.setattr("colorize.sharding.listing.MATCH_S", 0.2)
    monkeypatch.setattr(processes, "HANGS_AFTER_S", 20)
    change(project)
    check(project, stage, code, words)


@pytest.mark.parametrize(("stage", "name", "value", "code", "words"), WRONG_VARIABLES)
def test_wrong_variables(project, monkeypatch, stage, name, value, code, words):
    monkeypatch.setattr(processes, "HANGS_AFTER_S", 20)
    check(project, stage, code, words, **{name: value})


@pytest.mark.parametrize(("stage", "code", "words"), WRONG_ARGUMENTS)
def test_wrong_arguments(project, stage, code, words):
    check(project, stage, code, words)
