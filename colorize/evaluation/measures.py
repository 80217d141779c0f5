"""All measures that evaluation computes for each test image: the measures of the paper, and additional ones.

To add a measure, write a function from a `measuring.Compared` to one number per image, and add it to `MEASURES`. Its
titles in the report are in `report/labels.py`. No training depends on this file.
"""

from __future__ import annotations

from colorize.evaluation import paper
from colorize.evaluation.measuring import Measure

MEASURES: dict[str, Measure] = {**paper.MEASURES}
