"""Compare the results of two revisions on one page: `python tools/compare.py HEAD workspace`, as `make compare` does.

A revision is a commit, a branch, a tag, an experiment of `dvc exp show`, or `workspace`: the files as they are now. The
results of a revision are read from DVC's cache; nothing is trained or evaluated, and the files of the working tree stay
as they are.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from colorize import runtime
from colorize.config import strict_yaml
from colorize.runtime import DataError, ParameterError

if TYPE_CHECKING:
    from colorize.report.changes import Changes

PAGE = Path("data") / "compare.html"
PARAMS, TITLES, WORKSPACE = "params.yaml", "sources/titles.yaml", "workspace"
FOLDERS = ("data/evaluations", "data/histories", "data/priors")  # what the report reads
SHOWN = 10  # clear changes that are printed


class Revision(NamedTuple):
    """The results of a revision, as files."""

    name: str  # as the page shows it
    root: Path
    params: dict


def main(before: str = "HEAD", after: str = WORKSPACE) -> None:
    """Write data/compare.html, and print the clear changes.

    Raises:
        ParameterError: there is no such revision.
        DataError: results of a revision are neither in the cache nor in the working tree.
    """
    from colorize.report import changes, page
    from colorize.report.evidence import gather
    from colorize.report.inputs import Inputs

    with tempfile.TemporaryDirectory() as folder:
        commits = [None if name == WORKSPACE else resolve(name) for name in (before, after)]
        revisions = [
            read(name, commit, Path(folder) / str(n))
            for n, (name, commit) in enumerate(zip((before, after), commits, strict=True))
        ]
        inputs = [Inputs(*(one.params[key] for key in ("datasets", "models", "seeds")), one.root) for one in revisions]
        found = changes.compare_runs(*inputs)
        names, params = ([one[n] for one in revisions] for n in (0, 2))
        content = page.render_comparison(inputs[0], gather(inputs[1]), found, names, params)
    with runtime.atomic_write(PAGE) as file:
        file.write(content)
    runtime.say(*summary(found, names), f"all changes, to open in a browser: {PAGE}")


def summary(found: Changes, names: list[str]) -> list[str]:
    """One line with the counts, and one line per clear change."""
    clear = [change for change in found.changed if change.is_clear]
    lines = [f"{names[1]} compared with {names[0]}: {len(clear)} clear changes, {len(found.changed) - len(clear)} that "
             f"can be chance, {found.equal} equal values"]  # fmt: skip
    for change in clear[:SHOWN]:
        where = f"{change.source}-{change.method.model} on {change.target}"
        limits = f"[{change.difference.low:+.5f}, {change.difference.high:+.5f}]"
        decoding = f" of the {change.method.decoding}" if change.method.decoding else ""
        lines.append(f"  {where}: {change.measure}{decoding} {change.difference.value:+.5f} {limits}")
    return lines + ["  ..."] * (len(clear) > SHOWN)


def read(name: str, commit: str | None, folder: Path) -> Revision:
    """The results of a commit, copied from DVC's cache into the folder; without a commit, those of the working tree.

    Raises:
        DataError: something is not in the cache.
    """
    if commit is None:
        return Revision(name, Path(), strict_yaml.read(Path(PARAMS), "it is missing"))
    copy(commit, name, folder)
    return Revision(f"{name} ({commit[:7]})", folder, strict_yaml.read(folder / PARAMS, "it is missing"))


def resolve(name: str) -> str:
    """The hash of the commit of a revision or an experiment. Raises ParameterError if there is none."""
    for candidate in (name, *_experiments(name)):
        done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}")
        if done.returncode == 0:
            return done.stdout.strip()
    raise ParameterError(
        f"there is no revision or experiment {name!r}; `git log --oneline` and `dvc exp list --all` show their names"
    )


def _experiments(name: str) -> list[str]:
    references = _git("for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/exps").stdout.split("\n")
    return [reference for reference in references if reference.endswith(f"/{name}")]


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True)


def copy(commit: str, name: str, folder: Path) -> None:
    """Copy the inputs of the report of a commit. Raises DataError if something is not in the cache."""
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(".", rev=commit)
    with runtime.progress(f"copy the results of {name} from the cache", total=len(FOLDERS), unit="folders") as advance:
        for path in (PARAMS, TITLES, *FOLDERS):
            try:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                files.get(path, str(folder / path), recursive=True)
            except Exception as error:  # DVC's errors for a missing file have no common class
                reason = runtime.first_line(error)
                remedy = "run `dvc pull --all-commits`, or check out that revision and run `make repro`"
                raise DataError(f"{path} of {name} cannot be read from DVC's cache ({reason}); {remedy}") from error
            advance(path in FOLDERS)


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
