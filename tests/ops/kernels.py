"""Compares the Triton kernels with plain formulas, and prints JSON: `python tests/ops/kernels.py cuda`.

A program of its own, because Triton reads TRITON_INTERPRET when it is imported: with it, kernels run on a CPU.
"""

import json
import sys
import traceback
from collections.abc import Callable

import torch

from colorize.color import targets
from colorize.data import transform
from colorize.data.loader import DeviceBatch
from colorize.ops import head_loss, loss_cuda, targets_cuda, transform_cuda


def check_overwritten_logits(device: str) -> None:
    """The bins of a pixel may repeat, exponentials must not overflow, and columns beyond the bins become 0."""
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


def check_loss_cuda(device: str) -> None:
    """Loss and gradients of pixels in three chunks, the last of them not full."""
    check_overwritten_logits(device)
    loss_cuda._CHUNK = 40
    tensors = torch.randn(93, 6), torch.randn(313, 6), torch.randn(313)  # rows, weight, bias
    bins, values = torch.randint(0, 313, (93, 10)), torch.rand(93, 10)
    low_precision = [(torch.bfloat16, 1e-2), (torch.float16, 2e-3)] if device == "cuda" else []
    for dtype, tolerance in [(torch.float32, 1e-5), *low_precision]:
        exact = [tensor.to(dtype).double().requires_grad_() for tensor in tensors]
        expected = head_loss.plain(*exact, bins, values.double())
        expected.backward()
        rounded = [tensor.to(device, dtype) for tensor in tensors]
        loss, *gradients = loss_cuda.loss_and_gradients(*rounded, bins.to(device), values.to(device))
        assert [gradient.dtype for gradient in gradients] == [dtype, torch.float32, torch.float32]
        assert abs(loss.item() / 93 - expected.item()) <= tolerance * expected.item()
        for gradient, tensor in zip(gradients, exact, strict=True):
            assert (gradient.double().cpu() / 93 - tensor.grad).norm() <= tolerance * tensor.grad.norm()


def check_transform_cuda(device: str) -> None:
    """L_norm and ab_norm of mirrored and other images."""
    rgb, is_flipped = torch.randint(0, 256, (3, 20, 28, 3), dtype=torch.uint8), torch.tensor([True, False, True])
    expected = transform.to_networks(DeviceBatch(rgb, is_flipped, None))
    found = transform_cuda.to_networks(rgb.to(device), is_flipped.to(device))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=0, atol=1e-6)
        assert one.is_contiguous(memory_format=torch.channels_last)


def check_targets_cuda(device: str) -> None:
    """The same bins and values as the plain functions, also where a color is NaN."""
    ab_norm, weights = torch.rand(3, 2, 6, 8) - 0.5, torch.rand(313) + 0.1
    ab_norm[1, 0, 2, 3] = float("nan")
    for stride, encode, count in ((1, "pixel", 10), (2, "pixel", 10), (2, "bin", 7)):
        options = targets.Options(count, 5.0, encode)
        plain = targets.weigh(targets.soft_targets(ab_norm, options), ab_norm, weights)
        expected = targets.pool(plain, stride)
        found = targets_cuda.weighted_targets(ab_norm.to(device), weights.to(device), options, stride)
        torch.testing.assert_close(found.values.cpu(), expected.values, rtol=1e-5, atol=1e-6, equal_nan=True)
        assert torch.equal(found.bins.cpu().long(), expected.bins)


CHECKS = {"loss_cuda": check_loss_cuda, "targets_cuda": check_targets_cuda, "transform_cuda": check_transform_cuda}


def result(check: Callable[[str], None], device: str) -> str:
    """The word "equal", or the traceback of a check that failed."""
    torch.manual_seed(0)
    try:
        check(device)
    except Exception:
        return traceback.format_exc()
    return "equal"


if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = False
    print(json.dumps({name: result(check, sys.argv[1]) for name, check in CHECKS.items()}))
