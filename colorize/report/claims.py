"""The claims of the paper's section 6, judged by the numbers of this run.

A claim is a list of findings. A finding is one comparison of two numbers with a 95 % interval, and the interval alone
decides its verdict. A claim holds if all of its findings hold, and does not hold if one of them does not. Otherwise it
cannot be told. `claims_page.py` writes results/claims.md.

No rule names a data set, so the same code judges the paper's data sets. The names of models are those of the paper.
With several seeds, a finding only has a verdict if the sign of the difference is the same for every seed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from colorize.layout import Cell
from colorize.report.generalization import Generalization
from colorize.report.inputs import Inputs
from colorize.report.intervals import Interval, student_t
from colorize.report.labels import METRIC_LABELS, metric_title, model_title
from colorize.report.measures import Method, read_measured
from colorize.report.overfitting import Gap
from colorize.report.table import read_paper

FEWEST_SEEDS = 3  # for an interval over seeds; with two, Student's t distribution gives no useful limits
PAIRS = (("cnn", "cnn_weighted"), ("unet", "unet_weighted"))  # without and with class weights


class Verdict(StrEnum):
    """What the numbers say about a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    OPEN = "cannot be told"
    UNTESTED = "not tested"


@dataclass(frozen=True)
class Finding:
    """One comparison.

    Attributes:
        where: data set, or pair of data sets.
        what: the two things that are compared, such as "Unet minus CNN".
        measure: name of the measure.
        interval: the difference and its 95 % interval; NaN if it is not defined.
        verdict: of this comparison.
        missing: what would decide it; empty if it is decided.
    """

    where: str
    what: str
    measure: str
    interval: Interval
    verdict: Verdict
    missing: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, in our words, and its findings."""

    title: str
    rule: str  # which numbers must be how, for the claim to hold
    findings: list[Finding]
    needs: str  # what params.yaml must name, for the claim to be tested
    notes: list[str] = field(default_factory=list)  # what a reader must know in addition

    @property
    def verdict(self) -> Verdict:
        """All findings hold; or one does not hold; or it cannot be told."""
        verdicts = {finding.verdict for finding in self.findings}
        if not verdicts:
            return Verdict.UNTESTED
        return next((one for one in (Verdict.FAILS, Verdict.OPEN) if one in verdicts), Verdict.HOLDS)


class Facts:
    """Paired comparisons of models on the test images of their own data set."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    def difference(self, dataset: str, measure: str, method: Method, other: Method) -> tuple[Interval, list[float]]:
        """`method` minus `other`, trained and tested on the data set; and the same difference for every seed."""
        measured = read_measured(self.inputs, dataset, dataset, [measure], (method, other))
        interval = measured.compare(measure, (method, other), [(method, other)]).differences[method, other]
        values = [self._by_seed(dataset, measure, one) for one in (method, other)]
        return interval, [a - b for a, b in zip(*values, strict=True)]

    def _by_seed(self, dataset: str, measure: str, method: Method) -> list[float]:
        cell = Cell(dataset, method.model, dataset)
        return self.inputs.values_by_seed(cell, method.decoding)[measure]


def judge(inputs: Inputs, gaps: list[Gap], ratios: list[Generalization]) -> list[Claim]:
    """All claims, in the order of the paper.

    Args:
        inputs: the input files.
        gaps: all of `overfitting.gaps`.
        ratios: all of `generalization.generalizations`.

    Raises:
        DataError: an input is missing or damaged; names the file and the stage to run.
    """
    facts = Facts(inputs)
    rules = (regression_is_best, weights_change_nothing, weights_raise_only_the_loss, unet_is_best)
    return [
        *(rule(facts) for rule in rules),
        less_overfitting(inputs, gaps),
        first_generalizes(inputs, ratios),
        least_colorful(facts),
    ]


# --- claims ----------------------------------------------------------------------------------------------------------


def regression_is_best(facts: Facts) -> Claim:
    """Section 6.1: regression achieved the best L1 and L2."""
    findings, notes = [], []
    for dataset, model in _trained(facts.inputs, "regression"):
        others = facts.inputs.classifiers
        findings += [
            _lower(facts, dataset, measure, Method(model, ""), Method(other, "mode"))
            for measure in ("l2", "l1")
            for other in others
        ]
        for other in others:
            interval, _ = facts.difference(dataset, "l2", Method(model, ""), Method(other, "mean"))
            notes.append((dataset, other, interval))
    lost = [f"{model_title(other)} on {facts.inputs.titles[dataset]}" for dataset, other, i in notes if i.low > 0]
    won = [f"{model_title(other)} on {facts.inputs.titles[dataset]}" for dataset, other, i in notes if i.high < 0]
    text = (
        "The classifiers are decoded by the mode, as in the paper. The mode is not made for L2: the mean of the same "
        "distribution has a lower L2. Against the mean (Table 2), the L2 of the regression is "
        f"{_listed('better than that of', won)}, {_listed('worse than that of', lost)}; for the other pairs, the "
        "interval contains 0."
    )
    return Claim(
        "The regression has the best L2 and L1.",
        "L2 and L1 of the regression are lower than those of every classifier, on every data set.",
        findings,
        "the model `regression` and a classifier",
        [text] if notes else [],
    )


def weights_change_nothing(facts: Facts) -> Claim:
    """Section 6.1: for L1, L2 and accuracy there was negligible difference with the addition of class weights."""
    margins = paper_margins()
    findings = [
        _within(facts, dataset, measure, weighted, plain, margin)
        for dataset, (plain, weighted) in _paired(facts.inputs)
        for measure, margin in margins.items()
    ]
    limits = ", ".join(f"{metric_title(name)} {margin:.3f}" for name, margin in margins.items())
    return Claim(
        "Class weights change L2, L1 and accuracy only by negligible amounts.",
        "The interval of (with weights - without weights) is inside ± the margin: then the finding holds. It does not "
        "hold if the interval is completely outside. The margin is the largest difference that the paper's own Table 1 "
        f"shows between these models on the same data set, which the paper calls negligible: {limits}.",
        findings,
        "a model with and without class weights",
    )


def weights_raise_only_the_loss(facts: Facts) -> Claim:
    """Section 6.1: cross entropy increased for models with weights, caused by the class weights."""
    findings = [
        _lower(facts, dataset, "cross_entropy", Method(weighted, "mode"), Method(plain, "mode"))
        for dataset, (plain, weighted) in _paired(facts.inputs)
    ]
    return Claim(
        "Class weights raise the cross entropy only because they are part of the loss.",
        "The plain cross entropy, which has no weights, of the model with weights is lower. It does not hold if it is "
        "higher: then the predicted distributions themselves are worse in this measure.",
        findings,
        "a model with and without class weights",
        ["The paper has one column for the cross entropy and does not say which one it is (docs/reproduction.md)."],
    )


def unet_is_best(facts: Facts) -> Claim:
    """Sections 6.2 and 7: the U-Net without class weights performs best."""
    others = [model for model in facts.inputs.classifiers if model != "unet"]
    findings = [
        _lower(facts, dataset, measure, Method(model, "mode"), Method(other, "mode"))
        for dataset, model in _trained(facts.inputs, "unet")
        for measure in ("l2", "l1", "cross_entropy", "accuracy")
        for other in others
    ]
    return Claim(
        "The U-Net without class weights is the best classifier.",
        "It is better than every other classifier in L2, L1, cross entropy and accuracy, on every data set.",
        findings,
        "the model `unet` and another classifier",
        ["The paper also means how the pictures look to people. Numbers cannot judge that: see results/figures."],
    )


def less_overfitting(inputs: Inputs, gaps: list[Gap]) -> Claim:
    """Section 6.1: the U-Net and class weights reduced over-fitting."""
    found = {(gap.run, gap.at): gap.gap for gap in gaps if gap.measure == "cross_entropy"}
    grown: dict[tuple[str, str], list[float]] = {}  # by data set and model: one per seed
    for run in (run for run, at in found if at == "last"):
        grown.setdefault((run.dataset, run.model), []).append(found[run, "last"] - found[run, "first"])
    wanted = [("unet", "cnn"), *((weighted, plain) for plain, weighted in PAIRS)]
    findings = [
        _over_seeds(inputs.titles[dataset], f"{model_title(model)} minus {model_title(other)}", a, b)
        for dataset in inputs.datasets
        for model, other in wanted
        if (a := grown.get((dataset, model))) and (b := grown.get((dataset, other)))
    ]
    return Claim(
        "The U-Net and class weights reduce over-fitting.",
        "The gap between the plain cross entropy of validation images and of training images grows less from the first "
        "to the last step (results/overfitting.csv). The interval is over seeds.",
        findings,
        "the models `cnn` and `unet`, or a model with and without class weights",
    )


def first_generalizes(inputs: Inputs, ratios: list[Generalization]) -> Claim:
    """Section 6.2, robustness: the model trained on Tiny ImageNet generalizes better to Places than the reverse."""
    first, second = (*inputs.datasets, "", "")[:2]
    found = {(one.cell, one.measure): one.ratio for one in ratios}
    names = {name: inputs.titles[name] for name in inputs.datasets}
    findings = [
        _apart(f"{names[first]} and {names[second]}", model, measure, there, back)
        for model in inputs.models
        for measure in ("l2", "cross_entropy", "accuracy")
        if (there := found.get((Cell(first, model, second), measure)))
        and (back := found.get((Cell(second, model, first), measure)))
    ]
    a, b = names.get(first, "the first data set"), names.get(second, "the second")
    return Claim(
        f"Models trained on {a} generalize better to {b} than the reverse.",
        f"Relative loss = (cross - own) / (reference - own), see results/generalization.csv: 0 is as good as a model "
        f"trained on the tested data set, 1 as bad as a baseline. The relative loss from {a} to {b} is lower than that "
        f"from {b} to {a}: their two intervals must not overlap.",
        findings,
        "two data sets",
        [
            "The paper compares absolute numbers. They also depend on how hard the test images are. In the paper, the "
            "second data set has 18 times as many training images, so the size of the data sets, and not only their "
            "content, can be the reason."
        ],
    )


def least_colorful(facts: Facts) -> Claim:
    """Section 6.2: the regression model produced the least colorful images."""
    findings = [
        _lower(facts, dataset, "colorfulness", Method(model, ""), Method(other, "mode"))
        for dataset, model in _trained(facts.inputs, "regression")
        for other in facts.inputs.classifiers
    ]
    return Claim(
        "The regression gives the least colorful pictures.",
        "The colorfulness (M3 of Hasler and Süsstrunk) of its predictions is lower than that of every classifier, on "
        "every data set.",
        findings,
        "the model `regression` and a classifier",
    )


# --- findings --------------------------------------------------------------------------------------------------------


def _lower(facts: Facts, dataset: str, measure: str, method: Method, other: Method) -> Finding:
    """Whether `method` is better; for measures without a direction, whether it is lower."""
    interval, by_seed = facts.difference(dataset, measure, method, other)
    is_yes, is_no = interval.high < 0, interval.low > 0
    if METRIC_LABELS[measure].better == "higher":
        is_yes, is_no = is_no, is_yes
    return _finding(facts, dataset, method, other, measure, interval, by_seed, is_yes, is_no)


def _within(facts: Facts, dataset: str, measure: str, weighted: str, plain: str, margin: float) -> Finding:
    """Whether the difference is inside of ± margin."""
    method, other = Method(weighted, "mode"), Method(plain, "mode")
    interval, by_seed = facts.difference(dataset, measure, method, other)
    is_yes, is_no = -margin < interval.low and interval.high < margin, interval.low > margin or interval.high < -margin
    distance = abs(abs(interval.value) - margin)
    by_seed = [math.copysign(1, abs(value) - margin) for value in by_seed]  # seeds must agree on the side of the margin
    return _finding(facts, dataset, method, other, measure, interval, by_seed, is_yes, is_no, distance)


def _finding(
    facts: Facts,
    dataset: str,
    method: Method,
    other: Method,
    measure: str,
    interval: Interval,
    by_seed: list[float],
    is_yes: bool,
    is_no: bool,
    distance: float | None = None,
) -> Finding:
    what = f"{model_title(method.model)} minus {model_title(other.model)}"
    verdict, missing = Verdict.HOLDS if is_yes else Verdict.FAILS if is_no else Verdict.OPEN, ""
    if len({value > 0 for value in by_seed}) > 1:
        verdict, missing = Verdict.OPEN, "the seeds disagree: more seeds, or longer training"
    elif verdict is Verdict.OPEN:
        missing = _more_groups(interval, abs(interval.value) if distance is None else distance)
    return Finding(facts.inputs.titles[dataset], what, measure, interval, verdict, missing)


def _more_groups(interval: Interval, distance: float) -> str:
    """How many groups of test images would decide it, if the difference stays as it is."""
    half = (interval.high - interval.low) / 2
    if not (math.isfinite(half) and distance > 0):
        return "more groups of test images"
    factor = (half / distance) ** 2
    if factor > 100:
        return "more than 100 times as many groups of test images"
    return f"about {max(math.ceil(factor), 2)} times as many groups of test images"


def _over_seeds(where: str, what: str, values: list[float], others: list[float]) -> Finding:
    """Whether the first values are lower, by the t interval of the paired differences over seeds."""
    differences, measure = [a - b for a, b in zip(values, others, strict=True)], "cross_entropy"
    mean, count = statistics.fmean(differences), len(differences)
    if count < FEWEST_SEEDS:
        interval = Interval(mean, -math.inf, math.inf, count)
        return Finding(where, what, measure, interval, Verdict.OPEN, f"at least {FEWEST_SEEDS} seeds; here {count}")
    half = student_t(count - 1) * statistics.stdev(differences) / math.sqrt(count)
    interval = Interval(mean, mean - half, mean + half, count)
    if interval.excludes_zero:
        return Finding(where, what, measure, interval, Verdict.HOLDS if mean < 0 else Verdict.FAILS)
    return Finding(where, what, measure, interval, Verdict.OPEN, "more seeds")


def _apart(where: str, model: str, measure: str, there: Interval, back: Interval) -> Finding:
    """Whether the first ratio is lower: the two intervals, which come from different images, do not overlap."""
    low, high = there.low - back.high, there.high - back.low
    interval = Interval(there.value - back.value, low, high, min(there.num_groups, back.num_groups))
    if math.isnan(interval.value):
        missing = "models that are clearly better than the baseline on their own data set: without them, no ratio"
        return Finding(where, model_title(model), measure, interval, Verdict.OPEN, missing)
    verdict = Verdict.HOLDS if high < 0 else Verdict.FAILS if low > 0 else Verdict.OPEN
    missing = _more_groups(interval, abs(interval.value)) if verdict is Verdict.OPEN else ""
    return Finding(where, model_title(model), measure, interval, verdict, missing)


# --- models and margins ----------------------------------------------------------------------------------------------


def paper_margins() -> dict[str, float]:
    """Per measure, the largest difference that weights make in the same-domain part of the paper's Table 1."""
    paper = read_paper()
    datasets = {cell.source for cell in paper if cell.source == cell.target}
    return {
        measure: max(
            abs(paper[Cell(name, weighted, name)][measure] - paper[Cell(name, plain, name)][measure])
            for name in datasets
            for plain, weighted in PAIRS
        )
        for measure in ("l2", "l1", "accuracy")
    }


def _trained(inputs: Inputs, model: str) -> Iterable[tuple[str, str]]:
    """Each data set with this model; nothing if params.yaml does not name the model."""
    return [(dataset, model) for dataset in inputs.datasets if model in inputs.models]


def _paired(inputs: Inputs) -> Iterable[tuple[str, tuple[str, str]]]:
    """Each data set with each pair of models, without and with weights, that params.yaml names."""
    pairs = [pair for pair in PAIRS if {*pair} <= {*inputs.models}]
    return [(dataset, pair) for dataset in inputs.datasets for pair in pairs]


def _listed(text: str, names: list[str]) -> str:
    return f"{text} {', '.join(names)}" if names else f"{text} no classifier"
