"""All measures that evaluation computes of every test image: the paper's, and those that were added.

An added measure is a function from a batch to one number per image, and an entry in `MEASURES`; how the report names
it is in `report/labels.py`. No training depends on this file.
"""

from __future__ import annotations

from colorize.evaluation import paper
from colorize.evaluation.measuring import Measure

MEASURES: dict[str, Measure] = {**paper.MEASURES}
