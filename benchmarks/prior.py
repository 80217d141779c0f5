"""Prior: color counts of a training set. Ours encodes every distinct color once, the peers encode every pixel.

    python -m benchmarks.prior [--rounds N] [--small]

Ours reads the shards, counts every 8-bit color exactly, then converts and encodes each distinct color once. The time
of this second step depends on the number of colors, not on the number of images. The peer with `torch.cdist` computes
the distances of every pixel to all bins and adds up the soft encodings, as the definition says. The peer with
scikit-image converts every pixel and counts its nearest bin, which is only half of the result. The limit reads all
images from the mapped shards and adds up their bytes, eight at a time. The images are 500 crops, repeated, with 0.4
million colors. With more colors, counting misses the processor's cache more often and takes up to twice as long.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import harness, inputs
from colorize.color import cielab, gamut
from colorize.color.targets import Options
from colorize.data.split import Split
from colorize.prior import counts

_SIDE = 64  # pixels
_OPTIONS = Options(num_neighbors=10, sigma=5.0, encode="pixel")
_PEERS_IMAGES = 16  # the peers need the same time for every image; the whole set would take minutes
_QUESTION = "Prior: color counts and prior, one core"


def contenders(split: Split) -> dict[str, harness.Contender]:
    """Ours and the limit on the whole split, the peers on some of its images."""
    few = split.images(np.arange(min(_PEERS_IMAGES, len(split))))
    return {
        "ours": harness.counted(lambda: prior(split), len(split)),
        "torch.cdist for every pixel": harness.counted(lambda: _by_distances(few), len(few)),
        "scikit-image's Lab + nearest bin, counts only": harness.counted(
            harness.importable("skimage", lambda: lambda: _by_skimage(few)), len(few)
        ),
        "reading the images (limit)": harness.counted(lambda: _read(split), len(split)),
    }


def prior(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of pixels per nearest bin, (Q,), and the mean soft encoding, (Q,)."""
    bins, joint = counts.bin_counts(counts.count_colors(split, "benchmark"), _OPTIONS)
    return bins, joint.sum(0) / joint.sum()


def _by_distances(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same result from all distances of every pixel and the Gaussian of the ten smallest, image by image."""
    bins, total = torch.zeros(gamut.NUM_BINS, dtype=torch.int64), torch.zeros(gamut.NUM_BINS)
    for image in images:
        ab = cielab.rgb_to_lab(torch.from_numpy(image).movedim(-1, 0)[None])[0, 1:].flatten(1).T  # (n, 2)
        nearest, indices = torch.cdist(ab, gamut.gamut_ab(ab.device)).topk(_OPTIONS.num_neighbors, largest=False)
        values = torch.softmax(nearest.square() / (-2 * _OPTIONS.sigma**2), dim=1)
        total.index_add_(0, indices.flatten(), values.flatten())
        bins += torch.bincount(indices[:, 0], minlength=gamut.NUM_BINS)
    return bins.numpy(), (total / total.sum()).numpy()


def _by_skimage(images: np.ndarray) -> np.ndarray:
    """Pixels per nearest bin only: scikit-image's Lab of every pixel, and the bin of its ab from our table."""
    from skimage.color import rgb2lab

    bins = np.zeros(gamut.NUM_BINS, dtype=np.int64)
    for image in images:
        ab = torch.from_numpy(rgb2lab(image)[None, ..., 1:].astype(np.float32)).movedim(-1, 1)  # (1, 2, H, W)
        bins += np.bincount(gamut.nearest_bin(ab).flatten().numpy(), minlength=gamut.NUM_BINS)
    return bins


def _read(split: Split) -> int:
    """Read every byte of every image, 64 images at a time."""
    parts = np.split(np.arange(len(split)), range(64, len(split), 64))
    return sum(int(split.images(rows).reshape(-1).view(np.uint64).sum()) for rows in parts)


def main(rounds: int, small: bool) -> None:
    """Measure on one core, then for several numbers of images."""
    torch.set_num_threads(1)
    count = 4_000 if small else 10_000
    with tempfile.TemporaryDirectory(prefix="prior-") as name:
        sizes = [count, 4 * count, 16 * count]
        splits = {size: inputs.write_shards(Path(name, str(size)), size, _SIDE) for size in sizes}
        rows = harness.compare(contenders(splits[sizes[1]]), "ours", "reading the images (limit)", rounds)
        harness.report("prior", _QUESTION, rows, "img/s", images=sizes[1], small=small)
        works = {f"{size:,} images": harness.counted(lambda size=size: prior(splits[size]), size) for size in sizes}
        rows = harness.compare(works, next(iter(works)), rounds=rounds)
        harness.report("prior", f"{_QUESTION}, by number of images", rows, "img/s", small=small)


if __name__ == "__main__":
    harness.run(main, __doc__)
