"""Write Table 1, figures, curves and gallery: `python -m stages.report`; with `show`, only print the table."""

import sys

from colorize import params, report, runtime


def main(command: str = "build") -> None:
    """data/evaluations, data/histories, results/metrics -> results, data/gallery."""
    settings = params.load()
    report.show(report.read(settings) if command == "show" else report.build(settings))


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
