"""Learned image colorization as a reproducible pipeline: `colorize.load(path)` gives a trained model to call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from colorize.photos.predict import Colorizer

__version__ = "0.1.0"


def load(
    path: Path | str,
    device: str | None = None,
    size: int | None = None,
    temperature: float | None = None,
    strength: float = 1.0,
) -> Colorizer:
    """Load a trained model for prediction.

    The call does not change the state of the process: thread count, flags, environment, current device, random state.

    Args:
        path: folder of a trained model, such as `data/models/objects-unet-0`, or an ONNX file of `colorize export`.
        device: `cpu`, `cuda`, ...; by default COLORIZE_DEVICE, else a GPU if there is one. An ONNX file is always
            computed on the CPU.
        size: short side of the network's input, pixels. By default the short side of the photo, but at least the
            training size and at most twice the training size.
        temperature: temperature of the annealed mean, in [0, 1]: 0 is the mode (as in the paper), 1 is the mean.
            Default: 0.38. A regression model accepts only None.
        strength: factor of the predicted ab, in [0, 2]: 0 gives a gray photo, 1 the predicted colors.

    Returns:
        a `colorize.photos.predict.Colorizer`. Call it with the path or the content of a photo's file, with a Pillow
        image, with an array in sRGB, (H, W, 3) uint8, (H, W) uint8 or (H, W) uint16, or with a list of these. It
        returns (H, W, 3) sRGB that keeps the L of the image: uint8, or uint16 for gray of 16 bits. Several threads may
        call it at the same time.

    Raises:
        ValueError: the folder holds no model, the model is damaged, or an option is out of range; the message is one
            line and says what to do.
    """
    if str(path).lower().endswith(".onnx"):
        from colorize.export import session

        return session.load(path, device, size, temperature, strength)
    from colorize.photos import predict  # imports torch, which takes seconds

    return predict.load(path, device, size, temperature, strength)
