"""Section: any measure of every model, trained on each data set and tested on each, as a heat map."""

from __future__ import annotations

from typing import Any

from colorize.layout import UNTRAINED
from colorize.report import labels
from colorize.report.evidence import Evidence
from colorize.report.labels import DECODINGS, format_number, metric_hint, metric_title, model_title
from colorize.report.measures import Line
from colorize.report.page.section import Section


def build(evidence: Evidence) -> Section:
    """The values by measure and decoding. The script of the section draws them; without it, L2 of the mode is there."""
    table1 = evidence.table1
    pairs = [pair for band in table1.bands() for pair in band]
    models = [*table1.models, *UNTRAINED]
    values: dict[str, dict[str, list[list[Any]]]] = {}
    for line in evidence.measures:
        by_decoding = values.setdefault(line.measure, {})
        for decoding in [line.method.decoding] if line.method.decoding else DECODINGS:
            table = by_decoding.setdefault(decoding, [[None] * len(pairs) for _ in models])
            row, column = models.index(line.method.model), pairs.index((line.source, line.target))
            table[row][column] = _cell(evidence, line)
    data: dict[str, Any] = {
        "measures": [[name, metric_title(name), metric_hint(name)] for name in values],
        "decodings": [[name, title] for name, title in DECODINGS.items()],
        "models": [[model_title(model), model in UNTRAINED] for model in models],
        "pairs": [[table1.titles[source], table1.titles[target]] for source, target in pairs],
        "values": values,
    }
    first = next(iter(values))
    shown = {
        "title": metric_title(first),
        "hint": metric_hint(first),
        "pairs": data["pairs"],
        "rows": [*zip(data["models"], next(iter(values[first].values())), strict=True)],
    }
    return Section("matrix", "Trained here, tested there", shown, data)


def _cell(evidence: Evidence, line: Line) -> list[Any]:
    """Value, text, limits and mark of one line."""
    interval, mark = line.interval, ""
    if line.measure in evidence.table1.metrics and line.method.decoding in labels.MODES:
        where = (line.source, line.target, line.measure)
        mark = "best" if line.method.model in evidence.table1.best(*where) else mark
        mark = "worse" if line.method.model in evidence.table1.worse(*where) else mark
    limits = [format_number(limit, line.measure) for limit in (interval.low, interval.high)]
    text = f"[{limits[0]}, {limits[1]}]" if interval.is_bounded else ""
    value = round(interval.value, 5)  # as in all other tables
    return [value, format_number(value, line.measure), text, mark]
