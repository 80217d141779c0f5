"""Section: what was trained on what, and which model was the best."""

from __future__ import annotations

from colorize.report.evidence import Evidence
from colorize.report.page.section import Section


def build(evidence: Evidence) -> Section:
    """The first section of the page."""
    return Section("overview", "Overview", {"titles": evidence.table1.titles})
