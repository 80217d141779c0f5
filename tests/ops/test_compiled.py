"""Compilation changes no result, and a compiler that fails does not end the training."""

import pytest
import torch
from torch import Tensor

from colorize.ops import compiled

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
X = torch.linspace(-1, 1, 12).view(3, 4)


def network(x: Tensor) -> Tensor:
    return torch.relu(x) * 3 + x.sin()


@pytest.fixture
def failing_compiler(monkeypatch) -> list[Tensor]:
    """Compiled networks fail in every call; the list of what they were called with."""
    calls: list[Tensor] = []

    def fail(x: Tensor) -> Tensor:
        calls.append(x)
        raise RuntimeError("unknown card\nsecond line")

    monkeypatch.setattr(torch, "compile", lambda *_args, **_options: fail)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)  # asks for a GPU
    return calls


def test_on_a_cpu_the_network_stays_as_it_is():
    assert compiled.compile_network(network, CPU) is network


def test_the_network_stays_as_it_is_if_the_environment_says_so(monkeypatch):
    monkeypatch.setenv("COLORIZE_COMPILE", "0")
    assert compiled.compile_network(network, CUDA) is network


def test_after_a_failure_the_network_is_called_without_the_compiler(failing_compiler, capsys):
    run = compiled.compile_network(network, CUDA)
    assert torch.equal(run(X), network(X))
    assert torch.equal(run(X), network(X))
    assert len(failing_compiler) == 1
    line = "torch.compile failed (RuntimeError: unknown card); continuing without it\n"
    assert capsys.readouterr().err == line


def test_without_gradients_nothing_is_compiled(failing_compiler):
    run = compiled.compile_network(network, CUDA)
    with torch.no_grad():
        assert torch.equal(run(X), network(X))
    assert not failing_compiler


def test_too_little_memory_is_no_failure_of_the_compiler(monkeypatch):
    def fail(_x: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(torch, "compile", lambda *_args, **_options: fail)
    with pytest.raises(torch.OutOfMemoryError):
        compiled.compile_network(network, CUDA)(X)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_compiled_network_is_the_network():
    x = X.to(CUDA).requires_grad_()
    run = compiled.compile_network(network, CUDA)
    found, expected = run(x), network(x)
    torch.testing.assert_close(found, expected)
    for mine, plain in zip(torch.autograd.grad(found.sum(), x), torch.autograd.grad(expected.sum(), x), strict=True):
        torch.testing.assert_close(mine, plain)
