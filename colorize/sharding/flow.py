"""Run the tasks of a job on a pool of workers: list the archives, and make the shards that are not finished yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from colorize import runtime
from colorize.data.shards import SPLITS, SplitName
from colorize.runtime import DataError
from colorize.sharding import listing, work
from colorize.sharding.job import Job
from colorize.sharding.listing import Counts

_SIGN_OF_LIFE_S = 5.0  # seconds without a finished task after which the progress is shown again

_GIVEN_UP = "remove the image that kills them, or give the workers more memory, and run again"

_Task = tuple[Callable, tuple]  # function of a worker, and its arguments after the folder of the job


def run(pool: Executor, job: Job, name: str) -> list[Counts]:
    """List the archives and make the shards of a data set.

    Args:
        pool: workers.
        job: the data set. What it has finished already is not done again.
        name: its name, for the progress display.

    Returns:
        What was listed in each archive.

    Raises:
        DataError: an archive is missing or damaged, or a split has no image.
    """
    listing.check_splits(job.source)
    flow = _Flow(pool, job)
    with runtime.progress(f"list {name}", len(job.found), "archives") as advance:
        advance(flow.listed)
        while flow.listed < len(job.found):
            before = flow.listed
            flow.step()
            advance(flow.listed - before)
    counts = [count for count in flow.counts if count is not None]
    listing.check_images(job.source, job.found, counts)
    if flow.kept:
        runtime.note(f"{name}: {flow.kept:,} shards were finished in an earlier run")
    with runtime.progress(f"shard {name}", sum(sum(count.images.values()) for count in counts), "images") as advance:
        advance(flow.images)
        while flow.is_busy:
            images = flow.images
            flow.step()
            advance(flow.images - images)
    return counts


class _Flow:
    """Tasks that wait and tasks that run. The shards of a split can be made when all its archives are listed.

    Few tasks are submitted at a time, so that the pool needs little memory.
    """

    def __init__(self, pool: Executor, job: Job):
        job.forget_folders()
        self.counts = [job.counts(number) for number in range(len(job.found))]
        self.listed = len(self.counts) - self.counts.count(None)  # archives
        self.images = 0  # images in finished shards
        self.kept = 0  # shards finished by an earlier run
        self._pool, self._job = pool, job
        self._running: dict[Future, _Task] = {}
        lacking = [number for number, count in enumerate(self.counts) if count is None]
        self._waiting: deque[_Task] = deque((work.list_archive, (number,)) for number in lacking)
        self._unlisted = {split: set(lacking).intersection(job.parts_of(split)) for split in SPLITS}  # until all are
        self._add_shards()

    @property
    def is_busy(self) -> bool:
        """Whether tasks wait or run."""
        return bool(self._waiting or self._running)

    def step(self) -> None:
        """Wait until some tasks are finished, or for a few seconds."""
        while self._waiting and len(self._running) <= runtime.tasks_at_once():
            function, arguments = self._waiting.popleft()
            future = self._pool.submit(function, str(self._job.folder), *arguments)
            self._running[future] = (function, arguments)
        for future in wait(self._running, _SIGN_OF_LIFE_S, FIRST_COMPLETED).done:
            function, arguments = self._running.pop(future)
            try:
                result = future.result()
            except runtime.Killed as error:
                raise DataError(f"{self._describe(function, arguments)}: {error}; {_GIVEN_UP}") from None
            if function is work.make_shard:
                self.images += result
            else:
                self._add_listed(arguments[0])

    def _describe(self, function: Callable, arguments: tuple) -> str:
        if function is work.list_archive:
            return self._job.found[arguments[0]].path
        part, members = next(self._job.members(*arguments))
        return f"{part.path}: the {self._job.settings.per_shard:,} images from {members[0].name!r}"

    def _add_listed(self, number: int) -> None:
        self.counts[number] = self._job.counts(number)
        self.listed += 1
        for numbers in self._unlisted.values():
            numbers.discard(number)
        self._add_shards()

    def _add_shards(self) -> None:
        """Add the tasks of the splits that have become ready."""
        for split in sorted(split for split, numbers in self._unlisted.items() if not numbers):
            del self._unlisted[split]
            counts = [self.counts[number] for number in self._job.parts_of(split)]
            self._add_shards_of(split, [count.images[split] for count in counts if count])

    def _add_shards_of(self, split: SplitName, images: list[int]) -> None:
        self._job.write_starts(split, images)
        for number in range(self._job.number_of_shards(split)):
            if record := self._job.record(split, number):
                self.images += record.listed
                self.kept += 1
            else:
                self._waiting.append((work.make_shard, (split, number)))
