"""Section: colorfulness against error, for every model, baseline and decoding."""

from __future__ import annotations

from typing import Any

from colorize.layout import UNTRAINED
from colorize.report.claims_page import difference_text
from colorize.report.evidence import Evidence
from colorize.report.labels import DECODINGS, metric_title, model_title
from colorize.report.measures import Line
from colorize.report.page.section import Section

ERRORS = ("l2", "l1", "ciede2000", "psnr", "ssim")
COLORFULNESS, TRUTH = "colorfulness", "true_colorfulness"


def build(evidence: Evidence) -> Section:
    """The points by pair of data sets."""
    table1 = evidence.table1
    pairs = [pair for band in table1.bands() for pair in band]
    lines = {(line.source, line.target, line.method, line.measure): line for line in evidence.measures}
    methods = list(dict.fromkeys(line.method for line in evidence.measures))
    names = [*table1.models, *UNTRAINED]
    plots = []
    for source, target in pairs:
        points = [
            {"model": names.index(method.model), "decoding": DECODINGS.get(method.decoding, "")}
            | {
                name: found
                for name in (COLORFULNESS, *ERRORS)
                if (found := _value(lines, source, target, method, name))
            }
            for method in sorted(methods, key=lambda method: names.index(method.model))
        ]
        truth = [line.interval.value for line in evidence.measures if _is_truth(line, source, target)]
        plots.append({"points": points, "truth": round(truth[0], 2) if truth else None})
    data = {
        "models": [[model_title(name), name in UNTRAINED] for name in names],
        "pairs": [f"{table1.titles[source]} → {table1.titles[target]}" for source, target in pairs],
        "errors": [[name, metric_title(name)] for name in ERRORS if any(key[3] == name for key in lines)],
        "plots": plots,
    }
    return Section("tradeoff", "Colorful or correct?", {}, data)


def _is_truth(line: Line, source: str, target: str) -> bool:
    return line.measure == TRUTH and (line.source, line.target) == (source, target)


def _value(lines: dict[Any, Line], source: str, target: str, method: Any, measure: str) -> list[Any] | None:
    """Value of a measure, and its text with the interval; None if the method does not have it."""
    if (line := lines.get((source, target, method, measure))) is None:
        return None
    return [float(f"{line.interval.value:.6g}"), difference_text(line.interval, measure, sign="")]
