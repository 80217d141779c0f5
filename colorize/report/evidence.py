"""What the report computes from its inputs, once for all tables, figures and pages."""

from __future__ import annotations

from dataclasses import dataclass

from colorize.report import claims, decodings, generalization, measures, overfitting, table
from colorize.report.claims import Claim
from colorize.report.decodings import Decoded
from colorize.report.generalization import Generalization
from colorize.report.inputs import Inputs
from colorize.report.measures import Line
from colorize.report.overfitting import Gap
from colorize.report.table import Table


@dataclass(frozen=True)
class Evidence:
    """The results of one report."""

    inputs: Inputs
    table1: Table
    measures: list[Line]  # of results/measures.csv: every measure of every model, baseline and decoding
    decoded: list[Decoded]  # of Table 2
    claims: list[Claim]  # of the paper
    gaps: list[Gap]  # of over-fitting
    ratios: list[Generalization]


def gather(inputs: Inputs) -> Evidence:
    """Compute everything that tables and pages show.

    Raises:
        DataError: an input is missing or damaged; the message names the file and the stage that makes it.
    """
    gaps, ratios = overfitting.gaps(inputs), generalization.generalizations(inputs)
    return Evidence(
        inputs=inputs,
        table1=table.read_table(inputs),
        decoded=decodings.read_decoded(inputs),
        measures=list(measures.lines(inputs)),
        claims=claims.judge(inputs, gaps, ratios),
        gaps=gaps,
        ratios=ratios,
    )
