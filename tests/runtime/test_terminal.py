"""Progress: lines on standard error, and records for `make repro`."""

import sys

import pytest

from colorize import runtime


def test_progress_off_a_terminal_is_a_line_every_ten_seconds(capsys, monkeypatch):
    clock = iter([0.0, 4.0, 11.0, 12.0, 22.0])
    monkeypatch.setattr("colorize.runtime.terminal.time.monotonic", lambda: next(clock))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with runtime.progress("count", 4000, "images") as advance:
        for _ in range(4):
            advance(1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["count: 2,000 of 4,000 images after 11 s", "count: 4,000 of 4,000 images after 22 s"]


def test_progress_records_are_few_and_an_earlier_run_does_not_count_for_the_speed(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("COLORIZE_PROGRESS", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "train@a-cnn")
    clock = [0.0]
    monkeypatch.setattr("colorize.runtime.terminal.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("colorize.runtime.terminal.time.time", lambda: 1000 + clock[0])
    written = []
    monkeypatch.setattr("colorize.runtime.terminal._write_record", lambda _, record: written.append(record))
    with runtime.progress("train a-cnn", 1000, "steps") as advance:
        advance(500)  # of an earlier run
        for _ in range(100):
            clock[0] += 0.01
            advance(1)
    *counts, last = written
    expected = [(500, None), (550, 1005.0), (600, 1005.0)]
    assert [(record["done"], record["end"] and round(record["end"], 6)) for record in counts] == expected
    assert last == {}
    assert capfd.readouterr().err == ""


def test_progress_goes_on_when_nobody_reads_its_records_any_more(tmp_path, monkeypatch):
    monkeypatch.setenv("COLORIZE_PROGRESS", str(tmp_path / "gone"))
    monkeypatch.setenv("DVC_STAGE", "train@a-cnn")
    with runtime.progress("train a-cnn", 1, "steps") as advance:
        advance(1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photo é 写真.jpg", "photo é 写真.jpg"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\r\nb\tc\x85\u2028", "a\\r\\nb\\tc\\x85\\u2028"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\udcff", "\\udcff"),
    ],
)
def test_text_from_outside_cannot_control_the_terminal(capsys, text, shown):
    runtime.say(text, "second")
    runtime.note(text)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{shown}\nsecond\n", f"{shown}\n")
