"""results/claims.md: which model won where, and what this run says about the claims of the paper."""

from __future__ import annotations

import math

from colorize.report import claims, labels
from colorize.report.claims import Claim, Finding, Verdict
from colorize.report.differences import Ranking, rank
from colorize.report.inputs import Inputs
from colorize.report.intervals import Interval
from colorize.report.labels import MINUS, format_number, metric_title, model_title
from colorize.report.measures import Measured, Method, methods_of, read_measured
from colorize.report.table import aligned, escape_markdown, few_groups_caption

MEASURES = ("l2", "l1", "cross_entropy", "accuracy")
INTRODUCTION = (
    "Code (colorize/report/claims.py) writes this page from the measured values of this run. A number such as "
    f"`{MINUS}0.0100 [{MINUS}0.0150, {MINUS}0.0050]` is a difference with its 95 % interval over groups of test "
    "images: if the interval does not contain 0, the difference is larger than chance explains. Lower L2, L1 and "
    "cross entropy are better; higher accuracy is better."
)
WINNERS = (
    "**Best**: the model with the best value. If others are named, their difference to it can be chance. **To the "
    "next**: best model minus the model with the next best value. **To the baseline**: best model minus the best "
    "prediction without training, of all baselines of Table 1 and all their decodings. If no model is better than all "
    "baselines, there is no winner."
)
CAVEATS = (
    "The intervals are about other test images that are taken in the same way: of the same photographs, if the groups "
    "are crops of a few photographs. They say nothing about other photographs.",
    "The seed is not in the intervals over images. Another seed gives other models, and small differences can change "
    "their sign. `dvc exp run -S 'seeds=[0,1,2,3]'` trains more seeds.",
    "With 20 comparisons of equal models, about one looks like a difference by chance. Each line is one comparison.",
    "A claim is judged as a whole: one comparison that does not hold is enough, so a claim about many comparisons is "
    "hard to hold.",
)


def to_markdown(inputs: Inputs) -> str:
    """The page.

    Raises:
        DataError: an input is missing or damaged; names the file and the stage to run.
    """
    found = claims.judge(inputs)
    blocks = ["# Which model won where, and the claims of the paper", INTRODUCTION, "## Who won where", WINNERS]
    blocks += [_winners(inputs), *_few_groups(inputs), "## The claims of the paper", _overview(found)]
    for number, claim in enumerate(found, start=1):
        blocks += [f"### {number}. {escape_markdown(claim.title)}", *_section(claim)]
    blocks += ["## How sure is this", "\n".join(f"- {text}" for text in CAVEATS), _seeds(inputs)]
    return "\n\n".join(blocks) + "\n"


def _winners(inputs: Inputs) -> str:
    lines = [["Trained on", "Tested on", "Measure", "Best", "To the next", "To the baseline"], [":---"] * 6]
    models = [methods_of(model)[0] for model in inputs.models]
    pairs = [(a, b) for a in inputs.datasets for b in inputs.datasets]
    for source, target in sorted(pairs, key=lambda pair: pair[0] != pair[1]):
        measured = read_measured(inputs, source, target, MEASURES)
        titles = [escape_markdown(inputs.titles[name]) for name in (source, target)]
        for measure in MEASURES:
            if measured.having(measure, models):
                ranking = rank(measured, measure, models)
                lines.append([*titles, metric_title(measure), *_winner(measured, measure, models, ranking)])
    return aligned(lines)


def _winner(measured: Measured, measure: str, models: list[Method], ranking: Ranking) -> list[str]:
    """The cells `Best`, `To the next` and `To the baseline` of one measure."""
    values = measured.having(measure, models)
    best = next(one for one in values if values[one] == labels.best_value([*values.values()], measure))
    to_baseline = [one for one in ranking.differences if one.method == best and one.other.model not in _names(models)]
    baseline = ""
    if to_baseline:
        other, interval = to_baseline[0].other, to_baseline[0].interval
        baseline = f"{_text(interval, measure)}, {_method_title(other)}"
    rest = {one: value for one, value in values.items() if one != best}
    following = ""
    if rest:
        second = next(one for one in rest if rest[one] == labels.best_value([*rest.values()], measure))
        interval = measured.compare(measure, [best, second], [(best, second)]).differences[best, second]
        following = f"{_text(interval, measure)}, {model_title(second.model)}"
    if not ranking.best:
        return [f"no winner: no model beats the baselines (best: {model_title(best.model)})", following, baseline]
    tied = [model_title(one.model) for one in ranking.best if one != best]
    name = f"**{model_title(best.model)}** {format_number(values[best], measure)}"
    return [name + (f", not clearly better than {' and '.join(sorted(tied))}" if tied else ""), following, baseline]


def _names(models: list[Method]) -> set[str]:
    return {method.model for method in models}


def _method_title(method: Method) -> str:
    title, decoding = escape_markdown(model_title(method.model)), labels.DECODINGS.get(method.decoding, "")
    return f"{title} ({decoding})" if decoding and method.decoding not in labels.MODES else title


def _few_groups(inputs: Inputs) -> list[str]:
    counts = {name: read_measured(inputs, name, name, ()).groups.num_groups for name in inputs.datasets}
    caption = few_groups_caption(counts, inputs.titles)
    return [escape_markdown(caption)] if caption else []


def _overview(found: list[Claim]) -> str:
    lines = [["", "Claim", "This run"], ["---:", ":---", ":---"]]
    for number, claim in enumerate(found, start=1):
        counts = [sum(one.verdict is verdict for one in claim.findings) for verdict in Verdict]
        details = ", ".join(f"{n} x {verdict}" for n, verdict in zip(counts, Verdict, strict=True) if n)
        lines.append(
            [str(number), escape_markdown(claim.title), f"**{claim.verdict}**" + (f" ({details})" * bool(details))]
        )
    return aligned(lines)


def _section(claim: Claim) -> list[str]:
    rule = escape_markdown(claim.rule)
    if claim.verdict is Verdict.UNTESTED:
        return [f"**{claim.verdict}**: params.yaml does not name {claim.needs}.", rule]
    lines = [["Data", "Compared", "Measure", "Difference", "Finding", "What would decide it"], [":---"] * 6]
    lines += [_line(finding) for finding in claim.findings]
    return [f"**{claim.verdict}.** {rule}", aligned(lines), *map(escape_markdown, claim.notes)]


def _line(finding: Finding) -> list[str]:
    where, what = escape_markdown(finding.where), escape_markdown(finding.what)
    number = _text(finding.interval, finding.measure)
    return [where, what, metric_title(finding.measure), number, finding.verdict, finding.missing]


def _text(interval: Interval, measure: str) -> str:
    """A difference with its interval; a missing interval is left out."""
    if math.isnan(interval.value):
        return "not defined"
    value = format_number(interval.value, measure, sign="+")
    if not interval.is_bounded:
        return value
    low, high = (format_number(limit, measure, sign="+") for limit in (interval.low, interval.high))
    return f"{value} [{low}, {high}]"


def _seeds(inputs: Inputs) -> str:
    number = len(inputs.seeds)
    return f"Number of seeds in this run: {number}" + (", so nothing here is known about other seeds." * (number == 1))
