"""Write Table 1, figures, curves and gallery: `python -m stages.report`; with `show`, only print the table."""

import sys
from pathlib import Path

from colorize import params, report, runtime


def main(command: str = "build") -> None:
    """data/evaluations, data/histories, results/metrics -> results, data/gallery."""
    if command not in ("build", "show"):
        raise runtime.ParameterError(f"unknown command {command!r}; expected: build, show")
    settings = params.load()
    if command == "show":
        report.show(report.read(settings))
    else:
        with runtime.outputs("report", Path("results"), report.GALLERY):
            report.build(settings)
        print(report.PLACES)


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
