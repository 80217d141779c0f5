"""Loss: forward and backward of head and loss. Ours fuses them; the peers use dense or sparse targets.

python -m benchmarks.loss [--rounds N] [--small]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import harness
from colorize.color.gamut import NUM_BINS
from colorize.color.targets import SoftTargets
from colorize.training import loss

_SIDE = 64  # pixels
_NEIGHBORS = 10


def contenders(batch_size: int, channels: int, device: torch.device) -> dict[str, harness.Contender]:
    """Forward and backward of one batch of features, (B, C, 64, 64)."""
    torch.manual_seed(0)
    low = torch.bfloat16 if device.type == "cuda" else torch.float32  # the type that convolutions return there
    features = torch.randn(batch_size, channels, _SIDE, _SIDE, device=device, dtype=low)
    features = features.to(memory_format=torch.channels_last).requires_grad_()
    head = nn.Conv2d(channels, NUM_BINS, 1).to(device)
    bins = torch.rand(batch_size, _SIDE, _SIDE, NUM_BINS, device=device).topk(_NEIGHBORS).indices
    values = torch.rand(bins.shape, device=device)
    target = SoftTargets(bins, values / values.sum(-1, keepdim=True))
    losses = {
        "ours": lambda: loss.soft_cross_entropy(features, head, target),
        "dense target, F.cross_entropy": lambda: _dense(features, head, target),
        "sparse target, log_softmax + gather": lambda: _sparse(features, head, target),
    }
    losses["dense target, torch.compile"] = _compiled(features, head, target)
    works = {name: _backward(value, features, head) for name, value in losses.items()}
    works["the matrix products alone (limit)"] = _products(features, head)
    return {name: harness.counted(work, batch_size) for name, work in works.items()}


def _dense(features: Tensor, head: nn.Conv2d, target: SoftTargets) -> Tensor:
    """The formula: a dense target, (B, Q, H, W), which is made for every batch."""
    dense = torch.zeros(*target.bins.shape[:3], NUM_BINS, device=features.device)
    dense.scatter_(-1, target.bins, target.values)
    return functional.cross_entropy(head(features), dense.movedim(-1, 1))


def _sparse(features: Tensor, head: nn.Conv2d, target: SoftTargets) -> Tensor:
    log_p = head(features).movedim(1, -1).log_softmax(-1)
    return -(target.values * log_p.gather(-1, target.bins)).sum(-1).mean()


def _compiled(features: Tensor, head: nn.Conv2d, target: SoftTargets) -> Callable[[], Tensor] | harness.Missing:
    compiled = torch.compile(_dense, dynamic=False)
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=features.is_cuda):
            compiled(features, head, target)
    except Exception as error:  # there may be no compiler, or it may fail in many ways
        return harness.Missing(f"cannot be compiled here ({type(error).__name__})")
    return lambda: compiled(features, head, target)


def _backward(value: Callable[[], Tensor] | harness.Missing, features: Tensor, head: nn.Conv2d):
    if isinstance(value, harness.Missing):
        return value

    def run() -> None:
        features.grad = head.weight.grad = head.bias.grad = None
        with torch.autocast("cuda", torch.bfloat16, enabled=features.is_cuda):
            loss = value()
        loss.backward()

    return run


def _products(features: Tensor, head: nn.Conv2d) -> Callable[[], None]:
    """The three matrix products, each as one call; on a GPU with padded bins, so that it can use its fast kernels."""
    rows = features.detach().movedim(1, -1).flatten(0, 2)  # (N, C)
    padding = -NUM_BINS % 64 if rows.is_cuda else 0
    weight = functional.pad(head.weight.detach().flatten(1), (0, 0, 0, padding)).to(rows.dtype)
    logits = torch.empty(len(rows), len(weight), device=rows.device, dtype=rows.dtype)

    def run() -> None:
        torch.mm(rows, weight.t(), out=logits)
        torch.mm(logits, weight)
        torch.mm(logits.t(), rows)

    return run


def main(rounds: int, small: bool) -> None:
    """Measure on a GPU if there is one, otherwise on the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch_size = 4 if small else 256 if device.type == "cuda" else 16
    for channels in (16, 64) if device.type == "cpu" else (64,):
        rows = harness.compare(
            contenders(batch_size, channels, device), "ours", "the matrix products alone (limit)", rounds, device
        )
        conditions = {"batch": batch_size, "channels": channels, "device": device.type, "small": small}
        harness.report("loss", "Loss: head and loss, forward and backward", rows, "img/s", **conditions)


if __name__ == "__main__":
    harness.run(main, __doc__)
