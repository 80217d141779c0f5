"""Stand-ins for what takes the stages `prior` and `report` most of their time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from colorize import runtime
from colorize.prior import picture
from colorize.report import style


@pytest.fixture(scope="module")
def without_plots() -> Iterator[None]:
    """In this module's tests and their child processes, a file with other content takes the place of each plot.

    The stages write the same files in the same order. That equal inputs give equal plots is tested in tests/prior and
    tests/report.
    """
    with _stand_ins():
        yield


@pytest.fixture
def without_plots_here() -> Iterator[None]:
    """The same for a single test."""
    with _stand_ins():
        yield


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "encode", lambda name, _: {f"{name}.{kind}": name.encode() for kind in ("png", "pdf")})
        patch.setattr(picture, "draw", _draw_one_pixel)
        yield


def _draw_one_pixel(path: Path, *_: object) -> None:
    with runtime.atomic_write(path) as file:
        Image.new("RGB", (1, 1)).save(file, "PNG")
