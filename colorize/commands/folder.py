"""Colors many photos: several worker threads, each of which reads and colors one small group after another.

A worker computes with one thread, so all cores are busy with different photos, and one photo is read while another is
colored. One more thread, the writer, waits for the disk. The network sees the small photos of a group together; on a
GPU, those with one size of its input are a batch. Memory is bounded: a group holds a few small photos, and large photos
wait until there is room for their pixels.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

import colorize
from colorize import runtime
from colorize.commands import entropy
from colorize.commands.listing import Entry
from colorize.commands.names import Names, Target, map_of, remove_map
from colorize.photos import photo as photos
from colorize.photos import save
from colorize.photos.mark import Mark
from colorize.photos.photo import Photo
from colorize.photos.predict import Colorizer, Prediction
from colorize.photos.save import Encoding
from colorize.runtime import ParameterError
from colorize.sharding import images, jpeg, png, webp
from colorize.sharding.images import Reject
from colorize.sharding.silence import silence

COLORED, DONE, FAILED = "colored", "done", "failed"
COLORS_IGNORED, REPLACED = "its own colors were not used", "replaces the earlier result"

_GROUPS = ((64, 8), (16, 4), (0, 1))  # from so many photos, so many form a group; not more, so that all cores have work
_SMALL = 4_000_000  # pixels; larger photos are colored one by one
_BATCH = 8_000_000  # pixels of the small photos that a worker holds at once
_ROOM = 32_000_000  # pixels per core of all large photos that are held at once
_PNG = b"\x89PNG"
_KINDS = {  # first bytes of a file -> format of its result
    b"\xff\xd8": "JPEG", _PNG: "PNG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF",
}  # fmt: skip


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


class _Source(NamedTuple):
    """A photo that is read and not yet decoded."""

    number: int
    content: bytes
    mark: Mark
    target: Target
    num_pixels: int


class _Item(NamedTuple):
    """A photo that is decoded."""

    number: int
    photo: Photo
    encoding: Encoding
    mark: Mark
    target: Target


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
            for outcome in run.outcomes:
                yield outcome.result()
        finally:
            run.stop()
            pool.shutdown(cancel_futures=True)
            run.writer.shutdown()


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
        self.writer = ThreadPoolExecutor(1)
        self._seconds = [0.0] * len(entries)
        self.outcomes: list[Future[Outcome]] = [Future() for _ in entries]

    def stop(self) -> None:
        """Let all workers end soon."""
        self._is_stopping.set()

    def work(self, numbers: range) -> None:
        """Color the photos with these numbers; their outcomes, or the error that ends the run, go to `outcomes`."""
        try:
            self._color_group(numbers)
        except BaseException as error:
            for number in numbers:
                if not self.outcomes[number].done():
                    self.outcomes[number].set_exception(error)
        finally:
            for number in numbers:
                self._names.give_up(self._entries[number])

    def _color_group(self, numbers: range) -> None:
        items: list[_Item] = []
        for number in numbers:
            source = self._read(number)
            if source is None:
                continue
            if source.num_pixels > _SMALL:
                self._color(items)  # a worker that waits for room must not hold other photos
                with self._room.of(source.num_pixels, self._check):
                    self._color(self._decode(source))
                continue
            items += self._decode(source)
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
            self._fail(number, reason_of(reject, self._wishes.max_pixels))
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
        source: _Source | None = None
        with self._step(number):
            content = _read_file(entry.path, self._wishes.max_pixels)
            kind = self._wishes.format or _kind_of(content)
            mark = self._mark(hashlib.sha256(content).hexdigest())
            target = self._names.plan(entry, save.ENDINGS[kind], mark)
            if target.is_done:
                self._end(number, DONE, target.path)
            else:
                source = _Source(number, content, mark, target, _num_pixels(content, self._wishes.max_pixels))
        return source

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

    def _decode(self, source: _Source) -> list[_Item]:
        """Decode a photo; the list is empty if it fails."""
        items = []
        with self._step(source.number):
            photo = photos.read(source.content, self._wishes.max_pixels, source.mark.source_sha256)
            kind = self._wishes.format or _kind_of(source.content)  # as in the plan
            encoding = save.choose(photo, kind, self._wishes.quality, self._wishes.subsampling)
            items.append(_Item(source.number, photo, encoding, source.mark, source.target))
        return items

    def _color(self, items: list[_Item]) -> None:
        """Color photos, have them written, and empty the list."""
        if not items:
            return
        self._check()
        started = time.perf_counter()
        predictions = self._colorizer.predict([item.photo for item in items], entropy=self._wishes.has_maps)
        for item in items:
            self._seconds[item.number] += (time.perf_counter() - started) / len(items)
        writes: list[Future[None]] = []
        try:
            for prediction in predictions:
                writes += self._finish(items.pop(0), prediction)
        finally:
            wait(writes)
        for write in writes:
            write.result()  # raises what the writer raised

    def _finish(self, item: _Item, prediction: Prediction) -> list[Future[None]]:
        """Join and encode one photo, and let the writer write it; the list is empty if it fails."""
        writes = []
        with self._step(item.number):
            threads = self._threads_for(item.photo)
            colored = self._colorizer.join(item.photo, prediction, item.encoding.layout, self._check, threads)
            mark = item.mark if self._wishes.is_marked else None
            content = save.encode(item.photo, colored, item.encoding, mark, threads)
            writes.append(self.writer.submit(self._store, item, content, prediction, colored.fitted_fraction))
        return writes

    def _store(self, item: _Item, content: bytes, prediction: Prediction, fitted_fraction: float) -> None:
        """Write one result."""
        with self._step(item.number):
            with self._names.settled(self._entries[item.number], item.target, item.mark) as target:
                is_new = not target.path.exists()
                if not target.is_done:
                    self._write(target.path, content, item, prediction)
            if target.is_done:  # another run has made it meanwhile
                self._end(item.number, DONE, target.path)
            else:
                self._end(item.number, COLORED, target.path, _note(item.photo, is_new), fitted_fraction)

    def _threads_for(self, photo: Photo) -> int:
        """Threads that join and encode a photo: all of them only if no other photo is colored at the same time."""
        is_alone = 2 * math.prod(photo.pixels.shape[:2]) > _ROOM * self._threads
        return self._threads if is_alone or not self._is_parallel else 1

    def _write(self, path: Path, content: bytes, item: _Item, prediction: Prediction) -> None:
        if self._wishes.has_maps and prediction.entropy is not None:
            with runtime.atomic_write(map_of(path)) as file:  # first: a result that is done has its map
                file.write(entropy.encode(prediction.entropy, item.mark.source_sha256, self._wishes.is_marked))
        else:
            remove_map(path, item.mark)  # also first: a result never has the map of another model
        with runtime.atomic_write(path) as file:
            file.write(content)

    def _check(self, rows: int = 0) -> None:
        if self._is_stopping.is_set():
            raise _Stopped

    def _fail(self, number: int, reason: str) -> None:
        self.outcomes[number].set_result(Outcome(self._entries[number].path, FAILED, note=reason))

    def _end(self, number: int, status: str, path: Path, note: str | None = None, fitted: float | None = None) -> None:
        map_path = map_of(path) if self._wishes.has_maps else None
        seconds = self._seconds[number] if status == COLORED else None
        outcome = Outcome(self._entries[number].path, status, path, map_path, note, fitted, seconds)
        self.outcomes[number].set_result(outcome)


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


def _note(photo: Photo, is_new: bool) -> str | None:
    """What the user should know about a photo and its result."""
    notes = [photo.note] if photo.note else []
    notes += [COLORS_IGNORED] if photo.pixels.ndim == 3 else []
    notes += [] if is_new else [REPLACED]
    return ", ".join(notes) or None


def reason_of(reject: Reject, max_pixels: int) -> str:
    """Why a photo cannot be used, and what to do."""
    megapixels = max_pixels / 1e6
    megabytes = images.limits(max_pixels).bytes >> 20
    limits = f"{megapixels:g} megapixels (JPEG 2000 and AVIF: {megapixels / 2:g}) and {megabytes} MiB"
    remedies = {
        images.DEEP: "more than 16 bits per channel, or a JPEG of 12 bits; convert it to 8 bits",
        images.TOO_LARGE: f"too large; the limits are {limits}; --max-megapixels raises them",
        images.TOO_SMALL: f"too small; each side needs at least {images.MIN_SIDE} pixels",
        images.TRUNCATED: "incomplete: its end is missing; copy or download it again",
        images.ANIMATED: "animated; save one frame of it as an image",
    }
    return remedies.get(reject.reason, reject.reason)


def _read_file(path: Path, max_pixels: int) -> bytes:
    """Read a file; raise an error if it is not a regular file, or too large."""
    if not path.is_file():  # reading a named pipe or a device may never end
        raise OSError(None, "not a regular file")
    if path.stat().st_size > images.limits(max_pixels).bytes:
        raise Reject(images.TOO_LARGE)
    return path.read_bytes()


def _kind_of(content: bytes) -> str:
    """The format of the result by the first bytes of the photo; the result is decided before the photo is decoded."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for start, kind in _KINDS.items() if content.startswith(start)), "PNG")


def _num_pixels(content: bytes, max_pixels: int) -> int:
    """Number of pixels by the header, to plan the memory; `max_pixels` if the header does not tell it cheaply."""
    size: tuple[int, int] | None = None
    kind = _kind_of(content)
    with contextlib.suppress(Exception):  # damaged headers raise almost any exception; `photo.read` finds the reason
        if kind == "JPEG":
            header = jpeg.read_header(content)
            size = (header.width, header.height) if header else None
        elif kind == "WEBP":
            size = webp.read_size(content)
        elif content.startswith(_PNG):
            size = png.read_header(content)[:2]
        else:
            with silence(), Image.open(io.BytesIO(content), formats=["TIFF", "BMP", "GIF", "PPM"]) as picture:
                size = picture.size
    return math.prod(size) if size else max_pixels
