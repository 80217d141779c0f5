"""Lists the photos that the arguments name: files, and the images in folders that are not results of this program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from colorize.sharding import formats

MAP_ENDING = ".entropy.png"  # of the entropy maps; files with such a name in a folder are never taken for photos


class Entry(NamedTuple):
    """A photo to color."""

    path: Path  # as the user gave it, or below the folder that the user gave
    below: Path  # folder of the result, relative to the folder of all results


class Listed(NamedTuple):
    """What the arguments name."""

    entries: list[Entry]  # each photo once, in a fixed order
    failures: list[tuple[Path, str]]  # arguments and subfolders without a photo, and the reasons
    num_results: int  # results of this program in the folders, and entropy maps; they are skipped
    num_subfolders: int  # left out because they were not asked for
    left_out: dict[str, int]  # other files in the folders, without hidden ones: ending -> number


def find(named: list[Path], is_recursive: bool) -> Listed:
    """List the photos.

    Args:
        named: files and folders. A file that is named is a photo, even if it is a result of this program.
        is_recursive: also list the subfolders. Links to folders are followed; each folder is listed once.

    Returns:
        the photos, and what was left out.
    """
    search = _Search(is_recursive)
    for path in named:
        try:
            search.add(path)
        except (OSError, ValueError) as error:  # ValueError: a name with a null character
            search.failures.append((path, getattr(error, "strerror", None) or str(error)))
    return search.listed()


class _Search:
    def __init__(self, is_recursive: bool):
        self._is_recursive = is_recursive
        self._photos: dict[Path, Entry] = {}  # resolved path -> photo
        self._results: set[Path] = set()
        self._others: dict[Path, str] = {}  # resolved path -> name
        self._subfolders: set[Path] = set()
        self._visited: set[Path] = set()
        self.failures: list[tuple[Path, str]] = []

    def add(self, path: Path) -> None:
        """Add a file, or the photos of a folder."""
        if not path.is_dir():
            if not path.exists():
                raise FileNotFoundError(None, "no such file or folder")
            self._photos.setdefault(path.resolve(), Entry(path, Path()))
            return
        self._visited.clear()  # so that a folder that is named twice is listed twice, and not reported as empty
        num_listed = sum(self._add_folder(folder, below) for folder, below in self._folders(path, Path()))
        if not num_listed:
            hint = "" if self._is_recursive or not self._subfolders else "; --recursive adds its subfolders"
            raise FileNotFoundError(None, f"no photos in this folder{hint}")

    def _folders(self, folder: Path, below: Path) -> Iterator[tuple[Path, Path]]:
        """The folder and, if wanted, its subfolders: their paths, and their paths relative to the first."""
        resolved = folder.resolve()
        if resolved in self._visited:
            return
        self._visited.add(resolved)
        yield folder, below
        for subfolder in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            if not self._is_recursive:
                self._subfolders.add(subfolder.resolve())
                continue
            try:
                yield from self._folders(subfolder, below / subfolder.name)
            except OSError as error:  # such as a folder that this user must not read
                self.failures.append((subfolder, error.strerror or str(error)))

    def _add_folder(self, folder: Path, below: Path) -> int:
        """Add the photos of one folder, without subfolders; returns their number."""
        from colorize.photos import mark

        num_photos = 0
        for file in sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()):
            resolved = file.resolve()
            if not formats.is_image(file.name):
                self._others[resolved] = file.name
            elif file.name.lower().endswith(MAP_ENDING) or mark.read(file):
                self._results.add(resolved)
            else:
                self._photos.setdefault(resolved, Entry(file, below))
                num_photos += 1
        return num_photos

    def listed(self) -> Listed:
        """What was found, without what is named elsewhere."""
        others = formats.endings(name for file, name in self._others.items() if file not in self._photos)
        num_results = len(self._results - self._photos.keys())
        return Listed(list(self._photos.values()), self.failures, num_results, len(self._subfolders), others)


def key(path: Path) -> str:
    """A key that is equal for all names of one file, also on file systems that ignore case."""
    return str(path.resolve()).casefold()
