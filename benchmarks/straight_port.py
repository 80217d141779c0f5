"""The straight port: the paper's method in straightforward PyTorch, like most public code; the peer in training.

It computes in fp32 and NCHW. Its DataLoader workers convert images to Lab with scikit-image. Upsampling and convolution
are two modules. It makes dense soft targets with cdist and topk, applies log_softmax to logits of full size, and uses
torch's Adam with default options.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.color import rgb2lab
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from colorize.color import gamut
from colorize.models.blocks import UpConv2d
from colorize.models.contract import build_model
from colorize.models.registry import MODELS


class LabImages(Dataset):
    """Images in memory, so that the peer reads no files; they are flipped and converted one by one."""

    def __init__(self, rgb: np.ndarray):
        self._rgb = rgb  # (N, S, S, 3) uint8

    def __len__(self) -> int:
        return len(self._rgb)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """L_norm (1, S, S), ab_norm (2, S, S)."""
        rgb = self._rgb[index]
        lab = rgb2lab(rgb[:, ::-1] if torch.rand(()) < 0.5 else rgb)
        lab = torch.from_numpy(lab).float().movedim(-1, 0)
        return lab[:1] / 100, lab[1:] / 128


def loader(rgb: np.ndarray, batch_size: int, workers: int) -> DataLoader:
    """Make shuffled batches."""
    pin, stay = torch.cuda.is_available(), workers > 0
    return DataLoader(
        LabImages(rgb), batch_size, shuffle=True, num_workers=workers, drop_last=True, pin_memory=pin,
        persistent_workers=stay,
    )  # fmt: skip


def dense_targets(ab: Tensor, num_neighbors: int = 10, sigma: float = 5.0) -> Tensor:
    """Compute soft targets, (B, Q, H, W), of ab, (B, 2, H, W), from the distances to all bins."""
    batch, _, height, width = ab.shape
    points = ab.movedim(1, -1).reshape(-1, 2)
    distances, bins = torch.cdist(points, gamut.gamut_ab(ab.device)).topk(num_neighbors, largest=False)
    weights = torch.exp(-(distances**2) / (2 * sigma**2))
    target = torch.zeros(len(points), gamut.NUM_BINS, device=ab.device)
    target.scatter_(1, bins, weights / weights.sum(1, keepdim=True))
    return target.view(batch, height, width, -1).movedim(-1, 1)


def dense_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted soft cross entropy, mean over pixels; a pixel's weight is the weight of its nearest bin."""
    of_pixel = weights[target.argmax(1)]
    return (of_pixel * -(target * functional.log_softmax(logits, dim=1)).sum(1)).mean()


class StraightPort:
    """A model in training; call it with a batch of `loader`."""

    def __init__(self, name: str, width: float, weights: Tensor, settings, device: torch.device):
        self.model = unfuse(build_model(name, width)).to(device).train()
        self._is_classifier = MODELS[name].is_classifier
        self._weights = weights.to(device)
        self._clip_norm = settings.clip_norm
        self._adam = torch.optim.Adam(
            self.model.parameters(), settings.lr, (settings.beta1, settings.beta2), weight_decay=settings.weight_decay
        )

    def __call__(self, L_norm: Tensor, ab_norm: Tensor) -> float:
        """Take one step and return the loss; the host waits for it, as in most public code."""
        self._adam.zero_grad()
        output = self.model(L_norm)
        if self._is_classifier:
            output = functional.interpolate(output, ab_norm.shape[-2:])
            loss = dense_loss(output, dense_targets(ab_norm * 128), self._weights)
        else:
            loss = functional.mse_loss(output, ab_norm)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self._clip_norm)
        self._adam.step()
        return loss.item()


def unfuse(module: nn.Module) -> nn.Module:
    """Replace each module that upsamples and convolves at once by two modules, within a model."""
    for name, child in module.named_children():
        if isinstance(child, UpConv2d):
            plain = nn.Conv2d(child.in_channels, child.out_channels, 3, padding=1)
            setattr(module, name, nn.Sequential(nn.Upsample(scale_factor=2), plain))
        else:
            unfuse(child)
    return module
