"""Section: Table 1 with intervals, the paper's numbers and marks; every column can be sorted."""

from __future__ import annotations

from typing import Any

from colorize.layout import UNTRAINED
from colorize.report import labels
from colorize.report.evidence import Evidence
from colorize.report.intervals import Interval
from colorize.report.labels import format_limits, format_number, metric_title, model_title
from colorize.report.measures import methods_of
from colorize.report.page.section import Section
from colorize.report.table import CellMetrics

Intervals = dict[tuple[str, str, str, str], Interval]  # by source, target, model and measure


def build(evidence: Evidence) -> Section:
    """One table per pair of data sets."""
    table1, intervals = evidence.table1, intervals_of(evidence)
    quadrants = [
        {
            "source": table1.titles[source],
            "target": table1.titles[target],
            "rows": [_row(evidence, found, intervals) for found in table1.quadrant(source, target)],
        }
        for source, target in table1.pairs()
    ]
    has_paper = any(found.paper for found in table1.cells.values())
    values = {
        "quadrants": quadrants,
        "metrics": [(metric_title(name), labels.better_text(name)) for name in table1.metrics],
        "caption": table1.caption,
        "has_paper": has_paper,
    }
    return Section("table", "Table 1", values)


def intervals_of(evidence: Evidence) -> Intervals:
    """The intervals of the values in Table 1, which are those of the mode."""
    return {
        (line.source, line.target, line.method.model, line.measure): line.interval
        for line in evidence.measures
        if line.method == methods_of(line.method.model)[0]
    }


def _row(evidence: Evidence, found: CellMetrics, intervals: Intervals) -> dict[str, Any]:
    cell, differences = found.cell, found.differences()
    cells = []
    for metric in evidence.table1.metrics:
        value = found.ours.get(metric)
        interval = intervals.get((cell.source, cell.target, cell.model, metric))
        paper = format_number(found.paper[metric], metric, labels.PAPER_DECIMALS) if metric in found.paper else ""
        cells.append(
            {
                "text": labels.format_with_sd(value, found.sd.get(metric), metric),
                "sort": "" if value is None else value,
                "limits": format_limits(interval, metric) if interval and value is not None else "",
                "paper": paper,
                "difference": format_number(differences[metric], metric, sign="+") if metric in differences else "",
                "is_best": cell.model in evidence.table1.best(cell.source, cell.target, metric),
                "is_worse": cell.model in evidence.table1.worse(cell.source, cell.target, metric),
            }
        )
    return {"title": model_title(cell.model), "is_untrained": cell.model in UNTRAINED, "cells": cells}
