"""Read the images of a split: tar files of PPM images, and the table with their groups."""

from __future__ import annotations

import csv
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Images(NamedTuple):
    """The N images of a split, in the order of the shards."""

    key: np.ndarray  # (N,) int64
    rgb: np.ndarray  # (N, S, S, 3) uint8
    group: np.ndarray  # (N,) str; empty if the group is not known
    weight: np.ndarray  # (N,) float64: how often training uses an image, divided by the mean over all images


def read(folder: Path) -> Images:
    """Read all images of a split's folder."""
    keys, pictures = zip(*(image for path in sorted(folder.glob("*.tar")) for image in _members(path)), strict=True)
    # of a union of data sets, which lists the data sets whose images it joins
    parts = json.loads((folder / "manifest.json").read_text()).get("parts", [{"images": len(keys), "first_key": 0}])
    counts, weights = [part["images"] for part in parts], [part.get("weight", 1) / part["images"] for part in parts]
    keys = np.array(keys) + np.repeat([part["first_key"] for part in parts], counts)
    weight = np.repeat(weights, counts)
    with (folder / "images.csv").open(newline="", encoding="utf-8") as file:
        groups = {int(row["key"]): row["group"] for row in csv.DictReader(file)}
    group = np.array([groups[key] for key in keys])
    return Images(keys, np.stack(pictures), group, weight / weight.mean())


def _members(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    with tarfile.open(path) as archive:
        for member in archive:
            yield int(Path(member.name).stem), _pixels(archive.extractfile(member).read())


def _pixels(content: bytes) -> np.ndarray:
    """The pixels of a binary PPM file of 8 bits per channel, (H, W, 3) uint8."""
    header = re.match(rb"P6\s+(?:#.*\n)*(\d+)\s+(\d+)\s+255\s", content)
    width, height = map(int, header.groups())
    return np.frombuffer(content, np.uint8, height * width * 3, header.end()).reshape(height, width, 3)
