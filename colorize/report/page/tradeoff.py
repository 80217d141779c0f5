"""Section: colorfulness against error, for every model, baseline and decoding."""

from __future__ import annotations

import math
from typing import Any

from colorize.layout import UNTRAINED
from colorize.report.evidence import Evidence
from colorize.report.labels import DECODINGS, METRIC_LABELS, format_interval, metric_title, model_title
from colorize.report.measures import Line
from colorize.report.page.section import Section

ERRORS = ("l2", "l1", "ciede2000", "psnr", "ssim")
COLORFULNESS, TRUTH = "colorfulness", "true_colorfulness"


def build(evidence: Evidence) -> Section | None:
    """The points by pair of data sets; None if no measure of the error or no colorfulness is known."""
    table1 = evidence.table1
    pairs = table1.pairs()
    lines = {(line.source, line.target, line.method, line.measure): line for line in evidence.measures}
    errors = [name for name in ERRORS if any(key[3] == name for key in lines)]
    if not errors or not any(key[3] == COLORFULNESS for key in lines):
        return None
    methods = list(dict.fromkeys(line.method for line in evidence.measures))
    names = [*table1.models, *UNTRAINED]
    plots = []
    for source, target in pairs:
        points = [
            {"model": names.index(method.model), "decoding": DECODINGS.get(method.decoding, "")}
            | {
                name: found
                for name in (COLORFULNESS, *errors)
                if (found := _value(lines, source, target, method, name))
            }
            for method in sorted(methods, key=lambda method: names.index(method.model))
        ]
        plots.append({"points": points, "truth": true_colorfulness(evidence.measures, source, target)})
    data = {
        "models": [[model_title(name), name in UNTRAINED] for name in names],
        "pairs": [f"{table1.titles[source]} → {table1.titles[target]}" for source, target in pairs],
        "errors": [[name, metric_title(name), METRIC_LABELS[name].better] for name in errors],
        "plots": plots,
    }
    return Section("tradeoff", "Colorful or correct?", {}, data)


def true_colorfulness(lines: list[Line], source: str, target: str) -> float | None:
    """The colorfulness of the true images, which is the same for all methods; None if it is not known."""
    found = (one.interval.value for one in lines if (one.source, one.target, one.measure) == (source, target, TRUTH))
    return next((round(value, 2) for value in found if math.isfinite(value)), None)


def _value(lines: dict[Any, Line], source: str, target: str, method: Any, measure: str) -> list[Any] | None:
    """Value of a measure, its text with the interval, and the limits of the interval; None if there is no value."""
    line = lines.get((source, target, method, measure))
    if line is None or not math.isfinite(line.interval.value):
        return None
    limits = [line.interval.low, line.interval.high] if line.interval.is_bounded else [None, None]
    numbers = [None if number is None else float(f"{number:.6g}") for number in (line.interval.value, *limits)]
    return [numbers[0], format_interval(line.interval, measure), *numbers[1:]]
