"""The tasks of worker processes: list one archive, and make one shard.

A task gets the folder of the job and numbers, and leaves its result in this folder.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xxhash

from colorize.archives import containers
from colorize.archives.entry import Entry
from colorize.color.colorfulness import colorfulness
from colorize.data import shards
from colorize.data.shards import SplitName
from colorize.sharding import images
from colorize.sharding.index import Member
from colorize.sharding.job import FIRST_NAMES, Job, Record


@functools.lru_cache(maxsize=1)
def _job(folder: str) -> Job:
    return Job.load(Path(folder))


def list_archive(folder: str, number: int) -> None:
    """Write the index of one archive, if no earlier attempt has finished it."""
    if _job(folder).counts(number) is None:
        _job(folder).list_archive(number)


def make_shard(folder: str, split: SplitName, number: int) -> int:
    """Decode the images of one shard and write it, if no earlier attempt has; returns the number of listed images."""
    job = _job(folder)
    if record := job.record(split, number):
        return record.listed
    work = _Work(job, split, number)
    path = job.tar(split, number)
    sha256 = shards.write_members(path, work.members, work.parts())
    length = shards.Geometry(job.settings.size).shard_bytes(work.images)
    record = Record(sha256, length, work.images, work.gray, work.rejected, dict(work.notes))
    job.write_record(split, number, record, "".join(work.table))
    return record.listed


class _Work:
    """The state of a running task, with the values of its record."""

    def __init__(self, job: Job, split: SplitName, number: int):
        self.job, self.split, self.number = job, split, number
        self.members = shards.Members(job.settings.size)
        self.images = self.gray = 0
        self.table: list[str] = []
        self.rejected: dict[str, dict] = {}
        self.notes: Counter = Counter()

    def parts(self) -> Iterator[list[int]]:
        """Decode all images of the task: repeatedly fill `members` and yield the keys of the images in it."""
        kept: list[tuple] = []  # key, class, group, source, whether it is gray
        places = list(self.members.pixels)
        keys = itertools.count(self.number * self.job.settings.per_shard)
        for part, members in self.job.members(self.split, self.number):
            with containers.Reader(self.job.copy_of(part)) as reader:
                for member, key in zip(members, keys):  # noqa: B905 - `keys` is endless; in this order, none is lost
                    if image := self._decode(reader, member, places[len(kept)]):
                        kept.append((key, member.class_name, member.group, member.name, int(image.is_gray)))
                    if len(kept) == len(places):
                        yield self._finish(kept)
                        kept = []
        if kept:
            yield self._finish(kept)

    def _decode(self, reader: containers.Reader, member: Member, out: np.ndarray) -> images.Image | None:
        """Decode an image into `out`; if it is rejected, record the reason and return None."""
        settings = self.job.settings
        try:
            content = _content(reader, member.entry)
            image = images.decode(content, settings.size, settings.gray, settings.min_colorfulness, out)
        except images.Reject as reject:
            self._reject(reject.reason, member.name)
            return None
        if image.note:
            self.notes[image.note] += 1
        return image

    def _reject(self, reason: str, name: str) -> None:
        entry = self.rejected.setdefault(reason, {"images": 0, "first": []})
        entry["images"] += 1
        if len(entry["first"]) < FIRST_NAMES:
            entry["first"].append(name)

    def _finish(self, kept: list[tuple]) -> list[int]:
        """Add one row per image to the table; returns the keys of the images."""
        pixels = self.members.pixels[: len(kept)]
        rows = zip(kept, map(xxhash.xxh3_128_hexdigest, pixels), colorfulness(pixels).tolist(), strict=True)
        lines = [(*names, xxh128, f"{amount:.2f}", gray) for (*names, gray), xxh128, amount in rows]
        self.table.append(shards.table_lines(lines))
        self.images += len(kept)
        self.gray += sum([row[-1] for row in kept])
        return [row[0] for row in kept]


def _content(reader: containers.Reader, entry: Entry) -> bytes | memoryview:
    """Read the bytes of a member. If its length cannot be that of an image, it is rejected without reading it."""
    if not entry.size:  # a file of a list may also be missing
        raise images.Reject(images.EMPTY)
    if entry.size > images.MAX_BYTES:
        raise images.Reject(images.TOO_LARGE)
    try:
        return reader.read(entry)
    except containers.UnreadableFile:
        raise images.Reject(images.UNREADABLE) from None
