"""The loss that is computed together with the head against the plain formula: values and gradients."""

import pytest
import torch
from torch import Tensor

from colorize.color import gamut
from colorize.ops import head_loss

CHUNK = head_loss._CHUNK
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture
def target() -> tuple[Tensor, Tensor]:
    """Bins and values of some chunks of pixels; bins repeat, and the values of a pixel sum to any class weight."""
    generator = torch.Generator().manual_seed(1)
    bins = torch.randint(0, gamut.NUM_BINS, (3 * CHUNK, 10), generator=generator)
    bins[:, 1] = bins[:, 0]  # as in pooled targets
    return bins, torch.rand(bins.shape, generator=generator)


def inputs(count: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Rows in the given type; weight and bias of the head in float32."""
    generator = torch.Generator().manual_seed(0)
    rows, weight, bias = (torch.randn(shape, generator=generator) for shape in ((count, 6), (313, 6), (313,)))
    return [rows.to(dtype).requires_grad_(), weight.requires_grad_(), bias.requires_grad_()]


def exact_loss(tensors: list[Tensor], bins: Tensor, values: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The plain formula in float64: the loss, and its gradients with respect to rows, weight and bias."""
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    loss = head_loss.plain(*exact, bins, values.double())
    return loss.detach(), torch.autograd.grad(loss, exact)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NO_GPU)])
@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, 2 * CHUNK + 300])
def test_loss_and_gradients_are_those_of_the_plain_formula(count, device, target):
    tensors, (bins, values) = inputs(count), (part[:count] for part in target)
    expected, exact_gradients = exact_loss(tensors, bins, values)
    tensors = [tensor.detach().to(device).requires_grad_() for tensor in tensors]
    loss = head_loss.soft_cross_entropy(*tensors, bins.to(device), values.to(device))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for mine, exact in zip(torch.autograd.grad(loss, tensors), exact_gradients, strict=True):
        assert mine.dtype == torch.float32
        assert (mine.cpu() - exact).norm() <= 1e-5 * exact.norm()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_half_precision_loses_only_its_digits_and_keeps_float32_gradients_of_the_head(dtype, tolerance, target):
    count = CHUNK + 300
    tensors, (bins, values) = inputs(count, dtype), (part[:count] for part in target)
    loss = head_loss.soft_cross_entropy(*tensors, bins, values)
    expected, exact_gradients = exact_loss(tensors, bins, values)
    assert loss.item() == pytest.approx(expected.item(), rel=tolerance)
    gradients = torch.autograd.grad(loss, tensors)
    assert [gradient.dtype for gradient in gradients] == [dtype, torch.float32, torch.float32]
    for mine, exact in zip(gradients, exact_gradients, strict=True):
        assert 0 < (mine - exact).norm() <= tolerance * exact.norm()


def test_a_factor_on_the_loss_scales_the_gradients(target):
    tensors, (bins, values) = inputs(CHUNK + 1), (part[: CHUNK + 1] for part in target)
    once = torch.autograd.grad(head_loss.soft_cross_entropy(*tensors, bins, values), tensors)
    thrice = torch.autograd.grad(3 * head_loss.soft_cross_entropy(*tensors, bins, values), tensors)
    for gradient, scaled in zip(once, thrice, strict=True):
        torch.testing.assert_close(scaled, 3 * gradient)


def test_a_probability_too_small_for_a_float_still_has_its_logarithm(target):
    tensors, (bins, values) = inputs(CHUNK + 1), (part[: CHUNK + 1] for part in target)
    with torch.no_grad():
        tensors[2][100] += 500  # the probability of every other bin is 0 in float32
    loss = head_loss.soft_cross_entropy(*tensors, bins, values)
    assert loss.item() == pytest.approx(exact_loss(tensors, bins, values)[0].item(), rel=1e-6)


def test_the_loss_is_the_same_without_gradients(target):
    tensors, (bins, values) = inputs(CHUNK + 1), (part[: CHUNK + 1] for part in target)
    with torch.no_grad():
        without = head_loss.soft_cross_entropy(*tensors, bins, values)
    assert without == head_loss.soft_cross_entropy(*tensors, bins, values)
