"""Clones of this repository, in which tests run the real commands."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def clone(folder: Path) -> Path:
    """A git repository that holds the files of this working tree, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in sorted(filter(None, listed.stdout.split("\0"))):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def commit(repo: Path) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", "init", "--quiet"], cwd=repo, check=True)
    subprocess.run(["git", "add", "--all"], cwd=repo, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "--message", "test"], cwd=repo, check=True)


def run(repo: Path, *command: str, expect: int = 0, **environment: str) -> str:
    """Run a command in a clone; both of its streams."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    raw = environment.pop("COLORIZE_RAW", str(repo / "raw"))
    done = subprocess.run(
        command,
        cwd=repo,
        env={**os.environ, "PATH": path, "COLORIZE_RAW": raw, "PYTHONPATH": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == expect, done.stdout[-4000:]
    return done.stdout


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text in a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@contextlib.contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    """A file with another text in it, for a while."""
    text = path.read_text()
    edit(path, old, new)
    try:
        yield
    finally:
        path.write_text(text)


def stages_run(output: str) -> list[str]:
    """Names of the stages that ran (or, dry, would run)."""
    return re.findall(r"Running stage '([^']+)'", output)
