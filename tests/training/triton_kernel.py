"""The CUDA kernel against the dense formula, on a GPU or under Triton's interpreter (test_loss.py runs that)."""

import os

import torch
from torch import nn

from colorize.targets import SoftTargets
from colorize.training import loss, loss_cuda


def check_kernel(device: str) -> None:
    """One pixel's bins may repeat; exponentials must not overflow."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
        logits = (torch.randn(5, 313) * 4).to(dtype)
        logits[0] += 200  # exp would overflow
        bins, values = torch.randint(0, 313, (5, 10)), torch.rand(5, 10)
        bins[:, 1] = bins[:, 0]  # pooled targets hold a bin more than once
        exact = logits.double().requires_grad_()
        target = torch.zeros(5, 313, dtype=torch.float64).scatter_add(1, bins, values.double())
        expected = -(target * exact.log_softmax(1)).sum(1)
        expected.sum().backward()
        losses, found = torch.empty(5, device=device), logits.to(device)
        loss_cuda.overwrite_logits(found, bins.to(device), values.to(device), losses)
        torch.testing.assert_close(losses.double().cpu(), expected.detach(), rtol=1e-5, atol=0)
        assert (found.cpu() - exact.grad).norm() <= tolerance * exact.grad.norm()


def check_loss(device: str) -> None:
    """The whole fused loss gives what it gives on the CPU."""
    head, features = nn.Conv2d(6, 313, 1), torch.randn(2, 6, 26, 28)
    target = SoftTargets(torch.randint(0, 313, (2, 26, 28, 10)), torch.rand(2, 26, 28, 10))
    gradients = []
    for place in ("cpu", device):
        head, own = head.to(place), features.to(place).requires_grad_()
        head.zero_grad()
        loss.soft_cross_entropy(own, head, SoftTargets(*(part.to(place) for part in target))).backward()
        gradients.append([part.grad.cpu() for part in (own, head.weight, head.bias)])
    for on_cpu, on_device in zip(*gradients, strict=True):
        assert (on_device - on_cpu).norm() <= 1e-5 * on_cpu.norm()


torch.manual_seed(0)
if os.environ.get("TRITON_INTERPRET"):
    check_kernel("cpu")
else:
    torch.backends.cuda.matmul.allow_tf32 = False
    check_kernel("cuda")
    check_loss("cuda")
print("equal")
