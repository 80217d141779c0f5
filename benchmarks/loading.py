"""Loading: shuffled batches of 256 images of 64x64, compared with other loaders of the same images.

    python -m benchmarks.loading [--rounds N] [--small]

The peers do not all do the same: webdataset shuffles within a buffer of 1,000 images, Mosaic's streaming within a
block, and ImageFolder decodes JPEGs. All loaders deliver (256, 64, 64, 3) or (256, 3, 64, 64) uint8. Ours is measured
once for each place where the images can be kept (COLORIZE_CACHE).
"""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks import harness, inputs
from colorize import runtime
from colorize.data import loader
from colorize.data.split import Split

_BATCH = 256
_SIDE = 64  # pixels
_BATCHES = 64  # per call, for loaders that need only milliseconds for them
_FEW_BATCHES = 16  # per call, for the other loaders: more than their workers prepare in advance
_COLD_IMAGES = 80_000  # so many that the images that the system reads ahead are rarely needed
_QUESTION = f"Loading: shuffled batches of {_BATCH} images of {_SIDE} px"


def contenders(split: Split, folder: Path, device: torch.device) -> dict[str, harness.Contender]:
    """Ours for every place, the peers, and memcpy as the limit."""
    ours = {f"ours, {place}": _ours(split, device, place) for place in runtime.CACHE_PLACES}
    inputs.write_shards(folder / "cold", _COLD_IMAGES, _SIDE)  # a set of its own: mapped files cannot be evicted
    cold = {f"ours, {place}, cold": _cold(folder / "cold", device, place) for place in ("host", "stream")}
    workers = runtime.processes()
    return {
        **ours,
        **cold,
        "webdataset, 0 workers": _webdataset(split, 0),
        f"webdataset, {workers} workers": _webdataset(split, workers),
        f"ImageFolder, {workers} workers": _image_folder(folder / "images", len(split), workers),
        "Mosaic streaming, 0 workers": harness.importable("streaming", lambda: _streaming(split, folder / "mds", 0)),
        f"Mosaic streaming, {workers} workers": harness.importable(
            "streaming", lambda: _streaming(split, folder / "mds", workers)
        ),
        "FFCV": harness.Missing("no wheel; needs OpenCV's C++ library"),
        **_memcpy(split, workers),
    }


def _taking(batches: Iterable, count: int) -> harness.Contender:
    """Take batches from an endless iterable."""
    batches = iter(batches)
    return lambda: sum(_BATCH for _ in islice(batches, count))


def _ours(split: Split, device: torch.device, place: str, ahead: int | None = None) -> harness.Contender:
    return _taking(loader.training_batches(split, _BATCH, 0, device, place, ahead=ahead), _BATCHES)


def _cold(folder: Path, device: torch.device, place: str) -> harness.Contender:
    """The first batches of a new process, from shards that are not in memory."""

    def read() -> int:
        split = Split(folder)  # known as verified, so that opening it reads almost nothing
        for path in split.paths:
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return _taking(loader.training_batches(split, _BATCH, 0, device, place), _FEW_BATCHES)()

    return read


def _webdataset(split: Split, workers: int) -> harness.Contender:
    import webdataset

    tars = [str(path) for path in split.paths]
    pipeline = webdataset.WebDataset(tars, shardshuffle=len(tars), nodesplitter=None, empty_check=False)
    pipeline = pipeline.repeat().shuffle(1000).decode("rgb8").to_tuple("ppm").batched(_BATCH)
    if not workers:
        return _taking(pipeline, _FEW_BATCHES)
    return _taking(webdataset.WebLoader(pipeline, batch_size=None, num_workers=workers), _FEW_BATCHES)


def _image_folder(folder: Path, count: int, workers: int) -> harness.Contender:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import PILToTensor

    (folder / "a").mkdir(parents=True)
    for number in range(count):
        (folder / "a" / f"{number:08d}.jpg").write_bytes(inputs.jpegs(_SIDE)[number % len(inputs.jpegs(_SIDE))])
    data = ImageFolder(folder, PILToTensor())
    return _taking(_endless(data, workers, shuffle=True), _FEW_BATCHES)


def _streaming(split: Split, folder: Path, workers: int) -> Callable[[], int]:
    import streaming

    folder = folder.with_name(f"{folder.name}-{workers}")
    columns = {"rgb": f"ndarray:uint8:{_SIDE},{_SIDE},3"}
    with streaming.MDSWriter(out=str(folder), columns=columns) as writer:
        for start in range(0, len(split), _BATCH):
            for image in split.images(np.arange(start, min(start + _BATCH, len(split)))):
                writer.write({"rgb": image})
    data = streaming.StreamingDataset(local=str(folder), shuffle=True, batch_size=_BATCH)
    return _taking(_endless(data, workers, shuffle=None), _FEW_BATCHES)  # StreamingDataset shuffles


def _endless(data: Dataset, workers: int, shuffle: bool | None) -> Iterable[object]:
    batches = DataLoader(
        data, _BATCH, shuffle=shuffle, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    while True:
        yield from batches


def _memcpy(split: Split, workers: int) -> dict[str, harness.Contender]:
    """Copy the same bytes in order into one buffer: one copy per batch, by one thread or by several threads."""
    images = split.images(np.arange(len(split) // _BATCH * _BATCH)).reshape(-1, _BATCH, 3 * _SIDE**2)
    out = np.empty_like(images[0])
    return {
        "memcpy (limit)": _copying(images, functools.partial(np.copyto, out)),
        f"memcpy, {workers} threads (limit)": _copying(torch.from_numpy(images), torch.from_numpy(out).copy_),
    }


def _copying(batches: Iterable, copy: Callable) -> harness.Contender:
    turns = itertools.cycle(batches)

    def work() -> int:
        for batch in islice(turns, _BATCHES):
            copy(batch)
        return _BATCHES * _BATCH

    return work


def main(rounds: int, small: bool) -> None:
    """Measure all contenders, then ours for several numbers of images."""
    torch.set_num_threads(runtime.processes())
    torch.empty(31 << 20, dtype=torch.uint8)  # as a training step does: afterwards malloc keeps freed memory
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    count = 8_000 if small else 80_000
    with tempfile.TemporaryDirectory(prefix="loading-") as name:
        folder = Path(name)
        os.environ["DVC_ROOT"] = name  # the list of verified files is kept here
        split = inputs.write_shards(folder / "shards", count, _SIDE)
        found = contenders(split, folder, device)
        rows = harness.compare(found, "ours, auto", "memcpy (limit)", rounds, device)
        conditions = {"images": count, "device": device.type, "small": small}
        harness.report("loading", _QUESTION, rows, "img/s", **conditions)
        found = {
            f"{images:,} images": _ours(inputs.write_shards(folder / f"{images}", images, _SIDE), device, "auto")
            for images in (count, count // 4, count // 16)
        }
        rows = harness.compare(found, next(iter(found)), rounds=rounds, device=device)
        harness.report("loading", f"{_QUESTION}, by number of images", rows, "img/s", **conditions)
        # This comes last: from here on the process has two teams of OpenMP threads, and waiting takes longer.
        found = {"in the training thread": 0, "in another thread": 2}
        found = {name: _ours(split, device, "host", ahead) for name, ahead in found.items()}
        rows = harness.compare(found, next(iter(found)), rounds=rounds, device=device)
        harness.report("loading", f"{_QUESTION}, by thread", rows, "img/s", **conditions)


if __name__ == "__main__":
    harness.run(main, __doc__)
