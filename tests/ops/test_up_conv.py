"""Upsampling and convolution in one operation against the plain formula: values and gradients."""

import pytest
import torch
from torch import Tensor

from colorize.ops import up_conv


def inputs(height: int, width: int, dtype: torch.dtype) -> list[Tensor]:
    """x, weight and bias."""
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 6, height, width), (4, 6, 3, 3), (4,)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


def results(function, tensors: list[Tensor]) -> list[Tensor]:
    """The output and the gradients with respect to x, weight and bias, in float64."""
    output = function(*tensors)
    towards = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [part.double() for part in (output, *torch.autograd.grad(output, tensors, towards.to(output.dtype)))]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 2e-2)]
)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (8, 8)])
def test_values_and_gradients_are_those_of_the_plain_formula(height, width, dtype, tolerance):
    tensors = inputs(height, width, dtype)
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    found, expected = results(up_conv.up_conv2d, tensors), results(up_conv.plain, exact)
    assert found[0].shape == (2, 4, 2 * height, 2 * width)
    for mine, plain in zip(found, expected, strict=True):
        assert (mine - plain).norm() <= tolerance * plain.norm()


def test_channels_last_inputs_give_the_same_values_in_the_same_layout():
    x, weight, bias = (tensor.detach() for tensor in inputs(4, 6, torch.float64))
    found = up_conv.up_conv2d(x.contiguous(memory_format=torch.channels_last), weight, bias)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, up_conv.plain(x, weight, bias), rtol=1e-12, atol=1e-12)
