"""Generate archives of any size in the real layouts, to see how the pipeline scales.

    python -m tools.generate --images 100000 --layout places --out /big/disk/raw > sources/generated.yaml

The images are crops of the sample's photographs (`tools/crops.py`): a model that is trained on them is worth nothing.
The same options and package versions give the same bytes. Standard output gets the source file of the data set. The
layouts are those of

    tiny_imagenet   the zip of Tiny ImageNet, 64 px
    places          the tars of Places365, 256 px
    img2dataset     a folder of tars that img2dataset wrote in its format webdataset, 256 px
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import math
import shutil
import sys
import tarfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO, NamedTuple

import yaml

from colorize import runtime
from colorize.runtime import DataError, ParameterError
from tools import crops

SIZES = {"tiny_imagenet": 64, "places": 256, "img2dataset": 256}  # pixels, by layout
_SOURCES = Path(__file__).resolve().parents[1] / "sources"
_MINIMUM = 60  # images; every split of every layout then has some
_CLASSES = {"tiny_imagenet": 200, "places": 365}
_SHARES = {"tiny_imagenet": (1 / 12, 1 / 12), "places": (0.017, 0.151)}  # of val and test
_PER_TASK = 250  # images that a worker encodes at a time
_MEASURED = 200  # images whose length gives the estimate of the space
_OVERHEAD = {"tiny_imagenet": 250, "places": 800, "img2dataset": 4500}  # bytes per image besides the JPEG, at most


class Order(NamedTuple):
    """What to generate."""

    images: int
    layout: str
    size: int  # pixels
    per_tar: int  # only for img2dataset
    seed: int
    out: Path


class Part(NamedTuple):
    """The images of a split: numbers from `start` to `start + images`."""

    split: str
    start: int
    images: int
    classes: int

    def class_of(self, position: int) -> tuple[int, int]:
        """Class of an image, and its position in this class; the classes follow each other, as in the real archives."""
        number = position * self.classes // self.images
        return number, position - -(-number * self.images // self.classes)


def generate(order: Order) -> dict:
    """Write the archives, and return the content of the source file.

    Raises:
        ParameterError: too few images, or more than there are different ones.
        DataError: the folder is not empty or cannot be written, or the disk has too little space.
    """
    if order.images < _MINIMUM:
        raise ParameterError(f"--images {order.images}: expected at least {_MINIMUM}")
    if order.out.exists() and (not order.out.is_dir() or any(order.out.iterdir())):
        raise DataError(f"{order.out}: not an empty folder; choose another --out")
    crops.check_count(order.images, order.size)
    runtime.prepare_folder(order.out)
    _check_space(order)
    write = {"tiny_imagenet": _write_tiny_imagenet, "places": _write_places, "img2dataset": _write_img2dataset}
    with runtime.progress(f"generate {order.layout}", order.images, "images") as advance:
        return write[order.layout](order, advance)


def _check_space(order: Order) -> None:
    measured = min(_MEASURED, order.images)
    mean = sum(len(crops.jpeg(number, order.size, order.seed)) for number in range(measured)) / measured
    needed = int(1.05 * order.images * (mean + _OVERHEAD[order.layout]))
    free = shutil.disk_usage(order.out).free
    if free < needed:
        raise DataError(f"{order.out}: about {needed:,} bytes are needed, {free:,} are free; free some space")


def parts(order: Order) -> list[Part]:
    """The splits of Tiny ImageNet or Places, with the shares of the real data set."""
    val, test = (max(1, round(order.images * share)) for share in _SHARES[order.layout])
    counts = {"train": order.images - val - test, "val": val, "test": test}
    found, start = [], 0
    for split, count in counts.items():
        found.append(Part(split, start, count, min(_CLASSES[order.layout], count)))
        start += count
    return found


def _encoded(order: Order, part: Part, name: Callable[[int], str]) -> Iterator[list[tuple[str, bytes]]]:
    """Names and contents of all images of a part, in order; the worker processes encode them."""
    encode = functools.partial(_encode, part.start, order.size, order.seed)
    ranges = [range(start, min(start + _PER_TASK, part.images)) for start in range(0, part.images, _PER_TASK)]
    for positions, contents in zip(ranges, _in_order(encode, ranges), strict=True):
        yield [(name(position), content) for position, content in zip(positions, contents, strict=True)]


def _encode(start: int, size: int, seed: int, positions: range) -> list[bytes]:
    return [crops.jpeg(start + position, size, seed) for position in positions]


def _in_order(work: Callable, items: list) -> Iterator:
    """Call `work` for every item in worker processes; yield the results in order. Few of them wait at a time."""
    waiting: deque[Future] = deque()
    with runtime.executor(runtime.processes()) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 4 * runtime.processes():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


# --- Tiny ImageNet ---------------------------------------------------------------------------------------------------


def _write_tiny_imagenet(order: Order, advance: Callable[[int], None]) -> dict:
    root, whole = "tiny-imagenet-200/", f"0\t0\t{order.size - 1}\t{order.size - 1}\n"
    path = order.out / "tiny-imagenet-200.zip"
    with runtime.atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for part in parts(order):
            names = functools.partial(_tiny_imagenet_name, part)
            for images in _encoded(order, part, names):
                for name, content in images:
                    _add_zipped(archive, root + name, content)
                advance(len(images))
            _add_lists(archive, root, part, names, whole)
    return _source_of("tiny_imagenet", {"path": str(path.absolute())})


def _add_lists(archive: zipfile.ZipFile, root: str, part: Part, names: Callable[[int], str], whole: str) -> None:
    """Add the lists that belong to a split: classes and boxes of train, classes of val."""
    if part.split == "train":
        _add_zipped(archive, root + "wnids.txt", "".join(f"{_wnid(n)}\n" for n in range(part.classes)).encode())
        boxes: dict[int, str] = {}
        for position in range(part.images):
            number = part.class_of(position)[0]
            boxes[number] = boxes.get(number, "") + names(position).rpartition("/")[2] + "\t" + whole
        for number, lines in boxes.items():
            _add_zipped(archive, f"{root}train/{_wnid(number)}/{_wnid(number)}_boxes.txt", lines.encode())
    if part.split == "val":
        lines = [f"val_{n}.JPEG\t{_wnid(part.class_of(n)[0])}\t{whole}" for n in range(part.images)]
        _add_zipped(archive, root + "val/val_annotations.txt", "".join(lines).encode())


def _tiny_imagenet_name(part: Part, position: int) -> str:
    if part.split != "train":
        return f"{part.split}/images/{part.split}_{position}.JPEG"
    number, place = part.class_of(position)
    return f"train/{_wnid(number)}/images/{_wnid(number)}_{place}.JPEG"


def _wnid(number: int) -> str:
    return f"n{number:08d}"


# --- Places ----------------------------------------------------------------------------------------------------------


def _write_places(order: Order, advance: Callable[[int], None]) -> dict:
    train, val, test = parts(order)
    files = {"train_256_places365standard.tar": train, "val_256.tar": val, "test_256.tar": test}
    for file_name, part in files.items():
        with runtime.atomic_write(order.out / file_name) as file, _tar(file) as archive:
            for images in _encoded(order, part, functools.partial(_places_name, part)):
                for name, content in images:
                    _add_to_tar(archive, name, content)
                advance(len(images))
    lists = "filelist_places365-standard.tar"
    with runtime.atomic_write(order.out / lists) as file, _tar(file) as archive:
        lines = [f"Places365_val_{n + 1:08d}.jpg {val.class_of(n)[0]}\n" for n in range(val.images)]
        _add_to_tar(archive, "places365_val.txt", "".join(lines).encode())
        categories = [f"/{_category(n)} {n}\n" for n in range(_CLASSES["places"])]
        _add_to_tar(archive, "categories_places365.txt", "".join(categories).encode())
    return _source_of("places365", {"archives": {name: _described(order.out / name) for name in (*files, lists)}})


def _places_name(part: Part, position: int) -> str:
    if part.split != "train":
        return f"{part.split}_256/Places365_{part.split}_{position + 1:08d}.jpg"
    number, place = part.class_of(position)
    return f"data_256/{_category(number)}/{place + 1:08d}.jpg"


def _category(number: int) -> str:
    """Name of a class; some are two folders deep, as in Places."""
    letter = "abcdefghijklmnopqrstuvwxyz"[number * 26 // _CLASSES["places"]]
    return f"{letter}/class_{number:03d}" + ("/outdoor" if number % 10 == 0 else "")


# --- img2dataset -----------------------------------------------------------------------------------------------------


def _write_img2dataset(order: Order, advance: Callable[[int], None]) -> dict:
    numbers = range(math.ceil(order.images / order.per_tar))
    for images in _in_order(functools.partial(_write_tar, order), list(numbers)):
        advance(images)
    return {"path": str(order.out.absolute()), "fractions": {"val": 0.02, "test": 0.02}}


def _write_tar(order: Order, number: int) -> int:
    """Write one tar, its statistics and its table; returns the number of images."""
    positions = range(number * order.per_tar, min((number + 1) * order.per_tar, order.images))
    rows = []
    with runtime.atomic_write(order.out / f"{number:05d}.tar") as file, _tar(file) as archive:
        for position in positions:
            content = crops.jpeg(position, order.size, order.seed)
            row = _metadata(f"{number:05d}{position - positions.start:04d}", position, content, order.size)
            _add_to_tar(archive, f"{row['key']}.jpg", content)
            _add_to_tar(archive, f"{row['key']}.json", json.dumps(row, indent=4).encode())
            _add_to_tar(archive, f"{row['key']}.txt", row["caption"].encode())
            rows.append(row)
    counts = {"count": len(rows), "successes": len(rows), "failed_to_download": 0, "failed_to_resize": 0}
    runtime.write_json(order.out / f"{number:05d}_stats.json", counts | {"status_dict": {"success": len(rows)}})
    _write_table(order.out / f"{number:05d}.parquet", rows)
    return len(rows)


def _metadata(key: str, position: int, content: bytes, size: int) -> dict:
    sides = {"width": size, "height": size, "original_width": size, "original_height": size}
    row = {"caption": f"photograph {position}", "url": f"http://localhost/{position}.jpg", "key": key}
    row |= {"status": "success", "error_message": None, "exif": "{}"}
    return row | sides | {"sha256": hashlib.sha256(content).hexdigest()}


def _write_table(path: Path, rows: list[dict]) -> None:
    """Write the metadata as a Parquet file, if pyarrow is installed; the pipeline does not read it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    with runtime.atomic_write(path) as file:
        file.write(buffer.getvalue())


# --- archives and source files ---------------------------------------------------------------------------------------


def _tar(file: BinaryIO) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT)


def _add_to_tar(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _add_zipped(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = 0o644 << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, content, compresslevel=1)


def _described(path: Path) -> dict:
    """Entry of an archive in a source file. The address is never used: the file is there already."""
    return {"url": f"http://localhost/{path.name}", "bytes": path.stat().st_size, "sha256": runtime.sha256_of(path)}


def _source_of(name: str, archives: dict) -> dict:
    """The source file of a real data set with other archives."""
    source = yaml.safe_load((_SOURCES / f"{name}.yaml").read_text(encoding="utf-8"))
    return {**archives, "splits": source["splits"], "lists": source["lists"]}


def arguments(words: list[str]) -> Order:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, required=True, help="number of images in all splits together")
    parser.add_argument("--layout", choices=SIZES, default="places", help="default: places")
    parser.add_argument("--size", type=int, help="side of the images, pixels (default: 64 for tiny_imagenet, else 256)")
    parser.add_argument("--per-tar", type=int, default=10_000, help="images per tar of img2dataset (default: 10,000)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other images (default: 0)")
    parser.add_argument("--out", type=Path, required=True, help="empty or new folder for the archives")
    found = parser.parse_args(words)
    size = SIZES[found.layout] if found.size is None else found.size
    for name, value, least, most in (
        ("--size", size, 16, 1024), ("--per-tar", found.per_tar, 1, 10_000), ("--seed", found.seed, 0, 2**63),
    ):  # fmt: skip
        if not least <= value <= most:
            parser.error(f"{name} {value}: expected {least} to {most}")
    return Order(found.images, found.layout, size, found.per_tar, found.seed, found.out)


def main(*words: str) -> None:
    """Generate archives, and print their source file."""
    order = arguments(list(words))
    source = generate(order)
    print(f"# {order.images} generated images of {order.size} px, seed {order.seed}")
    if "archives" in source:
        print(f"# run the stages with COLORIZE_RAW={order.out.absolute()}")
    print(yaml.safe_dump(source, sort_keys=False), end="")


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
