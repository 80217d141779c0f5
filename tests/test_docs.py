"""README and docs: what they name exists. What their commands do is tested where the commands are."""

import re
import shlex
from pathlib import Path

import pytest

PAGES = ("README.md", "CONTRIBUTING.md", "docs/data.md", "docs/export.md", "docs/extending.md", "docs/operations.md",
         "docs/intervals.md", "docs/measures.md", "docs/photos.md", "docs/reproduction.md", "docs/scaling.md",
         "benchmarks/README.md")  # fmt: skip
MODULE_COMMAND = re.compile(r"python -m ((?:stages|colorize|benchmarks|tools)[\w.]*)")
GENERATED = ("data/", ".state", ".venv")  # exist only after a run


@pytest.fixture(params=PAGES)
def page(request, repo) -> Path:
    return repo / request.param


def commands(page: Path) -> list[str]:
    """The lines of shell blocks and what stands in backticks, without comments."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line] + re.findall(
        r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    )


def test_every_make_target_exists(page, repo):
    named = {word for line in commands(page) for word in re.findall(r"(?:^|&& )make ([\w.-]+)", line)}
    known = set(re.findall(r"^([\w-]+):", (repo / "Makefile").read_text(), re.MULTILINE))
    assert named <= known | {".venv"}


def test_every_module_and_script_exists(page, repo):
    for line in commands(page):
        for module in MODULE_COMMAND.findall(line):
            path = repo / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), line
        for script in re.findall(r"(?:^|\s)((?:tools|benchmarks)/[\w/]+\.(?:py|sh))", line):
            assert (repo / script).is_file(), line


def test_every_link_leads_to_a_file(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_path_in_backticks_exists(page, repo):
    """Except for files that a diff on the page creates."""
    created = re.findall(r"^--- /dev/null\n\+\+\+ b/(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    folders = ("colorize", "docs", "profiles", "sources", "stages", "tests", "tools", "results")
    for name in re.findall(r"`([\w./-]+)`", page.read_text(encoding="utf-8")):
        if name.split("/")[0] in folders and "/" in name and not name.startswith(GENERATED) and name not in created:
            assert (repo / name).exists(), name


def test_shell_lines_can_be_parsed(page):
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            shlex.split(line, comments=True)


def test_the_first_page_is_short(repo):
    assert len((repo / "README.md").read_text(encoding="utf-8").splitlines()) <= 130
