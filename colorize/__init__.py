"""Learned image colorization as a reproducible pipeline: `colorize.load(path)` gives a trained model to call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from colorize.photos.predict import Colorizer

__version__ = "0.1.0"


def load(
    path: Path | str, device: str | None = None, size: int | None = None, temperature: float | None = None
) -> Colorizer:
    """Load a trained model for prediction.

    The call does not change the state of the process: thread count, flags, environment, current device, random state.

    Args:
        path: folder of a trained model, such as `data/models/objects-unet-0`.
        device: `cpu`, `cuda`, ...; by default COLORIZE_DEVICE, else a GPU if there is one.
        size: short side of the network's input, pixels. By default the short side of the photo, but at least the
            training size and at most twice the training size.
        temperature: temperature of the annealed mean, in [0, 1]: 0 is the mode (as in the paper), 1 is the mean.
            Default: 0.38. A regression model accepts only None.

    Returns:
        a `colorize.photos.predict.Colorizer`. Call it with a Pillow image of mode RGB or L, or with a uint8 array,
        (H, W, 3) or (H, W). It returns (H, W, 3) uint8 sRGB that keeps the L of the image. Its method `predict_ab`
        returns the predicted ab.

    Raises:
        ValueError: the folder holds no model, the model is damaged, or an option is out of range; the message is one
            line and says what to do.
    """
    from colorize.photos import predict  # imports torch, which takes seconds

    return predict.load(path, device, size, temperature)
