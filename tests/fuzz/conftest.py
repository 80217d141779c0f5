"""Mutations of real files, and the score: how many examples ran and how many failed.

`make test` runs a bounded number of examples that are always the same; `make fuzz` runs new ones for as long as it is
told.
"""

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import strategies as st

EXAMPLES = pytest.StashKey[Counter]()
BLOCK = 512  # bytes, of a tar


def pytest_configure(config: pytest.Config) -> None:
    config.stash[EXAMPLES] = Counter()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        handle = getattr(getattr(item, "obj", None), "hypothesis", None)
        if handle is not None and "fuzz" in item.path.parts and not hasattr(handle.inner_test, "is_counted"):
            handle.inner_test = _counted(handle.inner_test, item.name, config.stash[EXAMPLES])


def _counted(test: Callable, name: str, examples: Counter) -> Callable:
    @functools.wraps(test)
    def run(*args, **kwargs):
        examples[name] += 1
        return test(*args, **kwargs)

    run.is_counted = True
    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    examples = config.stash[EXAMPLES]
    if examples:
        failures = sum("fuzz" in Path(report.nodeid).parts for report in terminalreporter.stats.get("failed", []))
        terminalreporter.write_line(f"fuzz: {examples.total()} examples, {failures} failures")


def _place(length: int) -> st.SearchStrategy[int]:
    """A position in a file: anywhere, near the start, near the end, or at the start of a block."""
    last = max(length - 1, 0)
    blocks = st.builds(lambda block, field: min(block * BLOCK + field, last), st.integers(0, last // BLOCK),
                       st.sampled_from([0, 100, 124, 135, 148, 156, 257, 345]))  # fmt: skip
    return st.one_of(st.integers(0, last), st.integers(0, min(last, 64)), st.integers(max(last - 64, 0), last), blocks)


def _edit(length: int) -> st.SearchStrategy[tuple]:
    place, count = _place(length), st.one_of(st.integers(1, 8), st.sampled_from([BLOCK, 2 * BLOCK]))
    odd = st.one_of(
        st.binary(min_size=1, max_size=8), st.sampled_from([b"\0" * 12, b"\xff" * 4, b"77777777777", b"-1"])
    )
    return st.one_of(
        st.tuples(st.just("flip"), place, st.integers(0, 7)),
        st.tuples(st.just("overwrite"), place, odd),
        st.tuples(st.just("insert"), place, odd),
        st.tuples(st.just("insert"), place, st.just(bytes(BLOCK))),
        st.tuples(st.just("delete"), place, count),
        st.tuples(st.just("repeat"), place, count),
        st.tuples(st.just("move"), place, place),
        st.tuples(st.just("cut"), place, st.none()),
    )


def apply(data: bytes, edits: list[tuple]) -> bytes:
    """The file after a few edits; positions past its end do nothing."""
    for kind, at, value in edits:
        if at >= len(data):
            continue
        if kind == "flip":
            data = data[:at] + bytes([data[at] ^ 1 << value]) + data[at + 1 :]
        elif kind == "overwrite":
            data = data[:at] + value + data[at + len(value) :]
        elif kind == "insert":
            data = data[:at] + value + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + value :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + value] * 2 + data[at + value :]
        elif kind == "move":
            data = data[:at] + data[value : value + BLOCK] + data[at:]
        elif kind == "cut":
            data = data[:at]
    return data


@pytest.fixture(scope="session")
def mutated() -> Callable[[bytes], st.SearchStrategy[bytes]]:
    """Strategy: a file after one to four edits."""
    return lambda data: st.lists(_edit(len(data)), min_size=1, max_size=4).map(functools.partial(apply, data))
