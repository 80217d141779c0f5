"""Run DVC and stages in clones, in children of a process that has loaded what they import."""

from pathlib import Path

from colorize.layout import stage_name
from tests.helpers import processes


def record(repo: Path, stages: list[tuple[str, ...]], log: Path) -> list[str]:
    """Run stages in children of this process, which need not import torch again, and have DVC record their results.

    Args:
        repo: a clone.
        stages: script and arguments of each.
        log: gets what the stages print.

    Returns:
        DVC's names of the stages.
    """
    processes.load_everything()
    for stage in stages:
        processes.run(repo, stage, log)
    names = [name_of(*stage) for stage in stages]
    dvc(repo, "commit", "--force", *names)
    return names


def name_of(script: str, *arguments: str) -> str:
    """DVC's name of the stage that calls a script with these arguments."""
    if arguments[-1] == "baselines":
        return stage_name("baseline", arguments[0])
    return stage_name(script, *arguments)


def dvc(repo: Path, *arguments: str, expect: int = 0, COLORIZE_RAW: str = "") -> str:  # noqa: N803
    """Run a command of DVC in a clone; both of its streams."""
    code, output = processes.dvc(repo, *arguments, COLORIZE_RAW=COLORIZE_RAW or str(repo / "raw"))
    assert code == expect, output[-4000:]
    return output
