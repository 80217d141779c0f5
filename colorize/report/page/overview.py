"""Section: what was trained on what, which model was the best, what class weights changed, and where models fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from colorize.layout import Cell
from colorize.report import claims, claims_page
from colorize.report.claims_page import Winner
from colorize.report.evidence import Evidence
from colorize.report.intervals import Interval
from colorize.report.labels import best_value, format_interval, format_number, metric_title, model_title
from colorize.report.measures import Method
from colorize.report.page.section import Section
from colorize.report.page.tradeoff import true_colorfulness
from colorize.report.table import few_groups_caption

MEASURES = ("l2", "cross_entropy")  # the measures of the short answers
ON_COLORFULNESS = ("less colorful than", "about as colorful as", "more colorful than")


def build(evidence: Evidence) -> Section:
    """The first section of the page."""
    table1 = evidence.table1
    winners = [one for one in claims_page.winners(table1) if one.source == one.target and one.measure in MEASURES]
    values = {
        "datasets": [
            (table1.titles[name], *_num_images(evidence, name), table1.num_groups[name]) for name in table1.datasets
        ],
        "models": [model_title(model) for model in table1.models],
        "seeds": table1.seeds,
        "few": few_groups_caption(table1.num_groups, table1.titles),
        "winners": [_winner(evidence, one) for one in winners],
        "weights": [*_weights(evidence)],
        "true_colors": [
            (table1.titles[name], format_number(value, "colorfulness"))
            for name in table1.datasets
            if (value := true_colorfulness(evidence.measures, name, name)) is not None
        ],
        "failures": [*_failures(evidence)],
    }
    return Section("overview", "In short", values)


def _num_images(evidence: Evidence, dataset: str) -> tuple[int, int]:
    """The numbers of training images and of test images of a data set."""
    inputs = evidence.inputs
    return inputs.num_training_images(dataset), inputs.num_images(Cell(dataset, inputs.models[0], dataset))


def _winner(evidence: Evidence, one: Winner) -> dict[str, Any]:
    return {
        "dataset": evidence.table1.titles[one.target],
        "measure": metric_title(one.measure),
        "model": one.model,
        "value": one.value,
        "tied": " and ".join(one.tied),
        "is_winner": one.is_above_baselines,
        "is_certain": one.is_next_clear and one.is_baseline_clear,
        "baseline": one.to_baseline,
        "is_baseline_clear": one.is_baseline_clear,
        "next": one.to_next,
        "is_next_clear": one.is_next_clear,
    }


def _weights(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Colorfulness and L2 of each pair of models with and without class weights, on its own data set."""
    inputs, facts = evidence.inputs, claims.Facts(evidence.inputs)
    of_lines = {(one.source, one.target, one.method, one.measure): one.interval.value for one in evidence.measures}
    pairs = [pair for pair in claims.PAIRS if {*pair} <= {*inputs.models}]
    for dataset in inputs.datasets:
        for plain, weighted in pairs:
            both = Method(weighted, "mode"), Method(plain, "mode")
            color, _ = facts.difference(dataset, "colorfulness", *both)
            l2, _ = facts.difference(dataset, "l2", *both)
            yield {
                "dataset": inputs.titles[dataset],
                "weighted": model_title(weighted),
                "plain": model_title(plain),
                "color": ON_COLORFULNESS[1 + _sign(color)],
                "color_values": [
                    format_number(of_lines[dataset, dataset, method, "colorfulness"], "colorfulness") for method in both
                ],
                "color_text": format_interval(color, "colorfulness", sign="+"),
                "cost": ("lower", "not clearly different", "higher")[1 + _sign(l2)],
                "cost_text": format_interval(l2, "l2", sign="+"),
            }


def _sign(interval: Interval) -> int:
    """1: above 0, -1: below 0, 0: the interval contains 0."""
    return (interval.low > 0) - (interval.high < 0)


def _failures(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """For each model, the measures of Table 1 in which it is worse than a prediction without training."""
    table1, is_related = evidence.table1, evidence.inputs.have_common_images
    for model in table1.models:
        places = []
        for source, target in table1.pairs():
            measured = [name for name in table1.metrics if best_value([0.0], name) is not None]
            if worse := [metric_title(name) for name in measured if model in table1.worse(source, target, name)]:
                where = {"source": table1.titles[source], "target": table1.titles[target]}
                places.append(where | {"is_own": is_related(source, target), "measures": ", ".join(worse)})
        yield {"model": model_title(model), "places": places}
