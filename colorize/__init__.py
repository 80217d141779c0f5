"""Learned image colorization as a reproducible pipeline: `colorize.load(path)` gives a trained model to call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from colorize.predict import Colorizer

__version__ = "0.1.0"


def load(
    path: Path | str, device: str | None = None, size: int | None = None, temperature: float | None = None
) -> Colorizer:
    """Load a trained model for prediction.

    Args:
        path: folder of the model, such as `data/models/objects-unet`.
        device: `cpu`, `cuda`, ...; by default COLORIZE_DEVICE, else a GPU where there is one.
        size: short side of what the network sees, pixels; by default up to twice the training size.
        temperature: of the annealed mean, in [0, 1]: 1 is the mean, 0 the mode as in the paper; by default 0.38.

    Returns:
        a `colorize.predict.Colorizer`. Called with a Pillow image of mode RGB or L, or with an array (H, W, 3) or
        (H, W) of uint8, it returns (H, W, 3) uint8 sRGB with the L of the image; its `predict_ab` returns the colors.

    Raises:
        ValueError: no model there, a damaged one, or an option out of range; one line that says what to do.
    """
    from colorize import predict  # imports torch, which takes seconds

    return predict.load(path, device, size, temperature)
