"""Table 2: the colors of every decoding, as Markdown.

A classifier predicts a distribution over the bins, and a decoding makes a color of it. The paper takes the mode. The
regression predicts the mean color directly, so a fair comparison with it needs the mean of the distribution.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from colorize.report import labels
from colorize.report.differences import Ranking, rank
from colorize.report.inputs import Inputs
from colorize.report.labels import format_with_sd, metric_title, model_title
from colorize.report.measures import Method, methods_of, read_measured
from colorize.report.seeds import OverSeeds
from colorize.report.table import MARKS, MethodRow, aligned, escape_markdown, few_groups_caption, marked

BASELINES_SHOWN = ("gray", "lightness")
CAPTION = (
    "The colors of all decodings on the test splits. Mode: the most probable bin, as in the paper. Annealed mean: the "
    "mean color of the distribution at the temperature 0.38. Mean: the mean color of the distribution. L2 and L1 of "
    "ab / 128, PSNR in dB. A model with one decoding counts as one model: {marks} All baselines of Table 1 count "
    "with all decodings, also those without a row here (measures.csv). The two columns of colorfulness have no marks: "
    "compare them with each other."
)


@dataclass(frozen=True)
class Decoded:
    """The colors of all methods that are trained on `source`, on the test images of `target`.

    Attributes:
        source: data set of the training.
        target: data set of the test images.
        values: the measures of each method with each decoding, over the split.
        rankings: by measure of Table 2; every model takes part with all its decodings.
        num_groups: number of groups of test images.
    """

    source: str
    target: str
    values: dict[Method, dict[str, OverSeeds]]
    rankings: dict[str, Ranking]
    num_groups: int


def read_decoded(inputs: Inputs) -> list[Decoded]:
    """All pairs of data sets, those with the same data set first.

    Raises:
        DataError: the measures of a model or baseline are missing or damaged; names the file and the stage to run.
    """
    pairs = [(source, target) for source in inputs.datasets for target in inputs.datasets]
    return [_read(inputs, *pair) for pair in sorted(pairs, key=lambda pair: pair[0] != pair[1])]


def _read(inputs: Inputs, source: str, target: str) -> Decoded:
    measured = read_measured(inputs, source, target, labels.TABLE2_METRICS)
    methods = _methods_of_models(inputs)
    rankings = {metric: rank(measured, metric, methods) for metric in labels.TABLE2_METRICS}
    return Decoded(source, target, measured.values, rankings, measured.groups.num_groups)


def to_markdown(inputs: Inputs, pairs: Iterable[Decoded]) -> str:
    """Markdown with one table per pair of data sets, from all of `read_decoded`."""
    blocks, num_groups = [], {}
    for decoded in pairs:
        source, target = (escape_markdown(inputs.titles[name]) for name in (decoded.source, decoded.target))
        blocks += [f"**Trained on {source}, evaluated on {target}**", _table_of(decoded, _methods_of_models(inputs))]
        num_groups[decoded.target] = decoded.num_groups
    few = few_groups_caption(num_groups, inputs.titles)
    caption = " ".join([CAPTION.format(marks=MARKS[0].lower() + MARKS[1:]), few]).strip()
    return "\n\n".join([f"**Table 2.** {escape_markdown(caption)}", *blocks]) + "\n"


def _methods_of_models(inputs: Inputs) -> list[Method]:
    return [method for model in inputs.models for method in methods_of(model)]


def _table_of(decoded: Decoded, of_models: list[Method]) -> str:
    """The table of one pair of data sets."""
    shown = [*of_models, *(method for model in BASELINES_SHOWN for method in methods_of(model))]
    lines = [["Method", "Decoding", *map(metric_title, labels.TABLE2_METRICS)]]
    lines.append([":---", ":---", *["---:"] * len(labels.TABLE2_METRICS)])
    for method in shown:
        row = _row_of(method, decoded.values[method], decoded.rankings)
        decoding = labels.DECODINGS.get(method.decoding, labels.ABSENT)
        numbers = [marked(row, metric, "**{}**") for metric in labels.TABLE2_METRICS]
        lines.append([escape_markdown(row.title), decoding, *numbers])
    return aligned(lines)


def _row_of(method: Method, values: dict[str, OverSeeds], rankings: dict[str, Ranking]) -> MethodRow:
    texts = {}
    for metric in rankings:
        value = values.get(metric)
        texts[metric] = format_with_sd(value and value.mean, value and value.sd, metric)
    best = frozenset(metric for metric, ranking in rankings.items() if method in ranking.best)
    worse = frozenset(metric for metric, ranking in rankings.items() if method in ranking.worse)
    return MethodRow(model_title(method.model), texts, best, worse)
