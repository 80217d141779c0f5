"""Draw the prior over the ab plane."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from colorize import runtime

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection


def draw(path: Path, gamut_ab: np.ndarray, rgb: np.ndarray, prior: np.ndarray, weights: np.ndarray, title: str) -> None:
    """Draw three panels: the bins' colors, their smoothed prior, and their rebalancing weights.

    Args:
        path: path of the PNG to write.
        gamut_ab: (Q, 2) centers of the bins.
        rgb: (Q, 3) uint8, the bins' colors.
        prior: (Q,).
        weights: (Q,) rebalancing weights.
        title: title of the picture.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    _squares(axes[0], gamut_ab, f"the {len(gamut_ab)} bins", color=rgb / 255)
    least = max(prior[prior > 0].min(), 1e-7)
    norm = LogNorm(least, prior.max())
    shown = _squares(axes[1], gamut_ab, "smoothed prior p", c=np.maximum(prior, least), norm=norm, cmap="magma")
    figure.colorbar(shown, ax=axes[1])
    shown = _squares(axes[2], gamut_ab, "rebalancing weight w", c=weights, norm=LogNorm(), cmap="viridis")
    figure.colorbar(shown, ax=axes[2])
    axes[0].set_ylabel("b: blue to yellow")
    figure.suptitle(title)
    with runtime.atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=80, metadata={"Software": None})


def _squares(axis: Axes, gamut_ab: np.ndarray, title: str, **colors: Any) -> PathCollection:
    axis.set(
        title=title, xlabel="a: green to red", aspect="equal", facecolor="#e8e8e8", xlim=(-110, 115), ylim=(-120, 115)
    )
    return axis.scatter(gamut_ab[:, 0], gamut_ab[:, 1], s=58, marker="s", linewidths=0, **colors)
