"""In a turn, every training takes its steps once, in order, and only so many run at the same time."""

import threading

import pytest

from benchmarks import side_by_side


class Training:
    """A worker that notes when it begins, and how many others are running then."""

    running, begun, most = 0, [], 0
    lock = threading.Lock()

    def __init__(self, name: str):
        self.name = name

    def take(self, steps: int) -> int:
        with self.lock:
            type(self).running += 1
            self.begun.append(self.name)
            type(self).most = max(self.most, self.running)
        threading.Event().wait(0.05)
        with self.lock:
            type(self).running -= 1
        return steps * 4


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_turn_runs_all_trainings_and_only_some_at_the_same_time(monkeypatch, count):
    monkeypatch.setattr(Training, "begun", [])
    monkeypatch.setattr(Training, "most", 0)
    images = side_by_side._turn([Training(name) for name in "abcde"], count, steps=3)()
    assert images == 5 * 3 * 4
    assert sorted(Training.begun) == list("abcde")
    assert Training.begun == list("abcde") or count > 1
    assert Training.most == count
