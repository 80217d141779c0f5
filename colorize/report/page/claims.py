"""Section: who won where, and the claims of the paper."""

from __future__ import annotations

from typing import Any

from colorize.report import claims_page
from colorize.report.claims import Claim, Verdict
from colorize.report.evidence import Evidence
from colorize.report.labels import format_interval, metric_title
from colorize.report.page.section import Section


def build(evidence: Evidence) -> Section:
    """The content of results/claims.md."""
    table1 = evidence.table1
    values = {
        "introduction": claims_page.WINNERS.replace("**", ""),
        "winners": [(one, table1.titles, metric_title(one.measure)) for one in claims_page.winners(table1)],
        "claims": [_claim(number, claim) for number, claim in enumerate(evidence.claims, start=1)],
        "caveats": [text.replace("`", "") for text in claims_page.CAVEATS],
        "seeds": claims_page.seeds_text(len(table1.seeds)),
    }
    return Section("claims", "Who won, and the claims of the paper", values)


def _claim(number: int, claim: Claim) -> dict[str, Any]:
    findings = [
        {
            "where": one.where,
            "what": one.what,
            "measure": metric_title(one.measure),
            "difference": format_interval(one.interval, one.measure, sign="+"),
            "verdict": one.verdict,
            "missing": one.missing,
        }
        for one in claim.findings
    ]
    return {
        "number": number,
        "title": claim.title,
        "verdict": claim.verdict,
        "kind": {Verdict.HOLDS: "holds", Verdict.FAILS: "fails"}.get(claim.verdict, "open"),
        "counts": claims_page.counts_text(claim),
        "rule": claim.rule if claim.findings else f"params.yaml does not name {claim.needs}. {claim.rule}",
        "findings": findings,
        "notes": claim.notes,
    }
