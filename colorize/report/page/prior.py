"""Section: which colors the training images have, and the class weights that follow from it."""

from __future__ import annotations

import math
from typing import Any

from colorize.report.evidence import Evidence
from colorize.report.inputs import BIN_COLUMNS
from colorize.report.page.section import Section

FREQUENT = 10  # bins that the table names
NEAR_GRAY = 20  # CIELAB units

Row = dict[str, str]


def build(evidence: Evidence) -> Section:
    """The bins of every data set, with their prior and class weight."""
    inputs = evidence.inputs
    tables = [inputs.bins(dataset) for dataset in inputs.datasets]
    titles = [inputs.titles[dataset] for dataset in inputs.datasets]
    data = {
        "datasets": titles,
        "bins": [[int(float(row[name])) for name in BIN_COLUMNS[:5]] for row in tables[0]],
        "values": [[[float(row["prior"]), float(row["weight"])] for row in table] for table in tables],
    }
    values = {
        "num_bins": len(tables[0]),
        "tables": [(title, _near_gray(table), _frequent(table)) for title, table in zip(titles, tables, strict=True)],
        "near_gray": NEAR_GRAY,
    }
    return Section("prior", "Colors of the training images", values, data)


def _near_gray(table: list[Row]) -> str:
    """The share of the pixels in bins near gray, in percent."""
    near = [row for row in table if math.hypot(float(row["a"]), float(row["b"])) <= NEAR_GRAY]
    return f"{100 * sum(float(row['prior']) for row in near):.0f}"


def _frequent(table: list[Row]) -> list[dict[str, Any]]:
    """The most frequent bins, with the share of the pixels in each and in all so far."""
    rows = sorted(table, key=lambda row: -float(row["prior"]))[:FREQUENT]
    shares = [100 * float(row["prior"]) for row in rows]
    return [
        {
            "a": row["a"],
            "b": row["b"],
            "share": f"{share:.1f}",
            "sum": f"{sum(shares[: n + 1]):.1f}",
            "weight": f"{float(row['weight']):.3g}",
        }
        for n, (row, share) in enumerate(zip(rows, shares, strict=True))
    ]
