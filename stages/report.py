"""Write Table 1, figures, curves and gallery: `python -m stages.report`; with `show`, only print the table."""

import sys

from colorize import runtime
from colorize.config import params
from colorize.pipeline import promise


def main(command: str = "build") -> None:
    """data/evaluations, data/histories, sources/titles.yaml -> results, data/gallery."""
    if command not in ("build", "show"):
        raise runtime.ParameterError(f"unknown command {command!r}; expected: build, show")
    if command == "show":
        from colorize import report

        report.show_table(report.read_table(params.load()))
        return
    with promise.stage("report") as stage:
        from colorize import report

        report.write_report(stage.settings)
    runtime.say(*report.SUMMARY.split("\n"))


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
