"""The files of the results: nothing is lost, nothing is made twice, and the order of the photos decides."""

import threading
import time
from pathlib import Path

import pytest

from colorize.commands.listing import Entry
from colorize.commands.names import Names
from colorize.photos.mark import Mark
from tests.helpers.coloring import colorize, draw, json_lines, names, read


def mark(source: str) -> Mark:
    return Mark(
        source_sha256=source, model="unet", model_sha256="b" * 64, temperature=0.38, size=None, strength=1.0,
        version="0",
    )  # fmt: skip


def results(capsys, *arguments: str) -> list[tuple[str, str]]:
    """Status and result of each photo."""
    capsys.readouterr()
    assert colorize(*arguments, "--json") == 0
    return [(line["status"], line["result"]) for line in json_lines(capsys.readouterr().out)]


def test_a_result_is_skipped_only_for_the_same_photo_model_and_parameters(here, capsys):
    draw("a.jpg")
    assert results(capsys, "a.jpg", "-o", "out") == [("colored", "out/a.jpg")]
    before = Path("out/a.jpg").stat().st_mtime_ns
    assert results(capsys, "a.jpg", "-o", "out") == [("done", "out/a.jpg")]
    assert Path("out/a.jpg").stat().st_mtime_ns == before
    for changes in (["--force"], ["--temperature", "0.2"], ["--strength", "0.5"], ["--size", "40"], []):
        assert results(capsys, "a.jpg", "-o", "out", *changes) == [("colored", "out/a.jpg")], changes
        assert results(capsys, "a.jpg", "-o", "out", *changes)[0][0] == (
            "colored" if changes == ["--force"] else "done"
        )
    draw("a.jpg", seed=1)
    assert results(capsys, "a.jpg", "-o", "out") == [("colored", "out/a-2.jpg")]  # another photo of the same name
    assert names("out") == ["a-2.jpg", "a.jpg"]


def test_another_format_is_another_result(here, capsys):
    draw("a.jpg")
    assert results(capsys, "a.jpg", "-o", "out") == [("colored", "out/a.jpg")]
    assert results(capsys, "a.jpg", "-o", "out", "--format", "png") == [("colored", "out/a.png")]
    assert results(capsys, "a.jpg", "-o", "out", "--format", "png") == [("done", "out/a.png")]


def test_a_missing_entropy_map_is_made_later(here, capsys):
    draw("a.jpg")
    assert results(capsys, "a.jpg", "-o", "out") == [("colored", "out/a.jpg")]
    assert results(capsys, "a.jpg", "-o", "out", "--confidence") == [("colored", "out/a.jpg")]
    assert results(capsys, "a.jpg", "-o", "out", "--confidence") == [("done", "out/a.jpg")]
    assert names("out") == ["a.jpg", "a.jpg.entropy.png"]


def test_photos_of_one_name_keep_their_results_in_every_order(here, capsys):
    folders = [f"{year}" for year in range(1940, 1946)]
    for seed, folder in enumerate(folders):
        draw(f"{folder}/a.jpg", seed=seed)
    first = dict(zip(folders, results(capsys, *folders, "-o", "out"), strict=True))
    assert [result for _, result in first.values()] == ["out/a.jpg", *(f"out/a-{n}.jpg" for n in range(2, 7))]
    again = dict(zip(folders[::-1], results(capsys, *folders[::-1], "-o", "out"), strict=True))
    assert again == {folder: ("done", result) for folder, (_, result) in first.items()}
    Path("out/a-2.jpg").unlink()
    rest = dict(zip(folders[::-1], results(capsys, *folders[::-1], "-o", "out"), strict=True))
    assert rest == {**again, "1941": ("colored", "out/a-2.jpg")}


def test_formats_that_become_one_do_not_replace_each_other(here, capsys):
    one, other = draw("a.png", 20, 30), draw("a.jpg", 40, 30)
    assert results(capsys, "a.png", "a.jpg", "-o", "out") == [("colored", "out/a.png"), ("colored", "out/a.jpg")]
    assert results(capsys, "a.png", "a.jpg", "-o", "all", "--format", "webp") == [
        ("colored", "all/a.webp"),
        ("colored", "all/a-2.webp"),
    ]
    assert read("all/a.webp").shape == one.shape
    assert read("all/a-2.webp").shape == other.shape


def test_files_that_are_no_results_of_the_photo_stay(here, capsys):
    photo = draw("a.png")
    Path("folder/a.png").mkdir(parents=True)
    other = draw("folder/a-2.png", 30, 30)
    Path("folder/a-3.png").symlink_to("nowhere")
    assert results(capsys, "a.png", "-o", "folder") == [("colored", "folder/a-4.png")]
    assert (read("folder/a-2.png") == other).all()
    assert results(capsys, "a.png", "-o", ".") == [("colored", "a-2.png")]
    assert (read("a.png") == photo).all()


def test_a_file_with_the_name_of_the_map_is_not_replaced(here, capsys):
    draw("a.jpg")
    other = draw("out/a.jpg.entropy.png")
    assert results(capsys, "a.jpg", "-o", "out", "--confidence") == [("colored", "out/a-2.jpg")]
    assert (read("out/a.jpg.entropy.png") == other).all()


def test_a_result_without_a_new_map_does_not_keep_an_earlier_map(here, capsys):
    draw("a.jpg")
    assert results(capsys, "a.jpg", "-o", "out", "--confidence") == [("colored", "out/a.jpg")]
    assert results(capsys, "a.jpg", "-o", "out") == [("done", "out/a.jpg")]
    assert names("out") == ["a.jpg", "a.jpg.entropy.png"]
    assert results(capsys, "a.jpg", "-o", "out", "--strength", "0.5") == [("colored", "out/a.jpg")]
    assert names("out") == ["a.jpg"]


@pytest.mark.parametrize("kind", ["foreign", "map of another photo"])
def test_a_foreign_file_with_the_name_of_the_map_stays(here, capsys, kind):
    draw("a.jpg")
    draw("b.jpg", seed=1)
    assert results(capsys, "b.jpg", "-o", "b", "--confidence") == [("colored", "b/b.jpg")]
    assert results(capsys, "a.jpg", "-o", "out") == [("colored", "out/a.jpg")]
    other = Path("out/a.jpg.entropy.png")
    other.write_bytes(Path("b.jpg" if kind == "foreign" else "b/b.jpg.entropy.png").read_bytes())
    content = other.read_bytes()
    assert results(capsys, "a.jpg", "-o", "out", "--strength", "0.5") == [("colored", "out/a.jpg")]
    assert other.read_bytes() == content


def test_a_replaced_result_is_mentioned(here, capsys):
    draw("a.jpg")
    assert colorize("a.jpg", "-o", "out") == 0
    assert "replaces" not in capsys.readouterr().out
    assert colorize("a.jpg", "-o", "out", "--strength", "0.5") == 0
    assert "replaces the earlier result; colors of" in capsys.readouterr().out


def test_without_marks_nothing_is_recognized(here, capsys):
    draw("a.jpg")
    assert results(capsys, "a.jpg", "-o", "out", "--no-mark") == [("colored", "out/a.jpg")]
    assert results(capsys, "a.jpg", "-o", "out", "--no-mark") == [("colored", "out/a-2.jpg")]


def test_the_first_photo_gets_the_first_name_even_if_it_is_ready_last(tmp_path):
    entries = [Entry(tmp_path / f"{n}/a.jpg", Path()) for n in range(3)]
    files = Names(tmp_path / "out", entries, is_forced=False, has_maps=False)
    planned: dict[int, str] = {}

    def plan(number: int, seconds: float) -> None:
        time.sleep(seconds)
        planned[number] = files.plan(entries[number], ".jpg", mark(str(number) * 64)).path.name

    threads = [threading.Thread(target=plan, args=(number, 0.05 * (2 - number))) for number in (0, 2)]
    for thread in threads:
        thread.start()
    files.give_up(entries[1])  # a photo that cannot be read
    for thread in threads:
        thread.join()
    assert planned == {0: "a.jpg", 2: "a-2.jpg"}


@pytest.mark.parametrize("is_same", [True, False])
def test_what_another_run_wrote_meanwhile_is_found_before_writing(here, capsys, is_same):
    draw("a.jpg")
    assert results(capsys, "a.jpg", "-o", "made") == [("colored", "made/a.jpg")]
    content = Path("made/a.jpg").read_bytes()
    from colorize.photos import mark as marks

    wanted = marks.read(Path("made/a.jpg"))
    entry = Entry(Path("a.jpg"), Path())
    files = Names(Path("out"), [entry], is_forced=False, has_maps=False)
    planned = files.plan(entry, ".jpg", wanted if is_same else mark("0" * 64))
    assert planned == (Path("out/a.jpg"), False)
    Path("out").mkdir()
    Path("out/a.jpg").write_bytes(content)
    with files.settled(entry, planned, wanted if is_same else mark("0" * 64)) as target:
        assert target == ((Path("out/a.jpg"), True) if is_same else (Path("out/a-2.jpg"), False))
