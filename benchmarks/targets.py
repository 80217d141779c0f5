"""Soft targets of a batch: ours uses a lookup table, the peers compute all distances or use a search tree.

python -m benchmarks.targets [--rounds N] [--small]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import harness, inputs
from colorize.color import cielab, gamut
from colorize.color.cielab import AB_SCALE
from colorize.color.targets import Options, SoftTargets

_OPTIONS = Options(num_neighbors=10, sigma=5.0, encode="pixel")
_SIDE = 64  # pixels


def contenders(batch_size: int, device: torch.device) -> dict[str, harness.Contender]:
    """Encode one batch of colors, (B, 2, 64, 64)."""
    rgb = torch.from_numpy(inputs.crops(_SIDE)[:batch_size]).movedim(-1, 1)
    ab = cielab.rgb_to_lab(rgb)[:, 1:].to(device)
    encode = _by_kernel(ab) if ab.is_cuda else lambda: gamut.soft_encode(ab)
    result = [torch.empty_like(part) for part in encode()]
    works = {
        "ours": encode,
        "torch.cdist + topk": lambda: _by_distances(ab),
        "scikit-learn NearestNeighbors": harness.Missing("runs on the CPU only")
        if ab.is_cuda
        else harness.importable("sklearn", lambda: _search_tree(ab)),
        "writing the result (limit)": lambda: [part.fill_(1) for part in result],
    }
    return {name: harness.counted(work, batch_size) for name, work in works.items()}


def _by_kernel(ab: Tensor) -> Callable[[], SoftTargets]:
    """The kernel of the training, which also applies class weights."""
    from colorize.ops import targets_cuda

    ab_norm = (ab / AB_SCALE).contiguous(memory_format=torch.channels_last)
    weights = torch.ones(gamut.NUM_BINS, device=ab.device)
    return lambda: targets_cuda.weighted_targets(ab_norm, weights, _OPTIONS, 1)


def _by_distances(ab: Tensor) -> tuple[Tensor, Tensor]:
    """The definition: all distances, the ten smallest, their Gaussian."""
    points = ab.movedim(1, -1).flatten(0, 2)  # (n, 2)
    nearest, indices = torch.cdist(points, gamut.gamut_ab(ab.device)).topk(10, dim=1, largest=False)
    return indices, torch.softmax(nearest.square() / (-2 * 5.0**2), dim=1)


def _search_tree(ab: Tensor) -> Callable[[], object]:
    """The same with a search tree over the bins, as in the code of Zhang et al."""
    from sklearn.neighbors import NearestNeighbors

    tree = NearestNeighbors(n_neighbors=10, algorithm="ball_tree").fit(gamut.GAMUT_AB)

    def encode() -> tuple[Tensor, Tensor]:
        nearest, indices = tree.kneighbors(ab.movedim(1, -1).reshape(-1, 2).numpy())
        values = torch.softmax(torch.from_numpy(nearest).square() / (-2 * 5.0**2), dim=1)
        return torch.from_numpy(indices), values

    return encode


def main(rounds: int, small: bool) -> None:
    """Measure on a GPU if there is one, otherwise on one core."""
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch_size = 8 if small else 64
    found = contenders(batch_size, device)
    rows = harness.compare(found, "ours", "writing the result (limit)", rounds, device)
    question = "Targets: soft targets" if device.type == "cuda" else "Targets: soft targets, one core"
    harness.report("targets", question, rows, "img/s", batch=batch_size, device=device.type, small=small)


if __name__ == "__main__":
    harness.run(main, __doc__)
