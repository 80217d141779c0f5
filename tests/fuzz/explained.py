"""Reasons why two readers may differ: the common part of `reasons.py` (images) and `compare_archives.py`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from tests.fuzz.compare import Difference


class Reason(NamedTuple):
    """A kind of difference, the files in which it is meant, and a file that shows it."""

    kind: str  # of the difference
    why: str
    explains: Callable[[Any], bool]  # of what both readers made of a file: `compare.Case` or `compare_archives.Seen`
    example: Callable[[], bytes]


def reasons_for(difference: Difference, file: Any, reasons: Mapping[str, Reason]) -> list[str]:
    """Names of the reasons that explain a difference in a file."""
    return [name for name, reason in reasons.items() if reason.kind == difference.kind and reason.explains(file)]


def unexplained(found: Iterable[Difference], file: Any, reasons: Mapping[str, Reason]) -> list[Difference]:
    """The differences in a file that no reason explains."""
    return [difference for difference in found if not reasons_for(difference, file, reasons)]
