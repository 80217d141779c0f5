"""The folder of an unfinished data set: what its tasks need, and what they have finished.

A finished shard is a tar with a record beside it, which is written last. After an interruption, only the work without a
record is done again, by any process that can read and write the folder. The name of the folder contains the fingerprint
of archives, settings and code, so records of other inputs are never used.

    .state/shards/<data set>-<fingerprint>/
        job.json                      input of all tasks
        index/000000-train.npy, .txt  images of a split in the first archive; index/000000.json is its record
        copies/000000.tar             an unpacked copy of a compressed archive
        train.npy                     (archives + 1,) where the images of each archive begin in the listing of the split
        train/000000.tar              a finished shard; train/000000.csv is its record, and its part of the table
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from colorize import runtime
from colorize.archives import parts
from colorize.archives.parts import Part
from colorize.data.shards import SPLITS, SplitName
from colorize.sharding import index, listing
from colorize.sharding.index import Member
from colorize.sharding.listing import Counts
from colorize.sharding.sources import Source

FIRST_NAMES = 10  # rejected images whose names are kept, per reason


class Settings(NamedTuple):
    """The parameters that decide the bytes of the shards."""

    size: int
    per_shard: int
    gray: str
    min_colorfulness: float


class Record(NamedTuple):
    """What is known of a finished shard, besides its part of the table of images."""

    sha256: str  # empty if every image was rejected, so that no tar was written
    bytes: int  # length of the tar
    images: int
    gray: int
    rejected: dict[str, dict]  # reason -> `images`, their number, and `first`, the names of the first of them
    notes: dict[str, int]  # conversions, such as CMYK to RGB

    @property
    def listed(self) -> int:
        """Number of images, including the rejected ones."""
        return self.images + sum(entry["images"] for entry in self.rejected.values())


class Job:
    """An unfinished data set."""

    def __init__(self, folder: Path, source: Source, found: Sequence[Part], settings: Settings):
        self.folder, self.source, self.found, self.settings = folder, source, found, settings

    @classmethod
    def create(cls, name: str, source: Source, found: Sequence[Part], settings: Settings, code: str) -> Job:
        """The unfinished data set of these inputs; earlier results of the same inputs are found in its folder.

        Args:
            name: name of the data set.
            source: its description.
            found: its archives.
            settings: parameters.
            code: digest of the code that the tasks run.
        """
        values = {
            "source": source.model_dump(mode="json", by_alias=True),
            "file": source._file,
            "parts": [list(part) for part in found],
            "settings": settings._asdict(),
            "code": code,
        }
        text = json.dumps(values, sort_keys=True)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        folder = (runtime.state_dir() / "shards" / f"{name}-{fingerprint}").absolute()
        if not (folder / "job.json").exists():
            runtime.write_text(folder / "job.json", text)
        return cls(folder, source, found, settings)

    @classmethod
    def load(cls, folder: Path) -> Job:
        """The unfinished data set in a folder, for a task."""
        values = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        source = Source.model_validate(values["source"])
        source._file = values["file"]
        return cls(folder, source, [Part(*part) for part in values["parts"]], Settings(**values["settings"]))

    def copy_of(self, part: Part) -> Path:
        """The path of an archive whose members can be read in place."""
        return parts.local_copy(part, self.folder / "copies" / f"{self.found.index(part):06d}.tar")

    def list_archive(self, number: int) -> None:
        """Write the index of one archive; its record is written last."""
        listed = listing.list_part(self.source, self.found[number], self.found, self.copy_of)
        before = self._digests(number)
        for split, members in listed.splits.items():
            index.write(self._index(number, split), members)
        if before and before != self._digests(number):  # a folder has changed since an earlier run
            for split in SPLITS:
                shutil.rmtree(self.folder / split, ignore_errors=True)
        runtime.write_json(self._listed(number), listed.counts._asdict())

    def _digests(self, number: int) -> list[str]:
        return [runtime.sha256_of(path) for path in sorted(self._listed(number).parent.glob(f"{number:06d}-*"))]

    def forget_folders(self) -> None:
        """Have folders listed again: nothing tells whether a folder has changed, unlike the time of an archive."""
        for number, part in enumerate(self.found):
            if part.is_folder:
                self._listed(number).unlink(missing_ok=True)

    def counts(self, number: int) -> Counts | None:
        """What was listed in one archive; None if it is not finished."""
        try:
            return Counts(**json.loads(self._listed(number).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def parts_of(self, split: SplitName) -> list[int]:
        """Numbers of the archives that hold a split."""
        file = self.source.archive_of(split)
        return [number for number, part in enumerate(self.found) if part.file == file]

    def write_starts(self, split: SplitName, images: Sequence[int]) -> None:
        """Store where the images of each archive begin in the listing of a split, from the number of its images."""
        runtime.write_array(self.folder / f"{split}.npy", np.cumsum([0, *images], dtype=np.int64))

    def number_of_shards(self, split: SplitName) -> int:
        """Number of shards of a split, whose archives are all listed."""
        return -(-int(self._starts(split)[-1]) // self.settings.per_shard)

    def _starts(self, split: SplitName) -> np.ndarray:
        return np.load(self.folder / f"{split}.npy")

    def members(self, split: SplitName, number: int) -> Iterator[tuple[Part, list[Member]]]:
        """The images of one shard, by archive, in the order of their keys."""
        starts = self._starts(split)
        first = number * self.settings.per_shard
        stop = min(first + self.settings.per_shard, int(starts[-1]))
        numbers = self.parts_of(split)
        position = int(np.searchsorted(starts, first, "right")) - 1
        while first < stop:
            begin, end = int(starts[position]), min(int(starts[position + 1]), stop)
            if first < end:
                part = numbers[position]
                yield self.found[part], index.read(self._index(part, split), first - begin, end - begin)
            first, position = end, position + 1

    def tar(self, split: SplitName, number: int) -> Path:
        """The path of a finished shard."""
        return self.folder / split / f"{number:06d}.tar"

    def write_record(self, split: SplitName, number: int, record: Record, table: str) -> None:
        """Mark a shard as finished. `table` is its part of the table of images."""
        path = self.tar(split, number).with_suffix(".csv")
        runtime.write_text(path, json.dumps(record._asdict()) + "\n" + table)

    def record(self, split: SplitName, number: int) -> Record | None:
        """The record of a shard; None if the shard is not finished."""
        path = self.tar(split, number)
        try:
            with path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
                record = Record(**json.loads(file.readline()))
            is_there = not record.sha256 or path.stat().st_size == record.bytes
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return record if is_there else None

    def table(self, split: SplitName, number: int) -> Iterator[str]:
        """The lines of a shard's part of the table of images."""
        with self.tar(split, number).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
            file.readline()
            yield from file

    def _index(self, number: int, split: SplitName) -> Path:
        return self.folder / "index" / f"{number:06d}-{split}"

    def _listed(self, number: int) -> Path:
        return self.folder / "index" / f"{number:06d}.json"


def discard(name: str) -> None:
    """Remove the unfinished forms of a data set, which is finished now, except those that another run works on."""
    for folder in (runtime.state_dir() / "shards").glob(f"{name}-{'[0-9a-f]' * 16}"):
        if runtime.holder_of(lock_of(folder)) is None:
            shutil.rmtree(folder, ignore_errors=True)


def lock_of(folder: Path) -> Path:
    """The lock that a run holds while it works on a job."""
    return folder.with_name(f"{folder.name}.lock")
