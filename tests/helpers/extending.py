"""The diffs and tables of docs/extending.md."""

import re
import subprocess
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


def section(title: str) -> str:
    """The text below a heading."""
    text = PAGE.read_text(encoding="utf-8")
    return re.split(r"^## ", text.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def diffs_of(title: str) -> list[str]:
    """The diffs of a section, in order."""
    return re.findall(r"```diff\n(.*?)```", section(title), flags=re.DOTALL)


def files_in_table(title: str) -> list[str]:
    """The files in the first column of the section's table."""
    return re.findall(r"^\| `([\w./]+)` \|", section(title), flags=re.MULTILINE)


def apply(repo: Path, diffs: list[str], *options: str) -> None:
    """Apply diffs to a repository, as a reader of the page does."""
    for diff in diffs:
        subprocess.run(["git", "apply", *options], cwd=repo, input=diff, text=True, check=True)
