"""Photos and an untrained model, for the tests of colorization."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from colorize.models import contract, files

SIZE = 32  # of the model's training images, pixels


def save_unet(folder: Path, factor: float) -> Path:
    """Save an untrained U-Net whose head is multiplied by a factor, so that its colors change from pixel to pixel."""
    torch.manual_seed(0)
    model = contract.build_model("unet", 0.05)
    with torch.no_grad():
        model.head.weight.mul_(factor)
    files.save(folder, model, {"model": "unet", "width": 0.05, "size": SIZE})
    return folder


def smooth_photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: smooth colors and some noise, no two sides alike."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + generator.integers(-9, 10, smooth.shape)).clip(0, 255).astype(np.uint8)
