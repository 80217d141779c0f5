"""Waiting for other processes."""

import time


def until(condition) -> None:
    """Wait for a condition; two minutes, for the machine may be busy with other tests."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
