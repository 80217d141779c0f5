"""An interrupted sharding makes only what is missing, and never uses what belongs to other inputs."""

import contextlib
import os
import random
import shutil
import zipfile
from concurrent.futures import Future
from pathlib import Path

import pytest

from colorize.layout import Folders
from colorize.sharding import build, work
from tests.sharding.test_sets import SPLITS, jpeg, shards_of, write_tar


class Killed(BaseException):
    """Ends a run as a signal would."""


@pytest.fixture
def project(tmp_path, monkeypatch, images_of) -> Path:
    """A project with a zip of 60 photos."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLORIZE_RAW", str(tmp_path))
    Path("sources").mkdir()
    Path("sources/mine.yaml").write_text(f"path: mine.zip\n{SPLITS}")
    with zipfile.ZipFile("mine.zip", "w") as archive:
        for number, picture in enumerate(images_of(60, 64)):
            archive.writestr(f"{number:02d}.jpg", jpeg(picture))
    return tmp_path


@pytest.fixture
def tasks(monkeypatch) -> list[tuple]:
    """Tasks run in this process; the list grows with each, and `tasks.stop_after = n` kills the run at a task."""

    class Tasks(list):
        stop_after: int | None = None

    done = Tasks()

    class Here:
        def submit(self, function, *arguments):
            if done.stop_after is not None and len(done) >= done.stop_after:
                raise Killed
            future: Future = Future()
            future.set_result(function(*arguments))
            done.append((function, *arguments[1:]))
            return future

    monkeypatch.setattr("colorize.runtime.workers", lambda: contextlib.nullcontext(Here()))
    return done


def run(settings, out: str = "out", code: str = "", **changes) -> Folders:
    section = settings.shard.model_copy(update={"per_shard": 4, "max_leaked": None, **changes})
    build.shard("mine", section, Folders(Path(out)), code)
    return Folders(Path(out))


def everything(folders: Folders) -> dict[str, bytes]:
    return {str(p.relative_to(folders.root)): p.read_bytes() for p in folders.root.rglob("*") if p.is_file()}


def made(tasks: list[tuple]) -> list[tuple]:
    return [arguments for function, *arguments in tasks if function is work.make_shard]


def test_only_what_is_missing_is_made_wherever_it_was_interrupted(project, tasks, settings, capsys):
    expected = everything(run(settings, "undisturbed"))
    total = made(tasks)
    build.discard("mine")
    rng = random.Random(0)
    for _ in range(20):
        tasks.clear()
        tasks.stop_after = stop = rng.randrange(len(total) + 1)
        with pytest.raises(Killed):
            run(settings)
        before = made(tasks)
        tasks.clear()
        tasks.stop_after = None
        capsys.readouterr()
        assert everything(run(settings)) == expected
        assert sorted(map(tuple, before + made(tasks))) == sorted(map(tuple, total))
        if before:
            assert f"mine: {len(before)} shards were finished in an earlier run" in capsys.readouterr().err
        assert stop >= len(before)
        build.discard("mine")
        shutil.rmtree("out")


def test_a_shard_without_its_whole_record_is_made_again(project, tasks, settings):
    expected = everything(run(settings))
    (folder,) = [path for path in Path(".state/shards").iterdir() if path.is_dir()]
    records = sorted((folder / "train").glob("*.csv"))
    records[0].unlink()
    records[1].write_bytes(b"")
    records[2].write_text(records[2].read_text()[:40])
    tar = records[3].with_suffix(".tar")
    tar.unlink()  # else the output, which is the same file, would be cut too
    tar.write_bytes(b"cut")
    tasks.clear()
    assert everything(run(settings)) == expected
    assert [number for _, number in made(tasks)] == [0, 1, 2, 3]


def test_other_settings_code_or_archives_use_nothing_of_it(project, tasks, settings):
    run(settings)
    total = len(made(tasks))
    for changes in ({"size": 32}, {"gray": "drop"}, {"code": "edited"}):
        tasks.clear()
        run(settings, **changes)
        assert len(made(tasks)) == total
    status = Path("mine.zip").stat()
    os.utime("mine.zip", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    tasks.clear()
    run(settings)
    assert len(made(tasks)) == total


def test_limits_that_do_not_change_a_shard_keep_all(project, tasks, settings):
    run(settings)
    tasks.clear()
    run(settings, max_leaked=3, max_reject_fraction=0.5)
    assert made(tasks) == []


def test_a_folder_is_listed_again_and_a_changed_photo_is_noticed(project, tasks, settings):
    with zipfile.ZipFile("mine.zip") as archive:
        archive.extractall("photos")
    Path("sources/mine.yaml").write_text(f"path: photos\n{SPLITS}")
    expected = shards_of(run(settings))
    total = len(made(tasks))
    tasks.clear()
    assert shards_of(run(settings)) == expected and made(tasks) == []
    shutil.copyfile("photos/01.jpg", "photos/00.jpg")
    tasks.clear()
    assert shards_of(run(settings)) != expected and len(made(tasks)) == total


def test_a_finished_data_set_leaves_nothing_and_another_run_keeps_its_own(project, tasks, settings):
    run(settings)
    tasks.stop_after = 2
    tasks.clear()
    with pytest.raises(Killed):
        run(settings, size=32)
    (Path(".state/shards") / ("mine2-" + "0" * 16)).mkdir()
    assert len(list(Path(".state/shards").iterdir())) == 3
    build.discard("mine")
    assert [path.name for path in Path(".state/shards").iterdir()] == ["mine2-" + "0" * 16]


def test_the_tars_of_a_set_may_end_within_a_shard(project, tasks, settings):
    """Shards of 4 images from tars of 7: the same as from one tar."""
    with zipfile.ZipFile("mine.zip") as archive:
        contents = [(name, archive.read(name)) for name in sorted(archive.namelist())]
    for start in range(0, 60, 7):
        write_tar(Path(f"set/{start:02d}.tar"), dict(contents[start : start + 7]))
    names = {"train": "[0-3]?.jpg", "val": "4?.jpg", "test": "5?.jpg"}
    splits = "splits:\n" + "".join(f"  {split}: {{glob: '*{name}'}}\n" for split, name in names.items())
    Path("sources/mine.yaml").write_text(f"path: mine.zip\n{splits}")
    expected = shards_of(run(settings))
    Path("sources/mine.yaml").write_text(f"path: set\n{splits}")
    assert shards_of(run(settings, "other")) == expected
