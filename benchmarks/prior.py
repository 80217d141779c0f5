"""Color counts and prior of a training set: every distinct color encoded once, beside every pixel on its own.

    python -m benchmarks.prior [--rounds N] [--small]

Ours reads the shards, counts every 8-bit color exactly, then converts and encodes each distinct color once: this
second part grows with the colors, not with the images. Of the others, `torch.cdist` measures the distances of every
pixel to all bins and adds up the soft encoding, which is the definition; skimage converts every pixel and counts its
nearest bin, which is half of the result. The limit reads the images from the mapped shards, and adds up their bytes,
eight at a time. The images repeat 500 crops with 0.4 million colors; where colors are more, counting them misses the
processor's cache more often and takes up to twice as long.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import harness, inputs
from colorize import color, gamut
from colorize.data.loader import Split
from colorize.prior import counts
from colorize.targets import Options

_SIDE = 64  # pixels
_OPTIONS = Options(num_neighbors=10, sigma=5.0, encode="pixel")
_PEERS_IMAGES = 16  # the peers take as long for every image, and the whole set would take minutes


def contenders(split: Split) -> dict[str, harness.Contender]:
    """Ours and the limit on the whole split, the others on some of its images."""
    few = split.images(np.arange(min(_PEERS_IMAGES, len(split))))
    return {
        "ours": harness.counted(lambda: prior(split), len(split)),
        "torch.cdist": harness.counted(lambda: _by_distances(few), len(few)),
        "skimage + nearest bin": harness.counted(
            harness.importable("skimage", lambda: lambda: _by_skimage(few)), len(few)
        ),
        "read (limit)": harness.counted(lambda: _read(split), len(split)),
    }


def prior(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Pixels by nearest bin, (Q,), and the mean soft encoding, (Q,)."""
    bins, joint = counts.bin_counts(counts.count_colors(split, "benchmark"), _OPTIONS)
    return bins, joint.sum(0) / joint.sum()


def _by_distances(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same: all distances of every pixel, an image at a time, and the Gaussian of the ten least."""
    bins, total = torch.zeros(gamut.NUM_BINS, dtype=torch.int64), torch.zeros(gamut.NUM_BINS)
    for image in images:
        ab = color.rgb_to_lab(torch.from_numpy(image).movedim(-1, 0)[None])[0, 1:].flatten(1).T  # (n, 2)
        nearest, indices = torch.cdist(ab, gamut.gamut_ab(ab.device)).topk(_OPTIONS.num_neighbors, largest=False)
        values = torch.softmax(nearest.square() / (-2 * _OPTIONS.sigma**2), dim=1)
        total.index_add_(0, indices.flatten(), values.flatten())
        bins += torch.bincount(indices[:, 0], minlength=gamut.NUM_BINS)
    return bins.numpy(), (total / total.sum()).numpy()


def _by_skimage(images: np.ndarray) -> np.ndarray:
    """Pixels by nearest bin alone: skimage's Lab of every pixel, the bin of its ab from our table."""
    from skimage.color import rgb2lab

    bins = np.zeros(gamut.NUM_BINS, dtype=np.int64)
    for image in images:
        ab = torch.from_numpy(rgb2lab(image)[None, ..., 1:].astype(np.float32)).movedim(-1, 1)  # (1, 2, H, W)
        bins += np.bincount(gamut.nearest_bin(ab).flatten().numpy(), minlength=gamut.NUM_BINS)
    return bins


def _read(split: Split) -> int:
    """Every byte of every image, gathered some images at a time."""
    parts = np.split(np.arange(len(split)), range(64, len(split), 64))
    return sum(int(split.images(rows).reshape(-1).view(np.uint64).sum()) for rows in parts)


def main(rounds: int, small: bool) -> None:
    """Measure on one core; then by the number of images."""
    torch.set_num_threads(1)
    count = 4_000 if small else 10_000
    with tempfile.TemporaryDirectory(prefix="prior-") as name:
        sizes = [count, 4 * count, 16 * count]
        splits = {size: inputs.write_shards(Path(name, str(size)), size, _SIDE) for size in sizes}
        rows = harness.compare(contenders(splits[sizes[1]]), "ours", "read (limit)", rounds)
        harness.report("prior", "color counts and prior", rows, "img/s/core", images=sizes[1], small=small)
        works = {f"{size:,} images": harness.counted(lambda size=size: prior(splits[size]), size) for size in sizes}
        rows = harness.compare(works, next(iter(works)), rounds=rounds)
        harness.report("prior", "by the number of images", rows, "img/s/core", small=small)


if __name__ == "__main__":
    harness.run(main, __doc__)
