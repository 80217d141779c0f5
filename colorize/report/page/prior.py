"""Section: which colors the training images have, and the class weights that follow from it."""

from __future__ import annotations

from colorize.report.evidence import Evidence
from colorize.report.inputs import BIN_COLUMNS
from colorize.report.page.section import Section


def build(evidence: Evidence) -> Section:
    """The bins of every data set, with their prior and class weight."""
    inputs = evidence.inputs
    tables = [inputs.bins(dataset) for dataset in inputs.datasets]
    data = {
        "datasets": [inputs.titles[dataset] for dataset in inputs.datasets],
        "bins": [[int(float(row[name])) for name in BIN_COLUMNS[:5]] for row in tables[0]],
        "values": [[[float(row["prior"]), float(row["weight"])] for row in table] for table in tables],
    }
    return Section("prior", "Colors of the training images", {}, data)
