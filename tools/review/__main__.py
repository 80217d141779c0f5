"""Review the results of this repository: `python -m tools.review`, or `make review`.

Prints one line per cell of Table 1 and one line per deviation. The exit code is 1 if there is a deviation.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools.review import comparisons, printed_tables, ranking
from tools.review.printed import Findings
from tools.review.recompute import Results, recompute
from tools.review.tables import Review


def compare(root: Path, results: Results) -> Findings:
    """Compare all printed numbers of a repository with ours."""
    review = Review(root, results)
    review.check_details()
    review.check_metrics()
    review.check_measures()
    printed_tables.check(review)
    ranking.check_differences(review)
    comparisons.check_generalization(review)
    comparisons.check_calibration(review)
    comparisons.check_histories(review)
    return review.findings


def main(root: Path = Path()) -> int:
    """Compute all numbers of a repository and compare them; returns the exit code."""
    findings = compare(root, recompute(root))
    print(*findings.summary(), sep="\n")
    for line in findings.deviations:
        print(f"deviation: {line}")
    return 1 if findings.deviations else 0


if __name__ == "__main__":
    sys.exit(main())
