"""Chooses the file of each result, so that no file is lost: not a photo, not a foreign file, not another result.

The result of `photo.jpg` is `photo.jpg`, `photo-2.jpg`, `photo-3.jpg`, ... in the folder of the results: the first name
that is free, or that an earlier result of the same photo has. The names are planned in the order of the photos, and
checked again just before writing, while a lock on the folder keeps other runs away.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from colorize import runtime
from colorize.commands.listing import MAP_ENDING, Entry, key
from colorize.photos import mark
from colorize.photos.mark import Mark
from colorize.runtime import DataError

_LAST_RIVAL = 100  # results of a photo are looked for under so many names; beyond, `photo-101.jpg` may be made twice


class Target(NamedTuple):
    """Where a result goes."""

    path: Path
    is_done: bool  # this file already is the wanted result: same photo, model and parameters


class Names:
    """The files of the results of one run; all methods may be called from several threads.

    Args:
        out: folder of the results.
        entries: all photos of the run, in order.
        is_forced: make results again that are done.
        has_maps: each result also needs an entropy map.
    """

    def __init__(self, out: Path, entries: Sequence[Entry], is_forced: bool, has_maps: bool):
        self._out, self._is_forced, self._has_maps = out, is_forced, has_maps
        self._taken = {key(entry.path) for entry in entries}
        self._turns: dict[str, list[Entry]] = defaultdict(list)  # photos whose results may want the same name
        for entry in entries:
            self._turns[self._group(entry)].append(entry)
        self._num_rivals = {group: len(rivals) for group, rivals in self._turns.items()}
        self._changed = threading.Condition()
        self._swept: set[Path] = set()

    def plan(self, entry: Entry, ending: str, wanted: Mark) -> Target:
        """Choose the file of a result, after those of the photos before it that may want the same name.

        Args:
            entry: the photo.
            ending: of the result's name, such as `.jpg`.
            wanted: the mark that the result will have.
        """
        with self._turn_of(entry):
            folder = self._out / entry.below
            if folder not in self._swept:
                self._swept.add(folder)
                runtime.sweep(folder, is_recursive=False)
            target = self._choose(entry, ending, wanted)
            self._taken.add(key(target.path))
            return target

    def give_up(self, entry: Entry) -> None:
        """Let the photos after this one choose; has no effect after `plan`."""
        with self._changed:
            turns = self._turns[self._group(entry)]
            if entry in turns:
                turns.remove(entry)
                self._changed.notify_all()

    @contextlib.contextmanager
    def settled(self, entry: Entry, planned: Target, wanted: Mark) -> Iterator[Target]:
        """Check the plan against what other runs have written meanwhile, and keep other runs away during the block.

        Raises:
            DataError: the folder cannot be created.
        """
        make_folder(planned.path.parent)
        with _locked(planned.path.parent):
            target = self._checked(planned.path, wanted)
            if target is None:  # another run has taken the name
                with self._changed:
                    target = self._choose(entry, planned.path.suffix, wanted)
                    self._taken.add(key(target.path))
            yield target

    @contextlib.contextmanager
    def _turn_of(self, entry: Entry) -> Iterator[None]:
        with self._changed:
            turns = self._turns[self._group(entry)]
            self._changed.wait_for(lambda: turns[0] is entry)
            try:
                yield
            finally:
                turns.remove(entry)
                self._changed.notify_all()

    def _group(self, entry: Entry) -> str:
        return str(entry.below / entry.path.stem).casefold()

    def _choose(self, entry: Entry, ending: str, wanted: Mark) -> Target:
        """The wanted result if it exists, else another result of the same photo, else the first free name."""
        folder = self._out / entry.below
        start = str(folder.resolve() / entry.path.stem)
        free: Target | None = None
        earlier: Target | None = None
        for number in itertools.count(1):
            suffix = f"{'' if number == 1 else f'-{number}'}{ending}"
            target = None
            if f"{start}{suffix}".casefold() not in self._taken:
                target = self._checked(folder / f"{entry.path.stem}{suffix}", wanted)
            if target and target.is_done:
                return target
            if target and os.path.lexists(target.path):
                earlier = earlier or target
            else:
                free = free or target
            # an earlier run may have left a gap, or a photo may have moved: then its result has a later name
            if free and number >= min(self._num_rivals[self._group(entry)], _LAST_RIVAL):
                return earlier or free
        raise AssertionError("unreachable")

    def _checked(self, path: Path, wanted: Mark) -> Target | None:
        """The target at this path; None if another photo, or a file that is no result, has this path or its map's."""
        map_path = map_of(path)
        if self._has_maps and os.path.lexists(map_path) and not _is_of_photo(mark.read(map_path), wanted):
            return None
        if not os.path.lexists(path):
            return Target(path, is_done=False)
        found = mark.read(path)
        if not _is_of_photo(found, wanted):
            return None
        is_complete = not self._has_maps or map_path.is_file()
        return Target(path, is_complete and not self._is_forced and _is_same(found, wanted))


def map_of(result: Path) -> Path:
    """The path of the entropy map of a result."""
    return result.with_name(result.name + MAP_ENDING)


def remove_map(result: Path, wanted: Mark) -> None:
    """Remove the entropy map beside a result if it is one of the same photo; other files stay."""
    path = map_of(result)
    if _is_of_photo(mark.read(path), wanted):
        path.unlink()


def make_folder(folder: Path) -> None:
    """Create a folder for results.

    Raises:
        DataError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot create this folder ({error.strerror}); choose another one with -o") from None


def _is_of_photo(found: Mark | None, wanted: Mark) -> bool:
    return found is not None and found.source_sha256 == wanted.source_sha256


def _is_same(found: Mark | None, wanted: Mark) -> bool:
    """Whether a result comes from the same photo, model and parameters; the version of the program may differ."""
    keys = ("source_sha256", "model_sha256", "temperature", "size", "strength")
    return found is not None and all(getattr(found, name) == getattr(wanted, name) for name in keys)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which the system releases when a process ends. The lock leaves no file behind."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # network drives without locks: only runs at the same time need them
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
