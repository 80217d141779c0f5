"""The expert's port: the paper's method as an expert of PyTorch would write it in an afternoon; a peer on a GPU.

All images are on the device as uint8. One function gathers, mirrors and converts a batch to Lab, calls the network,
makes dense soft targets and returns the loss; on CUDA, `torch.compile` compiles it. It computes in channels_last, and
its convolutions in bf16 under autocast. Adam is the fused one. There is no CUDA graph, and the host waits for no step.

The loss equals that of `straight_port.py` except for rounding; tests/benchmarks/test_ports.py compares them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.straight_port import dense_loss, unfuse
from colorize.color import cielab, gamut
from colorize.models.contract import build_model
from colorize.models.registry import MODELS

_XYZ_FROM_RGB = cielab.matrix("xyz_from_rgb")  # relative to the white point
_NUM_NEIGHBORS, _SIGMA = 10, 5.0


class ExpertPort:
    """A model in training; call it with row numbers of `images`, or take endless steps with `steps`.

    Args:
        name: name of the model.
        width: factor for the number of channels.
        weights: (Q,) class weights.
        settings: the section `train` of the parameters.
        device: device of the training.
        images: (N, S, S, 3) uint8.
    """

    def __init__(self, name: str, width: float, weights: Tensor, settings, device: torch.device, images: np.ndarray):
        model = unfuse(build_model(name, width))
        self.model = model.to(device, memory_format=torch.channels_last).train()
        self._is_classifier = MODELS[name].is_classifier
        self._weights = weights.to(device)
        self._images = torch.from_numpy(images).to(device)
        self._centers = gamut.gamut_ab(device)  # (Q, 2)
        self._settings = settings
        self._adam = torch.optim.Adam(
            self.model.parameters(), settings.lr, (settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay, fused=True,
        )  # fmt: skip
        self._loss = torch.compile(self._loss_of, dynamic=False) if device.type == "cuda" else self._loss_of

    def __call__(self, rows: Tensor, is_flipped: Tensor) -> Tensor:
        """Take one step with the images `rows`, (B,) int64, of which some are mirrored; returns the loss."""
        self._adam.zero_grad()
        loss = self._loss(rows, is_flipped)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self._settings.clip_norm)
        self._adam.step()
        return loss.detach()

    def steps(self, batch_size: int) -> Iterator[Tensor]:
        """Take endless steps with shuffled batches of this size; yields the losses."""
        device = self._images.device
        while True:
            for rows in torch.randperm(len(self._images), device=device).split(batch_size):
                if len(rows) == batch_size:
                    yield self(rows, torch.rand(batch_size, device=device) < 0.5)

    def _loss_of(self, rows: Tensor, is_flipped: Tensor) -> Tensor:
        rgb = self._images[rows]  # (B, S, S, 3)
        rgb = torch.where(is_flipped[:, None, None, None], rgb.flip(2), rgb)
        lab = _lab(rgb.float() / 255).movedim(-1, 1)  # (B, 3, S, S), channels_last in memory
        L_norm, ab = lab[:, :1] / 100, lab[:, 1:]
        with torch.autocast(rgb.device.type, torch.bfloat16, enabled=self._settings.precision == "bf16"):
            output = self.model(L_norm)
        if not self._is_classifier:
            return functional.mse_loss(output.float(), ab / 128)
        logits = functional.interpolate(output.float(), ab.shape[-2:])
        return dense_loss(logits, _dense_targets(ab, self._centers), self._weights)


def _lab(rgb: Tensor) -> Tensor:
    """(..., 3) sRGB in [0, 1] -> (..., 3) CIELAB."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    x, y, z = (sum(factor * linear[..., n] for n, factor in enumerate(row)) for row in _XYZ_FROM_RGB)
    f_x, f_y, f_z = (
        torch.where(t > 0.008856, t.clamp_min(0.008856) ** (1 / 3), 7.787 * t + 16 / 116) for t in (x, y, z)
    )
    return torch.stack([116 * f_y - 16, 500 * (f_x - f_y), 200 * (f_y - f_z)], -1)


def _dense_targets(ab: Tensor, centers: Tensor) -> Tensor:
    """(B, 2, H, W) ab -> (B, Q, H, W) soft targets; the squared distances are one compiled operation."""
    batch, _, height, width = ab.shape
    points = ab.movedim(1, -1).reshape(-1, 1, 2)
    squared = (points - centers).square().sum(-1)  # (N, Q)
    nearest, bins = squared.topk(_NUM_NEIGHBORS, largest=False)
    weights = torch.softmax(nearest / (-2 * _SIGMA**2), 1)
    target = torch.zeros_like(squared).scatter_(1, bins, weights)
    return target.view(batch, height, width, -1).movedim(-1, 1)
