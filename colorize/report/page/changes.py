"""Section of the page that compares two runs: what changed, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from colorize.layout import Cell
from colorize.report.changes import Change, Changes, verdict
from colorize.report.labels import DECODINGS, format_limits, format_number, metric_title, model_title
from colorize.report.page.section import Section


def build(found: Changes, titles: dict[str, str], names: list[str], params: list[dict[str, Any]]) -> Section:
    """The first section of the page.

    Args:
        found: the changes.
        titles: of the data sets of both runs.
        names: of the revisions, before and after.
        params: the contents of params.yaml of both.
    """
    clear = [change for change in found.changed if change.is_clear]
    values = {
        "names": names,
        "clear": [_row(change, titles) for change in clear],
        "others": [_row(change, titles) for change in found.changed if not change.is_clear],
        "equal": found.equal,
        "compared": found.equal + len(found.changed),
        "params": [*parameters(params[0], params[1])],
        "added": [_cell_text(cell, titles) for cell in found.added],
        "removed": [_cell_text(cell, titles) for cell in found.removed],
    }
    return Section("changes", "What changed", values)


def _row(change: Change, titles: dict[str, str]) -> dict[str, Any]:
    return {
        "source": titles.get(change.source, change.source),
        "target": titles.get(change.target, change.target),
        "model": model_title(change.method.model),
        "decoding": DECODINGS.get(change.method.decoding, ""),
        "measure": metric_title(change.measure),
        "before": format_number(change.before, change.measure),
        "after": format_number(change.after, change.measure),
        "difference": format_number(change.after - change.before, change.measure, sign="+"),
        "sort": change.after - change.before,
        "limits": format_limits(change.difference, change.measure, sign="+"),
        "verdict": verdict(change),
    }


def _cell_text(cell: Cell, titles: dict[str, str]) -> str:
    source, target = (titles.get(name, name) for name in (cell.source, cell.target))
    return f"{model_title(cell.model)}, trained on {source}, tested on {target}"


def parameters(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """The parameters that differ: name, value before and value after; "-" if there is none."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in (*before, *(name for name in after if name not in before)):
            yield from parameters(before.get(name, "-"), after.get(name, "-"), f"{key}.{name}" if key else str(name))
    elif before != after:
        yield key, str(before), str(after)
