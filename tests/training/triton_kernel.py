"""The CUDA kernels against plain formulas, on a GPU or under Triton's interpreter (test_loss.py runs that)."""

import os

import torch
from torch import nn

from colorize.color import targets
from colorize.color.targets import SoftTargets
from colorize.data import transform
from colorize.data.loader import DeviceBatch
from colorize.ops import loss_cuda, targets_cuda, transform_cuda
from colorize.training import loss


def check_kernel(device: str) -> None:
    """One pixel's bins may repeat; exponentials must not overflow; what lies beyond the bins becomes 0."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
        logits = (torch.randn(21, 313) * 4).to(dtype)
        logits[0] += 200  # exp would overflow
        bins, values = torch.randint(0, 313, (21, 10)), torch.rand(21, 10)
        bins[:, 1] = bins[:, 0]  # pooled targets hold a bin more than once
        exact = logits.double().requires_grad_()
        target = torch.zeros(21, 313, dtype=torch.float64).scatter_add(1, bins, values.double())
        expected = -(target * exact.log_softmax(1)).sum(1)
        expected.sum().backward()
        losses, sums = torch.empty(21, device=device), torch.empty(3, 320, device=device)
        found = torch.cat([logits, torch.full((21, 7), 99, dtype=dtype)], dim=1).to(device)
        loss_cuda.overwrite_logits(found, 313, bins.to(device), values.to(device), losses, sums)
        assert not found[:, 313:].any()
        torch.testing.assert_close(losses.double().cpu(), expected.detach(), rtol=1e-5, atol=0)
        assert (found[:, :313].cpu() - exact.grad).norm() <= tolerance * exact.grad.norm()
        torch.testing.assert_close(sums.sum(0), found.float().sum(0))


def check_conversion(device: str) -> None:
    """L_norm and ab_norm of mirrored and other images, every level of the channels among them."""
    rgb, is_flipped = torch.randint(0, 256, (3, 20, 28, 3), dtype=torch.uint8), torch.tensor([True, False, True])
    expected = transform.to_networks(DeviceBatch(rgb, is_flipped, None))
    found = transform_cuda.to_networks(rgb.to(device), is_flipped.to(device))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=0, atol=1e-6)
        assert one.is_contiguous(memory_format=torch.channels_last)


def check_targets(device: str) -> None:
    """The same bins and values as the plain functions, not a number included."""
    ab_norm, weights = torch.rand(3, 2, 6, 8) - 0.5, torch.rand(313) + 0.1
    ab_norm[1, 0, 2, 3] = float("nan")
    for stride, encode, count in ((1, "pixel", 10), (2, "pixel", 10), (2, "bin", 7)):
        options = targets.Options(count, 5.0, encode)
        plain = targets.weigh(targets.soft_targets(ab_norm, options), ab_norm, weights)
        expected = targets.pool(plain, stride)
        found = targets_cuda.weighted_targets(ab_norm.to(device), weights.to(device), options, stride)
        torch.testing.assert_close(found.values.cpu(), expected.values, rtol=1e-5, atol=1e-6, equal_nan=True)
        assert torch.equal(found.bins.cpu().long(), expected.bins)


def check_loss(device: str) -> None:
    """The whole fused loss, in three chunks, gives what it gives on the CPU."""
    loss_cuda._CHUNK = 512
    head, features = nn.Conv2d(6, 313, 1), torch.randn(2, 6, 26, 28)
    target = SoftTargets(torch.randint(0, 313, (2, 26, 28, 10)), torch.rand(2, 26, 28, 10))
    gradients = []
    for place in ("cpu", device):
        head, own = head.to(place), features.detach().to(place).requires_grad_()
        head.zero_grad()
        loss.soft_cross_entropy(own, head, SoftTargets(*(part.to(place) for part in target))).backward()
        gradients.append([part.grad.cpu().clone() for part in (own, head.weight, head.bias)])
    for on_cpu, on_device in zip(*gradients, strict=True):
        assert (on_device - on_cpu).norm() <= 1e-5 * on_cpu.norm()


torch.manual_seed(0)
if os.environ.get("TRITON_INTERPRET"):
    check_kernel("cpu")
    check_conversion("cpu")
    check_targets("cpu")
else:
    torch.backends.cuda.matmul.allow_tf32 = False
    check_kernel("cuda")
    check_conversion("cuda")
    check_targets("cuda")
    check_loss("cuda")
print("equal")
