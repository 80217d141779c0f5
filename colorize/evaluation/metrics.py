"""The paper's metrics, per image; validation during training and the final evaluation use the same functions."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize import gamut
from colorize.color import AB_SCALE
from colorize.models import output as outputs
from colorize.targets import Options, SoftTargets, pool, soft_targets, weigh


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
        log_p = _log_probabilities(output)
        weighted_log_p = log_p if weighted_output is None else _log_probabilities(weighted_output)
        metrics["cross_entropy"] = cross_entropy(log_p, targets)
        metrics["weighted_cross_entropy"] = cross_entropy(weighted_log_p, weigh(targets, ab_norm, weights))
        metrics["target_entropy"] = _mean(-(targets.values * targets.values.clamp_min(1e-30).log()).sum(dim=-1))
    return metrics


def cross_entropy(log_p: Tensor, targets: SoftTargets) -> Tensor:
    """Cross entropy of distributions, upsampled by nearest, against soft targets.

    Args:
        log_p: (B, h, w, Q) log probabilities.
        targets: (B, H, W, K), H a multiple of h.

    Returns:
        (B,) float64, mean over pixels, in nats.
    """
    pooled = pool(targets, targets.bins.shape[1] // log_p.shape[1])
    return _mean(-(pooled.values * log_p.gather(-1, pooled.bins)).sum(dim=-1))


def _log_probabilities(logits: Tensor) -> Tensor:
    """(B, Q, h, w) -> (B, h, w, Q)."""
    return logits.movedim(1, -1).float().log_softmax(dim=-1)


def images_at_once(device: str | torch.device) -> int:
    """Batch size of an evaluation: on a CPU so small that the logits of a batch stay near its caches."""
    return 4 if torch.device(device).type == "cpu" else 128


def _mean(values: Tensor) -> Tensor:
    """(B, ...) -> (B,) float64."""
    return values.double().flatten(1).mean(dim=1)
