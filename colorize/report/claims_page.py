"""results/claims.md: which model won where, and what this run says about the claims of the paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from colorize.report import labels
from colorize.report.claims import Claim, Finding, Verdict
from colorize.report.differences import Ranking
from colorize.report.labels import MINUS, format_interval, format_number, metric_title, model_title
from colorize.report.measures import Method
from colorize.report.table import Table, aligned, escape_markdown, few_groups_caption

MEASURES = ("l2", "l1", "cross_entropy", "accuracy")
INTRODUCTION = (
    "Code (colorize/report/claims.py) writes this page from the measured values of this run. A number such as "
    f"`{MINUS}0.0100 [{MINUS}0.0150, {MINUS}0.0050]` is a difference with its 95 % interval over groups of test "
    "images: if the interval does not contain 0, the difference is larger than chance explains. Lower L2, L1 and "
    "cross entropy are better; higher accuracy is better."
)
WINNERS = (
    "**Best**: the model with the best value. If others are named, their difference to it can be chance; only "
    "models that are better than all baselines are named. **To the next**: best model minus the model with the next "
    "best value. **To the baseline**: best model minus the best prediction without training, of all baselines of Table "
    "1 and all their decodings. If no model is better than all baselines, there is no winner."
)
CAVEATS = (
    "The intervals are about other test images that are taken in the same way: of the same photographs, if the groups "
    "are crops of a few photographs. They say nothing about other photographs.",
    "The seed is not in the intervals over images. Another seed gives other models, and small differences can change "
    "their sign. `dvc exp run -S 'seeds=[0,1,2]'` trains more seeds.",
    "With 20 comparisons of equal models, about one looks like a difference by chance. Each line is one comparison.",
    "A claim is judged as a whole: one comparison that does not hold is enough, so a claim about many comparisons is "
    "hard to hold.",
)


def to_markdown(table1: Table, found: list[Claim]) -> str:
    """The page: the winners in Table 1, and the verdicts on the claims."""
    blocks = ["# Which model won where, and the claims of the paper", INTRODUCTION, "## Who won where", WINNERS]
    blocks += [_winners(table1), *_few_groups(table1), "## The claims of the paper", _overview(found)]
    for number, claim in enumerate(found, start=1):
        blocks += [f"### {number}. {escape_markdown(claim.title)}", *_section(claim)]
    blocks += ["## How sure is this", "\n".join(f"- {text}" for text in CAVEATS), seeds_text(len(table1.seeds))]
    return "\n\n".join(blocks) + "\n"


@dataclass(frozen=True)
class Winner:
    """The best model of one measure of a pair of data sets. All texts are plain."""

    source: str
    target: str
    measure: str
    model: str  # title
    value: str
    tied: list[str]  # titles of the models that are not clearly worse
    is_above_baselines: bool  # False: no model beats the baselines, so there is no winner
    to_next: tuple[str, str]  # difference to the model with the next best value, with its interval; that model
    to_baseline: tuple[str, str]  # the same for the best baseline; both texts are empty if there is none
    is_next_clear: bool  # whether the interval of this difference does not contain 0
    is_baseline_clear: bool


def winners(table1: Table) -> Iterator[Winner]:
    """The best model of each pair of data sets, for each measure that a model has."""
    for source, target in table1.pairs():
        models = [found for found in table1.quadrant(source, target) if found.cell.model in table1.models]
        for measure in MEASURES:
            if values := {found.cell.model: found.ours[measure] for found in models if measure in found.ours}:
                yield _winner(source, target, values, measure, table1.rankings[source, target, measure])


def _winner(source: str, target: str, values: dict[str, float], measure: str, ranking: Ranking) -> Winner:
    """The best of the values, which are by model."""
    best = _best(values, measure)
    differences = {(one.method.model, one.other.model): one for one in ranking.differences}
    to_next = to_baseline = ("", "")
    is_next_clear = is_baseline_clear = False
    if found := next((one for (a, b), one in differences.items() if a == best and b not in values), None):
        to_baseline = (format_interval(found.interval, measure, sign="+"), _method_title(found.other))
        is_baseline_clear = found.interval.excludes_zero
    if rest := {model: value for model, value in values.items() if model != best}:
        second = _best(rest, measure)
        difference = -differences[second, best].interval
        to_next, is_next_clear = (
            (format_interval(difference, measure, sign="+"), model_title(second)),
            difference.excludes_zero,
        )
    return Winner(
        source=source,
        target=target,
        measure=measure,
        model=model_title(best),
        value=format_number(values[best], measure),
        tied=sorted(model_title(one.model) for one in ranking.best if one.model != best),
        is_above_baselines=bool(ranking.best),
        to_next=to_next,
        to_baseline=to_baseline,
        is_next_clear=is_next_clear,
        is_baseline_clear=is_baseline_clear,
    )


def _winners(table1: Table) -> str:
    lines = [["Trained on", "Tested on", "Measure", "Best", "To the next", "To the baseline"], [":---"] * 6]
    for one in winners(table1):
        titles = [escape_markdown(table1.titles[name]) for name in (one.source, one.target)]
        if one.is_above_baselines:
            best = f"**{escape_markdown(one.model)}** {one.value}"
            best += f", not clearly better than {escape_markdown(' and '.join(one.tied))}" if one.tied else ""
        else:
            best = f"no winner: no model beats the baselines (best: {escape_markdown(one.model)})"
        differences = [
            ", ".join(filter(None, (text, escape_markdown(title)))) for text, title in (one.to_next, one.to_baseline)
        ]
        lines.append([*titles, metric_title(one.measure), best, *differences])
    return aligned(lines)


def _best(values: dict[str, float], measure: str) -> str:
    """The first model with the best value."""
    return next(model for model in values if values[model] == labels.best_value([*values.values()], measure))


def _method_title(method: Method) -> str:
    title, decoding = model_title(method.model), labels.DECODINGS.get(method.decoding, "")
    return f"{title} ({decoding})" if decoding and method.decoding not in labels.MODES else title


def _few_groups(table1: Table) -> list[str]:
    caption = few_groups_caption(table1.num_groups, table1.titles)
    return [escape_markdown(caption)] if caption else []


def _overview(found: list[Claim]) -> str:
    lines = [["", "Claim", "This run"], ["---:", ":---", ":---"]]
    for number, claim in enumerate(found, start=1):
        details = counts_text(claim)
        lines.append(
            [str(number), escape_markdown(claim.title), f"**{claim.verdict}**" + (f" ({details})" * bool(details))]
        )
    return aligned(lines)


def counts_text(claim: Claim) -> str:
    """How many findings of a claim have each verdict, such as `3 x holds, 1 x cannot be told`."""
    counts = Counter(finding.verdict for finding in claim.findings)
    return ", ".join(f"{counts[verdict]} x {verdict}" for verdict in Verdict if counts[verdict])


def _section(claim: Claim) -> list[str]:
    rule = escape_markdown(claim.rule)
    if claim.verdict is Verdict.UNTESTED:
        return [f"**{claim.verdict}**: params.yaml does not name {claim.needs}.", rule]
    lines = [["Data", "Compared", "Measure", "Difference", "Finding", "What would decide it"], [":---"] * 6]
    lines += [_line(finding) for finding in claim.findings]
    return [f"**{claim.verdict}.** {rule}", aligned(lines), *map(escape_markdown, claim.notes)]


def _line(finding: Finding) -> list[str]:
    where, what = escape_markdown(finding.where), escape_markdown(finding.what)
    number = format_interval(finding.interval, finding.measure, sign="+")
    return [where, what, metric_title(finding.measure), number, finding.verdict, finding.missing]


def seeds_text(number: int) -> str:
    """A sentence about the number of seeds."""
    return f"Number of seeds in this run: {number}" + (", so nothing here is known about other seeds." * (number == 1))
