"""Folders of photos: batches, order, memory, interruptions, runs at the same time."""

import os
import random
import resource
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import colorize as package
from colorize import __main__ as program
from colorize import runtime
from colorize.commands import folder
from colorize.commands.listing import Entry
from colorize.runtime import files
from tests.helpers import coloring, processes
from tests.helpers.coloring import colorize, draw, json_lines, names, read
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import until

NUM_PHOTOS = 12
SIZES = ((24, 32), (32, 24), (40, 40))


@pytest.fixture
def album(here):
    """Photos of three sizes and three kinds, some of them in subfolders with equal names."""
    for number in range(NUM_PHOTOS):
        name = f"album/{number % 2}/{number // 2}.{('jpg', 'png', 'webp')[number % 3]}"
        draw(name, *SIZES[number % 3], seed=number)
    return here


@pytest.fixture
def expected(album) -> dict[str, bytes]:
    """The results of an undisturbed run."""
    assert colorize("album", "-r", "-o", "expected") == 0
    return contents("expected")


def contents(name: str) -> dict[str, bytes]:
    return {file: Path(name, file).read_bytes() for file in names(name)}


def start(log: str, *arguments: str) -> int:
    """Start the program in a child process; returns its PID."""
    return processes.fork(lambda: runtime.run(program.main, list(arguments)), Path.cwd(), Path(log))


# --- batches ---------------------------------------------------------------------------------------------------------


def outcomes(entries: list[Entry], **wishes: object) -> list[folder.Outcome]:
    colorizer = package.load(coloring.MODEL, "cpu")
    return list(folder.color(colorizer, entries, folder.Wishes(Path("out"), **wishes)))


def test_small_photos_of_a_group_are_predicted_together_and_large_ones_alone(here, monkeypatch):
    monkeypatch.setattr(folder, "_GROUPS", ((0, 4),))
    monkeypatch.setattr(folder, "_SMALL", 1000)
    for number in range(8):
        draw(f"{number}.png", 24, 80 if number == 5 else 32, seed=number)
    colorizer = package.load(coloring.MODEL, "cpu")
    sizes, predict = [], colorizer.predict
    monkeypatch.setattr(
        colorizer, "predict", lambda some, entropy=False: sizes.append(len(some)) or predict(some, entropy)
    )
    entries = [Entry(Path(f"{number}.png"), Path()) for number in range(8)]
    assert [one.status for one in folder.color(colorizer, entries, folder.Wishes(Path("out")))] == ["colored"] * 8
    assert sorted(sizes) == [1, 1, 2, 4]
    for number in range(8):
        alone = colorizer(Path(f"{number}.png"))
        assert np.abs(read(f"out/{number}.png").astype(int) - alone).max() <= 1


def test_the_outcomes_have_the_order_of_the_photos(here, monkeypatch):
    numbers = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)  # a real pool of threads would not survive later forks
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    draw("large.png", 600, 700)
    Path("broken.png").write_bytes(b"\x89PNG broken")
    order = ["large.png", "broken.png", *(f"{number}.png" for number in range(12))]
    for name in order[2:]:
        draw(name)
    found = outcomes([Entry(Path(name), Path()) for name in order])
    assert [str(one.path) for one in found] == order
    assert [one.status for one in found] == ["colored", "failed", *["colored"] * 12]
    assert numbers == [1, 3]


def test_large_photos_wait_for_room_and_one_always_has_room():
    room, held, most = folder._Room(100), [], []

    def occupy(num_pixels: int) -> None:
        with room.of(num_pixels, lambda: None):
            held.append(num_pixels)
            most.append(list(held))
            time.sleep(0.01)
            held.remove(num_pixels)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(occupy, (60, 30, 60, 500, 30, 60)))
    assert len(most) == 6
    assert all(sum(together) <= 100 or together == [500] for together in most)
    assert any(len(together) > 1 for together in most)


def test_a_wait_for_room_ends_with_the_run():
    room = folder._Room(100)
    with room.of(100, lambda: None), pytest.raises(KeyboardInterrupt), room.of(1, raise_interrupt):
        pass


def raise_interrupt() -> None:
    raise KeyboardInterrupt


# --- writing ---------------------------------------------------------------------------------------------------------


def test_photos_are_colored_while_results_wait_for_the_disk_up_to_a_limit(here, monkeypatch):
    num_photos, is_written, colored = 8, threading.Event(), []
    encode, write = folder.save.encode, folder._Run._write_files
    monkeypatch.setattr(folder, "_SMALL", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    monkeypatch.setattr(folder.save, "encode", lambda *a: colored.append(a) or encode(*a))
    monkeypatch.setattr(folder._Run, "_write_files", lambda *a: is_written.wait(60) and write(*a))
    for number in range(num_photos):
        draw(f"{number}.png", seed=number)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(outcomes, [Entry(Path(f"{number}.png"), Path()) for number in range(num_photos)])
        until(lambda: len(colored) == 3)  # two wait for the only writer, and the worker holds one more
        time.sleep(0.3)
        assert len(colored) == 3 and not names("out")
        is_written.set()
        assert [one.status for one in run.result(60)] == ["colored"] * num_photos


def test_the_time_of_a_photo_contains_writing(here, monkeypatch):
    draw("1.png")
    write = folder._Run._write_files
    monkeypatch.setattr(folder._Run, "_write_files", lambda *a: time.sleep(0.5) or write(*a))
    (outcome,) = outcomes([Entry(Path("1.png"), Path())])
    assert outcome.seconds > 0.5


@pytest.mark.parametrize("place", ["_write_files", "_finish", "_decode"])
def test_an_error_in_any_thread_ends_the_run(here, monkeypatch, place):
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(folder._Run, place, fail)
    for number in range(20):
        draw(f"{number}.png", seed=number)
    with pytest.raises(ZeroDivisionError):
        outcomes([Entry(Path(f"{number}.png"), Path()) for number in range(20)])


# --- interruptions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_any_moment_there_is_no_half_file_and_the_next_run_does_the_rest(expected, number):
    generator = random.Random(int(number))
    started = time.monotonic()
    assert processes.wait(start("log", "album", "-r", "-o", "whole")) == 0
    duration = time.monotonic() - started
    codes = set()
    for attempt in range(3):
        pid = start(f"log{attempt}", "album", "-r", "-o", "out")
        time.sleep(generator.uniform(0.1, 1) * duration)
        os.kill(pid, number)
        codes.add(processes.wait(pid))
        for name in names("out") if Path("out").exists() else []:
            if not name.endswith(".tmp"):
                assert Path("out", name).read_bytes() == expected[name]
        assert number == signal.SIGKILL or not list(Path("out").rglob(".*.tmp"))
    assert codes <= {0, -number if number == signal.SIGKILL else 128 + number}
    assert colorize("album", "-r", "-o", "out") == 0
    assert contents("out") == expected


def test_two_runs_at_the_same_time_make_every_result_once(expected):
    pids = [start(f"log{run}", "album", "-r", "-o", "out") for run in range(3)]
    assert [processes.wait(pid) for pid in pids] == [0, 0, 0]
    assert contents("out") == expected


def test_two_runs_with_different_photos_of_one_name_keep_both(expected):
    pids = [start(f"log{run}", f"album/{run}", "-o", "out", "--format", "png") for run in range(2)]
    assert [processes.wait(pid) for pid in pids] == [0, 0]
    found = {Path("out", name).name for name in names("out")}
    assert found == {f"{number}{suffix}.png" for number in range(NUM_PHOTOS // 2) for suffix in ("", "-2")}


def test_a_run_in_the_folder_of_the_photos_does_not_color_the_results_of_another(expected):
    pids = [start(f"log{run}", "album", "-r", "-o", "album") for run in range(2)]
    assert [processes.wait(pid) for pid in pids] == [0, 0]
    assert colorize("album", "-r", "-o", "album") == 0
    assert len(names("album")) == 2 * NUM_PHOTOS
    photos = {name: Path("album", name) for name in names("album") if "-2." not in name}
    assert len(photos) == NUM_PHOTOS
    for name in photos:
        result = Path("album", name)
        assert result.with_name(f"{result.stem}-2{result.suffix}").read_bytes() == expected[name]


def test_ctrl_c_on_a_terminal_ends_soon_with_one_line_and_the_cursor(album):
    for number in range(60):
        draw(f"album/{number}.jpg", 500, 500, seed=number)
    environment = processes.environment(PYTHONPATH=str(Path(package.__file__).parents[1]))
    terminal = Terminal([sys.executable, "-m", "colorize", "album", "-o", "out"], Path.cwd(), environment)
    deadline = time.monotonic() + 60
    while "->" not in terminal.text and time.monotonic() < deadline:
        time.sleep(0.05)
    terminal.type("\x03")
    assert terminal.wait(20) == 130
    assert terminal.plain().splitlines()[-1] == "interrupted"
    assert terminal.shows_cursor()
    assert " photos" in terminal.plain()
    assert not [name for name in names("out") if name.endswith(".tmp")]
    assert 0 < len(names("out")) < 60 + NUM_PHOTOS


# --- disks -----------------------------------------------------------------------------------------------------------


def test_a_result_that_cannot_be_written_ends_the_run_in_one_line(album):
    def body():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        runtime.run(program.main, ["album", "-r", "-o", "out"])

    code = processes.wait(processes.fork(body, Path.cwd(), Path("stdout"), Path("stderr")))
    lines = Path("stderr").read_text().splitlines()
    assert (code, len(lines)) == (3, 1)
    assert "more than the limit for file sizes" in lines[0]
    assert not [name for name in names("out") if name.endswith(".tmp")]


def test_a_name_that_is_too_long_for_a_result_fails_alone(here, capsys):
    draw("a.png")
    name = f"{'b' * 250}.jpg"
    draw(name)
    assert colorize("a.png", name, "-o", "out", "--format", "tiff", "--confidence", "--json") == 3
    assert [line["status"] for line in json_lines(capsys.readouterr().out)] == ["colored", "failed"]


def test_a_folder_that_cannot_be_written_is_named_before_torch_is_loaded(here):
    draw("a.png")
    Path("out").write_text("a file")
    done = coloring.process("a.png", "-o", "out/sub", options=("-X", "importtime"))
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert (done.returncode, len(lines)) == (3, 1)
    assert lines[0].startswith("error: out/sub: cannot create this folder (Not a directory)")


def test_leftovers_of_killed_runs_are_removed_only_where_results_go(here):
    draw("album/a.jpg")
    name = files._temporary(Path("a.jpg")).name.replace(str(os.getpid()), str(2**22 + 1))  # no PID is as large
    for folder_name in ("out", "out/other"):
        Path(folder_name).mkdir()
        Path(folder_name, name).touch()
    assert colorize("album", "-o", "out") == 0
    assert names("out") == ["a.jpg", f"other/{name}"]


# --- entropy maps ----------------------------------------------------------------------------------------------------


def test_the_map_has_the_entropy_of_the_prediction(here):
    draw("a.jpg", 40, 60)
    assert colorize("a.jpg", "-o", "out", "--confidence") == 0
    colorizer = package.load(coloring.MODEL, "cpu")
    from colorize.photos import photo

    (prediction,) = colorizer.predict([photo.read(Path("a.jpg").read_bytes())], entropy=True)
    with Image.open("out/a.jpg.entropy.png") as picture:
        assert picture.mode == "L"
        levels = np.array(picture)
    expected = prediction.entropy / np.log(313) * 255
    assert np.abs(levels - expected).max() <= 0.5
    assert levels.std() > 0
