"""The paper's metrics, per image; validation during training and the final evaluation use the same functions."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.color import gamut
from colorize.color.cielab import AB_SCALE
from colorize.color.targets import Options, SoftTargets, pool, soft_targets, weigh
from colorize.models import output as outputs

_CACHED_PIXELS = 1 << 10  # 1.3 MB of probabilities
_PIXELS = {"cpu": 1 << 14, "gpu": 1 << 19}  # evaluated at once: 20 MB and 660 MB of logits


def per_image(
    output: Tensor, ab_norm: Tensor, weights: Tensor, options: Options, weighted_output: Tensor | None = None
) -> dict[str, Tensor]:
    """Metrics of a batch.

    Args:
        output: (B, 2, H, W) ab_norm, or (B, Q, h, w) logits with h = H or H / 2.
        ab_norm: (B, 2, H, W), the truth.
        weights: (Q,) class weights of the source data set.
        options: of the soft targets.
        weighted_output: logits for the weighted cross entropy, where they are others (the constant prior).

    Returns:
        (B,) float64 each: `l2` and `l1` (means over pixels and both channels of ab_norm) and `accuracy` (of the bin);
        for logits also `cross_entropy`, `weighted_cross_entropy` and `target_entropy`, in nats.
    """
    predicted = outputs.to_ab_norm(output, ab_norm.shape[-2:])
    error = predicted - ab_norm
    truth = gamut.nearest_bin(ab_norm * AB_SCALE)  # (B, H, W)
    metrics = {
        "l2": _mean(error.square()),
        "l1": _mean(error.abs()),
        "accuracy": _mean(gamut.nearest_bin(predicted * AB_SCALE) == truth),
    }
    if outputs.is_distribution(output):
        targets = soft_targets(ab_norm, options)
        stride = ab_norm.shape[-1] // output.shape[-1]
        pooled, weighted = pool(targets, stride), pool(weigh(targets, ab_norm, weights), stride)
        log_p = log_probabilities_at(output, pooled.bins)
        weighted_log_p = log_p if weighted_output is None else log_probabilities_at(weighted_output, pooled.bins)
        metrics["cross_entropy"] = cross_entropy(log_p, pooled)
        metrics["weighted_cross_entropy"] = cross_entropy(weighted_log_p, weighted)
        metrics["target_entropy"] = _mean(-(targets.values * targets.values.clamp_min(1e-30).log()).sum(dim=-1))
    return metrics


def cross_entropy(log_p: Tensor, targets: SoftTargets) -> Tensor:
    """Cross entropy against soft targets.

    Args:
        log_p: (B, h, w, K) log probabilities of the targets' bins.
        targets: (B, h, w, K).

    Returns:
        (B,) float64, mean over pixels, in nats.
    """
    return _mean(-(targets.values * log_p).sum(dim=-1))


def log_probabilities_at(logits: Tensor, bins: Tensor) -> Tensor:
    """Log probabilities of some bins of every pixel.

    On a CPU a few rows of pixels at a time, whose probabilities then never leave its cache.

    Args:
        logits: (B, Q, h, w).
        bins: (B, h, w, K) int64.

    Returns:
        (B, h, w, K) float32.
    """
    rows = logits.movedim(1, -1).flatten(0, 1)  # (B h, w, Q)
    at_once = len(rows) if logits.device.type == "cuda" else max(1, _CACHED_PIXELS // rows.shape[1])
    parts = zip(rows.split(at_once), bins.flatten(0, 1).split(at_once), strict=True)
    return torch.cat([part.float().log_softmax(dim=-1).gather(-1, at) for part, at in parts]).view(bins.shape)


def images_at_once(device: str | torch.device, size: int) -> int:
    """Batch size of an evaluation of images of that side: on a CPU the logits of a batch stay near its caches."""
    pixels = _PIXELS["cpu" if torch.device(device).type == "cpu" else "gpu"]
    return max(1, pixels // size**2)


def _mean(values: Tensor) -> Tensor:
    """(B, ...) -> (B,) float64."""
    return values.double().flatten(1).mean(dim=1)
