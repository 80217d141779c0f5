"""`colorize inspect`: what a result says about itself, and where its photo and its model are."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from colorize import runtime
from colorize.commands import models
from colorize.commands.listing import MAP_ENDING
from colorize.runtime import DataError
from colorize.sharding import formats

if TYPE_CHECKING:
    from colorize.photos.mark import Mark


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("results", nargs="+", type=Path, metavar="file", help="a result of this program")
    parser.add_argument(
        "--in", dest="folders", action="append", default=[], type=Path, metavar="FOLDER",
        help="also look for the photo in this folder and its subfolders, by its content; may be repeated "
        "(default: only the folder of the result)",
    )  # fmt: skip
    parser.add_argument(
        "--model", dest="models", action="append", default=[], type=Path, metavar="FOLDER",
        help="also compare with this model; may be repeated (default: the models in data/models)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object per file")


def run(options: argparse.Namespace) -> None:
    """Print what each file says; exit with code 3 if a file has no mark."""
    known_models = {sha256: path for path in _models(options.models) if (sha256 := models.sha256_of(path))}
    sources = _Sources(options.folders)
    num_failed = 0
    for path in options.results:
        found, problem = _read(path)
        if found is None:
            num_failed += 1
            runtime.note(f"error: {path}: {problem}")
            if options.json:
                _say_json({"file": str(path), "problem": problem})
            continue
        source, model = sources.find(found.source_sha256, path), known_models.get(found.model_sha256)
        if options.json:
            _say_json(_fields(path, found, source, model))
        else:
            runtime.say(*_lines(path, found, source, model))
    if num_failed:
        sys.exit(DataError.exit_code)


def _read(path: Path) -> tuple[Mark | None, str]:
    """The mark of a file, or the reason why there is none."""
    from colorize.photos import mark

    if not path.exists():
        return None, "no such file"
    if not path.is_file():
        return None, "not a file"
    return mark.read(path), "no mark: not a result of this program, or the mark was removed"


def _models(named: list[Path]) -> Iterator[Path]:
    root = runtime.repo_root()
    yield from named
    yield from sorted(path.parent for path in (root / "data" / "models").glob("*/model.json"))


def _lines(path: Path, mark: Mark, source: Path | None, model: Path | None) -> list[str]:
    if not mark.model_sha256:
        what = "a model made the colors; written by an earlier version, which did not name the model"
        what = "an entropy map" if path.name.lower().endswith(MAP_ENDING) else what
        return [f"{path}: {what}", f"  photo        {_place(mark.source_sha256, source)}"]
    temperature = "none (a regression)" if mark.temperature is None else f"{mark.temperature:g}"
    size = "default" if mark.size is None else f"{mark.size} pixels"
    return [
        f"{path}: a model made the colors",
        f"  model        {mark.model}, weights {_place(mark.model_sha256, model)}",
        f"  temperature  {temperature}",
        f"  strength     {mark.strength:g}",
        f"  size         {size}",
        f"  photo        {_place(mark.source_sha256, source)}",
        f"  program      colorize {mark.version}",
    ]


def _place(sha256: str, path: Path | None) -> str:
    return f"SHA-256 {sha256 or 'unknown'} ({path or 'not found here'})"


def _fields(path: Path, mark: Mark, source: Path | None, model: Path | None) -> dict[str, object]:
    return {
        "file": str(path),
        "model": mark.model or None,
        "model_sha256": mark.model_sha256 or None,
        "model_path": str(model) if model else None,
        "temperature": mark.temperature,
        "strength": mark.strength,
        "size": mark.size,
        "source_sha256": mark.source_sha256 or None,
        "source_path": str(source) if source else None,
        "version": mark.version or None,
        "problem": None,
    }


def _say_json(fields: dict[str, object]) -> None:
    runtime.say(json.dumps(fields, sort_keys=True, allow_nan=False))


class _Sources:
    """Finds photos by their hash. Each file is hashed at most once, and only until the photo is found."""

    def __init__(self, folders: Iterable[Path]):
        self._folders = tuple(folders)
        self._known: dict[Path, str] = {}  # path -> SHA-256, or "" if the file cannot be read

    def find(self, sha256: str, result: Path) -> Path | None:
        """The photo of a result: first files with the result's name, then all other images."""
        if not sha256:
            return None
        files = [*_images(result.parent, is_recursive=False)]
        for folder in self._folders:
            files += _images(folder, is_recursive=True)
        files.sort(key=lambda path: not result.stem.startswith(path.stem))  # stable
        return next((path for path in files if path != result and self._sha256(path) == sha256), None)

    def _sha256(self, path: Path) -> str:
        if path not in self._known:
            try:
                self._known[path] = runtime.sha256_of(path)
            except OSError:
                self._known[path] = ""
        return self._known[path]


def _images(folder: Path, is_recursive: bool) -> list[Path]:
    found = folder.rglob("*") if is_recursive else folder.glob("*")
    return sorted(path for path in found if formats.is_image(path.name) and path.is_file())
