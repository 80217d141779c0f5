"""Inference: evaluation of a split and colorization of a photo, compared with straightforward code.

python -m benchmarks.inference [--rounds N] [--small]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from skimage.color import lab2rgb, rgb2lab
from skimage.transform import resize
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import harness, inputs, straight_port
from colorize.color import gamut, targets
from colorize.data.split import Split
from colorize.evaluation.measuring import Kind, images_at_once, measure
from colorize.evaluation.paper import MEASURES
from colorize.models.contract import build_model
from colorize.photos.predict import Colorizer

_OPTIONS = targets.Options(num_neighbors=10, sigma=5.0, encode="pixel")


def evaluations(model: nn.Module, split: Split, device: torch.device) -> dict[str, harness.Contender]:
    """Compute the metrics of a whole split, from the shards to numbers on the host."""
    works = {"ours": lambda: _ours(model, split, device), "straight port": lambda: _straight(model, split, device)}
    works["network alone (limit)"] = lambda: _network(model, split, device)
    return {name: harness.counted(work, len(split)) for name, work in works.items()}


def _ours(model: nn.Module, split: Split, device: torch.device) -> list[float]:
    weights = torch.ones(313, device=device)
    found = measure(lambda L_norm: (model(L_norm), None), Kind.DISTRIBUTIONS, split, MEASURES, weights, _OPTIONS)
    return torch.stack([values.mean() for values in found.values()]).tolist()


@torch.inference_mode()
def _straight(model: nn.Module, split: Split, device: torch.device) -> list[float]:
    """Convert images one by one, use dense targets, and fetch the numbers of every batch."""
    totals = []
    for start in range(0, len(split), 32):
        lab = np.stack([rgb2lab(rgb) for rgb in split.images(np.arange(start, min(start + 32, len(split))))])
        lab = torch.from_numpy(lab).float().movedim(-1, 1).to(device)
        logits = functional.interpolate(model(lab[:, :1] / 100), lab.shape[-2:])
        ab = gamut.gamut_ab(device)[logits.argmax(1)].movedim(-1, 1)
        target = straight_port.dense_targets(lab[:, 1:])
        loss = straight_port.dense_loss(logits, target, torch.ones(313, device=device))
        accuracy = (logits.argmax(1) == target.argmax(1)).float().mean()
        error = (ab - lab[:, 1:]) / 128
        totals.append([value.item() for value in (loss, accuracy, error.square().mean(), error.abs().mean())])
    return np.mean(totals, axis=0).tolist()


@torch.inference_mode()
def _network(model: nn.Module, split: Split, device: torch.device) -> None:
    L_norm = torch.rand(images_at_once(device, split.size), 1, split.size, split.size, device=device)
    for _ in range(0, len(split), len(L_norm)):
        model(L_norm)


def predictions(model: nn.Module, photo: np.ndarray, device: torch.device) -> dict[str, harness.Contender]:
    """Colorize a large photo; input and output are arrays."""
    colorizer = Colorizer(model, "unet", 64, str(device))
    works = {"ours": lambda: colorizer(photo), "straight port": lambda: _colorize_straight(model, photo, device)}
    return {name: harness.counted(work, photo[..., 0].size) for name, work in works.items()}


@torch.inference_mode()
def _colorize_straight(model: nn.Module, photo: np.ndarray, device: torch.device) -> np.ndarray:
    """What public code does: colors and sizes by scikit-image, in float64."""
    lab = rgb2lab(photo)
    small = torch.from_numpy(resize(lab[..., 0], (128, 128))).float()[None, None].to(device)
    ab: Tensor = gamut.annealed_mean(model(small / 100))[0].movedim(0, -1)
    lab[..., 1:] = resize(ab.cpu().numpy(), photo.shape[:2], order=1)
    return (lab2rgb(lab) * 255).astype(np.uint8)


def _muted(model: nn.Module) -> nn.Module:
    """Make an untrained model predict pale colors, as trained models do: almost all of them are in sRGB."""
    with torch.no_grad():
        model.head.weight.mul_(0.1)
        model.head.bias.copy_(gamut.gamut_ab().square().sum(1) / (-2 * 15**2))
    return model


def main(rounds: int, small: bool) -> None:
    """Measure on a GPU if there is one, otherwise on the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    width, side = (0.25, 512) if small else (1.0 if device.type == "cuda" else 0.25, 2048)
    conditions = {"width": width, "device": device.type, "small": small}
    model = _muted(build_model("unet", width)).to(device, memory_format=torch.channels_last).eval()
    with tempfile.TemporaryDirectory() as folder:
        split = inputs.write_shards(Path(folder), 64 if small else 4096 if device.type == "cuda" else 256)
        rows = harness.compare(evaluations(model, split, device), "ours", "network alone (limit)", rounds, device)
        task = {"task": "evaluation of a U-Net", "images": len(split)}
        harness.report("inference", "Inference", rows, "img/s", **task, **conditions)
    photo = np.ascontiguousarray(inputs.crops(side, count=1)[0])
    rows = harness.compare(predictions(model, photo, device), "ours", rounds=rounds, device=device)
    task = {"task": "colorization of a photo", "side": side}
    harness.report("inference", "Inference", rows, "pixels/s", **task, **conditions)


if __name__ == "__main__":
    harness.run(main, __doc__)
