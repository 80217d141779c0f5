"""Colors many photos: several worker threads, each of which reads and colors one small group after another.

A worker computes with one thread, so all cores are busy with different photos, and one photo is read while another is
colored. Other threads, the writers, wait for the disk. The network sees the small photos of a group together; on a GPU,
those with one size of its input are a batch. Memory is bounded: a group holds a few small photos, large photos wait for
room for their pixels, and workers wait while too many results are not yet written.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import torch

import colorize
from colorize import runtime
from colorize.commands import entropy, photo_file
from colorize.commands.listing import Entry
from colorize.commands.names import Names, Target, map_of, remove_map
from colorize.photos import photo as photos
from colorize.photos import save
from colorize.photos.mark import Mark
from colorize.photos.photo import Photo
from colorize.photos.predict import Colorizer, Prediction
from colorize.photos.save import Encoding
from colorize.runtime import ParameterError
from colorize.sharding import images
from colorize.sharding.images import Reject

COLORED, DONE, FAILED = "colored", "done", "failed"
COLORS_IGNORED, REPLACED = "its own colors were not used", "replaces the earlier result"

_GROUPS = ((64, 8), (16, 4), (0, 1))  # from so many photos, so many form a group; not more, so that all cores have work
_SMALL = 4_000_000  # pixels; larger photos are colored one by one
_BATCH = 8_000_000  # pixels of the small photos that a worker holds at once
_ROOM = 32_000_000  # pixels per core of all large photos that are held at once


class Wishes(NamedTuple):
    """What the user wants for all photos of a run."""

    out: Path
    format: str | None = None  # of the results, as in `save.choose`; None: that of the photo
    quality: int | None = None
    subsampling: str | None = None
    max_pixels: int = images.MAX_PIXELS
    is_forced: bool = False
    is_marked: bool = True
    has_maps: bool = False


class Outcome(NamedTuple):
    """What became of one photo."""

    path: Path
    status: str  # COLORED, DONE (by an earlier run) or FAILED
    result: Path | None = None
    map: Path | None = None
    note: str | None = None  # what had to be converted; of a failure the reason
    fitted_fraction: float | None = None
    seconds: float | None = None


class _Plan(NamedTuple):
    """What is decided about the result of a photo when its file is read."""

    number: int  # of the photo
    kind: str  # format of the result, as in `save.choose`
    mark: Mark
    target: Target


class _Source(NamedTuple):
    """A photo that is read and not yet decoded."""

    plan: _Plan
    content: bytes
    num_pixels: int


class _Item(NamedTuple):
    """A photo that is decoded."""

    plan: _Plan
    photo: Photo
    encoding: Encoding


class _Result(NamedTuple):
    """A photo in color that is encoded."""

    plan: _Plan
    content: bytes
    entropy: np.ndarray | None
    notes: list[str]
    fitted_fraction: float


class _Stopped(Exception):
    """The run ends early."""


def color(colorizer: Colorizer, entries: Sequence[Entry], wishes: Wishes) -> Generator[Outcome]:
    """Color photos.

    Args:
        colorizer: the model.
        entries: the photos.
        wishes: what holds for all of them.

    Yields:
        what became of each photo, in the order of `entries`.

    Raises:
        DataError: a result cannot be written, or the model's colors are not finite.
    """
    size = next(size for least, size in _GROUPS if len(entries) >= least)
    groups = [range(start, min(start + size, len(entries))) for start in range(0, len(entries), size)]
    threads = torch.get_num_threads()
    is_parallel = len(groups) > 1
    run = _Run(colorizer, entries, wishes, threads, is_parallel)
    with _torch_threads(1 if is_parallel else threads):
        pool = ThreadPoolExecutor(threads)
        try:
            for group in groups:
                pool.submit(run.work, group)
            yield from run.outcomes()
        finally:
            run.stop()
            pool.shutdown(cancel_futures=True)
            run.writers.shutdown()


@contextlib.contextmanager
def _torch_threads(number: int) -> Iterator[None]:
    """Let torch use so many threads during the block, in threads that start in it too."""
    before = torch.get_num_threads()
    if number != before:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        if number != before:
            torch.set_num_threads(before)


class _Run:
    """The state that the workers share."""

    def __init__(self, colorizer: Colorizer, entries: Sequence[Entry], wishes: Wishes, threads: int, is_parallel: bool):
        self._colorizer, self._entries, self._wishes = colorizer, entries, wishes
        self._names = Names(wishes.out, entries, wishes.is_forced, wishes.has_maps)
        self._threads, self._is_parallel = threads, is_parallel
        self._room = _Room(_ROOM * threads)
        self._is_stopping = threading.Event()
        self.writers = ThreadPoolExecutor(threads)
        self._unwritten = threading.Semaphore(2 * threads)  # results that may wait for a writer, or be written
        self._seconds = [0.0] * len(entries)
        # not a list of futures: an interrupt in the main thread could leave the lock of a future locked for ever
        self._ended: SimpleQueue[tuple[int, Outcome | BaseException]] = SimpleQueue()

    def stop(self) -> None:
        """Let all workers end soon."""
        self._is_stopping.set()

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes in the order of the photos; raises the error that ends the run."""
        ended: dict[int, Outcome | BaseException] = {}
        for number in range(len(self._entries)):
            while number not in ended:
                ended.setdefault(*self._ended.get())  # an error may follow the outcome of a photo, which stands
            outcome = ended.pop(number)
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome

    def work(self, numbers: range) -> None:
        """Color the photos with these numbers. What becomes of them, or the error that ends the run, is queued."""
        try:
            self._color_group(numbers)
        except BaseException as error:
            for number in numbers:
                self._ended.put((number, error))
        finally:
            for number in numbers:
                self._names.give_up(self._entries[number])

    def _color_group(self, numbers: range) -> None:
        items: list[_Item] = []
        for number in numbers:
            found = self._read(number)
            if found is None:
                continue
            if found.num_pixels > _SMALL:
                self._color(items)  # a worker that waits for room must not hold other photos
                with self._room.of(found.num_pixels, self._check):
                    self._color(self._decode(found))
                continue
            items += self._decode(found)
            if sum(math.prod(item.photo.pixels.shape[:2]) for item in items) >= _BATCH:
                self._color(items)
        self._color(items)

    @contextlib.contextmanager
    def _step(self, number: int) -> Iterator[None]:
        """One step of one photo: its time is counted, and an error that concerns only this photo is its outcome."""
        self._check()
        started = time.perf_counter()
        try:
            yield
        except Reject as reject:
            self._fail(number, photo_file.reason_of(reject, self._wishes.max_pixels))
        except OSError as error:
            self._fail(number, error.strerror or str(error))
        except ParameterError as error:  # the wanted format cannot hold this photo
            self._fail(number, str(error))
        except MemoryError:
            self._fail(number, "needs more memory than there is")
        finally:
            self._seconds[number] += time.perf_counter() - started

    def _read(self, number: int) -> _Source | None:
        """Read a photo's file, and plan its result; None if it fails or is done."""
        entry = self._entries[number]
        found: _Source | None = None
        with self._step(number):
            content = photo_file.read(entry.path, self._wishes.max_pixels)
            kind = self._wishes.format or photo_file.kind_of(content)
            mark = self._mark(hashlib.sha256(content).hexdigest())
            target = self._names.plan(entry, save.ENDINGS[kind], mark)
            if target.is_done:
                self._end(number, DONE, target.path)
            else:
                num_pixels = photo_file.num_pixels(content, self._wishes.max_pixels)
                found = _Source(_Plan(number, kind, mark, target), content, num_pixels)
        return found

    def _mark(self, sha256: str) -> Mark:
        model = self._colorizer
        return Mark(
            source_sha256=sha256,
            model=model.name,
            model_sha256=model.sha256,
            temperature=model.temperature,
            size=model.size,
            strength=model.strength,
            version=colorize.__version__,
        )

    def _decode(self, found: _Source) -> list[_Item]:
        """Decode a photo; the list is empty if it fails."""
        items, plan = [], found.plan
        with self._step(plan.number):
            photo = photos.read(found.content, self._wishes.max_pixels, plan.mark.source_sha256)
            encoding = save.choose(photo, plan.kind, self._wishes.quality, self._wishes.subsampling)
            items.append(_Item(plan, photo, encoding))
        return items

    def _color(self, items: list[_Item]) -> None:
        """Color photos, have them written, and empty the list."""
        if not items:
            return
        self._check()
        started = time.perf_counter()
        predictions = self._colorizer.predict([item.photo for item in items], entropy=self._wishes.has_maps)
        for item in items:
            self._seconds[item.plan.number] += (time.perf_counter() - started) / len(items)
        for prediction in predictions:
            self._finish(items.pop(0), prediction)  # frees the memory of the photo

    def _finish(self, item: _Item, prediction: Prediction) -> None:
        """Join and encode one photo, and let a writer write it."""
        result: _Result | None = None
        with self._step(item.plan.number):
            threads = self._threads_for(item.photo)
            colored = self._colorizer.join(item.photo, prediction, item.encoding.layout, self._check, threads)
            mark = item.plan.mark if self._wishes.is_marked else None
            content = save.encode(item.photo, colored, item.encoding, mark, threads)
            result = _Result(item.plan, content, prediction.entropy, _notes(item.photo), colored.fitted_fraction)
        if result:
            while not self._unwritten.acquire(timeout=0.2):
                self._check()
            self.writers.submit(self._store, result)

    def _store(self, result: _Result) -> None:
        """Write one result; the outcome, or the error that ends the run, is queued."""
        try:
            self._write(result)
        except BaseException as error:
            self._ended.put((result.plan.number, error))
        finally:
            self._unwritten.release()

    def _write(self, result: _Result) -> None:
        target: Target | None = None
        number, _, mark, planned = result.plan
        notes = result.notes
        with self._step(number):
            with self._names.settled(self._entries[number], planned, mark) as settled:
                if not settled.is_done:
                    notes = [*notes, REPLACED] if settled.path.exists() else notes
                    self._write_files(settled.path, result)
            target = settled
        if target and target.is_done:  # another run has made it meanwhile
            self._end(number, DONE, target.path)
        elif target:
            self._end(number, COLORED, target.path, ", ".join(notes) or None, result.fitted_fraction)

    def _threads_for(self, photo: Photo) -> int:
        """Threads that join and encode a photo: all of them only if no other photo is colored at the same time."""
        is_alone = 2 * math.prod(photo.pixels.shape[:2]) > _ROOM * self._threads
        return self._threads if is_alone or not self._is_parallel else 1

    def _write_files(self, path: Path, result: _Result) -> None:
        if self._wishes.has_maps and result.entropy is not None:
            with runtime.atomic_write(map_of(path)) as file:  # first: a result that is done has its map
                file.write(entropy.encode(result.entropy, result.plan.mark.source_sha256, self._wishes.is_marked))
        else:
            remove_map(path, result.plan.mark)  # also first: a result never has the map of another model
        with runtime.atomic_write(path) as file:
            file.write(result.content)

    def _check(self, rows: int = 0) -> None:
        if self._is_stopping.is_set():
            raise _Stopped

    def _fail(self, number: int, reason: str) -> None:
        self._ended.put((number, Outcome(self._entries[number].path, FAILED, note=reason)))

    def _end(self, number: int, status: str, path: Path, note: str | None = None, fitted: float | None = None) -> None:
        map_path = map_of(path) if self._wishes.has_maps else None
        seconds = self._seconds[number] if status == COLORED else None
        outcome = Outcome(self._entries[number].path, status, path, map_path, note, fitted, seconds)
        self._ended.put((number, outcome))


class _Room:
    """Limits the pixels of the large photos that are in memory at once; one photo always has room."""

    def __init__(self, num_pixels: int):
        self._limit, self._used = num_pixels, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def of(self, num_pixels: int, check: Callable[[], None]) -> Iterator[None]:
        """Wait for room, and occupy it during the block; `check` raises when the wait shall end."""
        with self._changed:
            while self._used and self._used + num_pixels > self._limit:
                check()
                self._changed.wait(0.2)
            self._used += num_pixels
        try:
            yield
        finally:
            with self._changed:
                self._used -= num_pixels
                self._changed.notify_all()


def _notes(photo: Photo) -> list[str]:
    """What the user should know about a photo."""
    return [*([photo.note] if photo.note else []), *([COLORS_IGNORED] if photo.pixels.ndim == 3 else [])]
