"""Compare numbers with the printed ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple


class Number(NamedTuple):
    """A number as a file prints it."""

    where: str  # file and place in it
    cell: str  # the cell of Table 1 to which it belongs, for the summary
    text: str
    digits: int  # decimals


class Value(NamedTuple):
    """One of our numbers."""

    value: float
    error: Callable[[], float]  # of float32 in the printed number; computed only if the digits differ
    rounded: float | None = None  # the value if it is computed from rounded values


class Findings:
    """How the printed numbers compare with ours, by cell, and one line per deviation."""

    def __init__(self) -> None:
        self.agree: Counter[str] = Counter()
        self.one_off: Counter[str] = Counter()  # by one unit of the last digit, within the error of float32
        self.more_off: Counter[str] = Counter()  # by more, within the error of float32
        self.twice: Counter[str] = Counter()  # rounded from a number that was already rounded
        self.deviations: list[str] = []
        self._largest, self._where = 0.0, ""  # relative difference of the close ones

    def compare(self, number: Number, ours: Value) -> None:
        """Compare a printed number with ours.

        It agrees if it is our value, rounded. Otherwise, it may differ from our value by half a unit of the last digit
        and the error of float32.
        """
        unit = 10.0**-number.digits
        printed = float(number.text or "nan")
        off = abs(printed - round(ours.value, number.digits))
        if off < 0.1 * unit or (not number.text and not math.isfinite(ours.value)):
            self.agree[number.cell] += 1
        elif abs(printed - ours.value) <= 0.5 * unit + ours.error():
            is_one = off < 1.1 * unit
            (self.one_off if is_one else self.more_off)[number.cell] += 1
            if not is_one and off > self._largest * abs(printed):
                self._largest, self._where = off / abs(printed), number.where
        elif ours.rounded is not None and printed == round(ours.rounded, number.digits):
            self.twice[number.cell] += 1
        else:
            expected = f"expected {ours.value:.{number.digits}f}"
            self.deviation(number.cell, f"{number.where}: {number.text or 'empty'}, {expected}")

    def same(self, cell: str, where: str, found: object, expected: object) -> None:
        """Compare a mark, a number of groups, or a list of names."""
        if found == expected:
            self.agree[cell] += 1
        else:
            self.deviation(cell, f"{where}: {found}, expected {expected}")

    def deviation(self, cell: str, line: str) -> None:
        """Add a deviation."""
        self.deviations.append(line)
        self.agree[cell] += 0  # a cell without agreement also has a line in the summary

    def summary(self) -> list[str]:
        """One line per cell, and one line for all cells."""
        cells = sorted(self.agree)
        lines = [f"{cell}: {self._counts([cell])}" for cell in cells]
        lines.append(f"all cells: {self._counts(cells)}, {len(self.deviations)} deviations")
        if self._where:
            lines.append(f"largest relative difference by float32: {self._largest:.1e}, {self._where}")
        return lines

    def _counts(self, cells: list[str]) -> str:
        names = {
            "agree": self.agree,
            "differ by one unit of the last digit": self.one_off,
            "by more, within the error of float32": self.more_off,
            "were rounded twice": self.twice,
        }
        return ", ".join(f"{sum(counter[cell] for cell in cells)} {name}" for name, counter in names.items())
