"""Entropy maps: pictures that show where a model is unsure about its colors."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, PngImagePlugin

from colorize.color import gamut
from colorize.photos import mark

MAX_ENTROPY = float(np.log(gamut.NUM_BINS))  # nats: all bins are equally probable


def encode(entropy: np.ndarray, source_sha256: str, is_marked: bool) -> bytes:
    """Encode an entropy map as a gray PNG of 8 bits.

    Args:
        entropy: (h, w), nats, of the predicted distribution of each pixel, at the size of the network's output.
        source_sha256: of the photo's file.
        is_marked: write texts by which the map is recognized as made by this program.

    Returns:
        the PNG file; level 0 is 0 nats (one certain color), level 255 is log 313 = 5.75 nats (all bins equal).
    """
    levels = np.clip(np.rint(entropy * (255 / MAX_ENTROPY)), 0, 255).astype(np.uint8)
    text = PngImagePlugin.PngInfo()
    if is_marked:
        text.add_text(mark.SOFTWARE, mark.SIGNATURE)
        text.add_text("Comment", "Entropy of the predicted colors: 0 is 0 nats, 255 is log 313 nats")
        text.add_text(mark.SOURCE, source_sha256)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG", pnginfo=text)
    return file.getvalue()
