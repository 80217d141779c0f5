"""The order of the folders of colorize/, and the sizes of files and functions."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("runtime", "color", "archives", "ops", "models", "config", "data", "prior", "sharding", "evaluation",
           "training", "report", "photos", "export", "commands", "pipeline")  # fmt: skip
NAMES = ("layout",)  # a file beside the folders that imports none of them; all of them may import it
PROGRAMS = ("verify", "__main__", "__init__")  # files beside the folders that may import all of them
CODE = sorted((ROOT / "colorize").rglob("*.py")) + sorted((ROOT / "stages").rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported_names(path: Path) -> set[str]:
    """Modules and names that a file imports, within functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def imported_folders(path: Path) -> set[str]:
    """Folders of colorize/ that a file imports."""
    return {name.split(".")[1] for name in imported_names(path) if name.startswith("colorize.")}


def test_every_folder_has_its_place_in_the_order():
    found = {path.parent.name for path in (ROOT / "colorize").glob("*/__init__.py")}
    assert found == set(FOLDERS)
    assert {path.stem for path in (ROOT / "colorize").glob("*.py")} == {*PROGRAMS, *NAMES}
    assert not any(imported_folders(ROOT / "colorize" / f"{name}.py") for name in NAMES)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_folders_before_it(folder):
    allowed = {*NAMES, *FOLDERS[: FOLDERS.index(folder) + 1]}
    allowed |= {"verify"} if folder == "commands" else set()  # a program of its own, and a command too
    for path in sorted((ROOT / "colorize" / folder).rglob("*.py")):
        assert imported_folders(path) <= allowed, name_of(path)


def test_only_the_tool_imports_the_packages_of_perceptual_measures():
    packages = {"torchmetrics", "torch_fidelity"}  # their import takes seconds
    assert packages & {name.split(".")[0] for name in imported_names(ROOT / "tools" / "perceptual.py")}
    for path in CODE:
        assert not packages & {name.split(".")[0] for name in imported_names(path)}, name_of(path)


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            assert node.end_lineno - body[0].lineno < 40, node.name


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_says_what_belongs_there_and_what_does_not(folder):
    docstring = ast.get_docstring(ast.parse((ROOT / "colorize" / folder / "__init__.py").read_text()))
    assert "\n\nNot here: " in docstring
