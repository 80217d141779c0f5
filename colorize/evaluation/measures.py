"""The measures that evaluation computes for each test image. At present, these are the measures of the paper.

To add a measure, write a function that takes a `measuring.Compared` and returns one number per image. Add it to
`MEASURES` in this file, and its titles to `report/labels.py`. No training depends on this file.
"""

from __future__ import annotations

from colorize.evaluation import paper
from colorize.evaluation.measuring import Measure

MEASURES: dict[str, Measure] = {**paper.MEASURES}
