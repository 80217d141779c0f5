"""Sharding: a tar of JPEGs of 256 px to shards of 64 px, compared with other libraries on one core and on all cores.

    python -m benchmarks.sharding [--rounds N] [--small]

Ours is the whole stage: list, decode, hash, measure colorfulness, write the table and the manifest, and wait until
everything is on the disk.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image as Pillow

from benchmarks import harness, inputs
from benchmarks.one_worker import shard
from colorize import runtime
from colorize.archives import containers

_SIDE = 64  # pixels
_QUESTION = "Sharding: a tar of JPEGs of 256 px to shards of 64 px"


def contenders(archive: Path, out: Path, count: int) -> dict[str, harness.Contender]:
    """Ours, two peers, and decoding alone."""
    works = {
        "ours": lambda: shard(archive, out / "ours"),
        "tarfile + Pillow + wds.TarWriter, PNG": lambda: _straightforward(archive, out / "plain.tar"),
        "cv2 + wds.TarWriter, JPEG 95, as img2dataset": harness.importable(
            "cv2", lambda: _as_img2dataset(archive, out / "i2d.tar")
        ),
        "decoding alone (limit)": lambda: _decode(archive),
    }
    return {name: harness.counted(work, count) for name, work in works.items()}


def on_all_cores(archive: Path, out: Path, count: int, cores: int) -> dict[str, harness.Contender]:
    """Ours and decoding alone in one process per core; the straightforward writer is one process."""

    def decode() -> None:
        with runtime.executor(cores) as pool:
            for done in [pool.submit(_decode, archive, part, cores) for part in range(cores)]:
                done.result()

    works = {
        "ours": lambda: shard(archive, out / "ours", cores),
        "tarfile + Pillow + wds.TarWriter, PNG, in one process": lambda: _straightforward(archive, out / "plain.tar"),
        "decoding alone (limit)": decode,
    }
    return {name: harness.counted(work, count) for name, work in works.items()}


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            yield member.name, tar.extractfile(member).read()


def _straightforward(archive: Path, out: Path) -> None:
    """The straightforward code."""
    import webdataset

    with webdataset.TarWriter(str(out)) as writer:
        for number, (_, content) in enumerate(_members(archive)):
            photo = Pillow.open(io.BytesIO(content)).convert("RGB").resize((_SIDE, _SIDE), Pillow.Resampling.BILINEAR)
            writer.write({"__key__": f"{number:08d}", "png": np.asarray(photo)})


def _as_img2dataset(archive: Path, out: Path) -> Callable[[], None]:
    """Do what img2dataset does: area interpolation, JPEG of quality 95, one text and one JSON file per image."""
    import cv2
    import webdataset

    cv2.setNumThreads(1)

    def work() -> None:
        with webdataset.TarWriter(str(out)) as writer:
            for number, (name, content) in enumerate(_members(archive)):
                photo = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
                photo = cv2.resize(photo, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
                jpg = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
                key, texts = f"{number:08d}", {"txt": name, "json": json.dumps({"caption": name})}
                writer.write({"__key__": key, "jpg": jpg, **texts})

    return work


def _decode(archive: Path, part: int = 0, parts: int = 1) -> None:
    """Find every member and decode it at a quarter of its size: no sharding can do less."""
    with containers.Reader(archive) as reader:
        for entry in containers.scan(archive).entries[part::parts]:
            simplejpeg.decode_jpeg(reader.read(entry), "RGB", min_height=_SIDE, min_width=_SIDE, strict=True)


def _peak_memory(archive: Path, out: Path) -> int:
    """Peak memory of the worker, bytes."""
    command = [sys.executable, "-m", "benchmarks.one_worker", archive, out]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    return int(found.stdout.split()[-1])


def main(rounds: int, small: bool) -> None:
    """Measure speed, then speed and memory for several numbers of images."""
    cores = runtime.processes()
    count = 1_000 if small else 2_500
    with tempfile.TemporaryDirectory(prefix="sharding-") as name:
        folder = Path(name)
        sizes = [count, 4 * count, 16 * count]
        tars = {size: inputs.write_archive(folder / f"{size}.tar", size) for size in sizes}
        rows = harness.compare(contenders(tars[sizes[1]], folder, sizes[1]), "ours", "decoding alone (limit)", rounds)
        harness.report("sharding", _QUESTION, rows, "img/s", cores=1, images=sizes[1], small=small)
        found = on_all_cores(tars[sizes[2]], folder, sizes[2], cores)
        rows = harness.compare(found, "ours", "decoding alone (limit)", rounds)
        harness.report("sharding", _QUESTION, rows, "img/s", cores=cores, images=sizes[2], small=small)
        works = {f"{size:,} images": (lambda size=size: shard(tars[size], folder / "ours")) for size in sizes}
        found = {name: harness.counted(work, size) for (name, work), size in zip(works.items(), sizes, strict=True)}
        rows = harness.compare(found, next(iter(found)), rounds=rounds)
        peaks = [_peak_memory(tars[size], folder / "ours") for size in sizes]
        rows = [row._replace(note=f"peak memory {peak / 1e6:.0f} MB") for row, peak in zip(rows, peaks, strict=True)]
        harness.report("sharding", f"{_QUESTION}, by number of images", rows, "img/s", cores=1, small=small)


if __name__ == "__main__":
    harness.run(main, __doc__)
