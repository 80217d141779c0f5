"""Compilation changes no result, and neither a compiler that fails nor damaged kept code ends the training."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from colorize import runtime
from colorize.ops import compiled

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
X = torch.linspace(-1, 1, 12).view(3, 4)


def network(x: Tensor) -> Tensor:
    return torch.relu(x) * 3 + x.sin()


@pytest.fixture(autouse=True)
def _no_kept_code(monkeypatch, tmp_path):
    """A failure discards kept code: not that of the repository, in whose folder the tests run."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "of the user"))


@pytest.fixture
def failing_compiler(monkeypatch) -> list[Tensor]:
    """Compiled networks fail in every call; the list of what they were called with."""
    calls: list[Tensor] = []

    def fail(x: Tensor) -> Tensor:
        calls.append(x)
        raise RuntimeError("unknown card\nsecond line")

    monkeypatch.setattr(torch, "compile", lambda *_args, **_options: fail)
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


def test_calls_without_gradients_fail_and_are_replaced_on_their_own(failing_compiler):
    run = compiled.compile_network(network, CUDA)
    with torch.no_grad():
        assert torch.equal(run(X), network(X))
        run(X)
    assert len(failing_compiler) == 1
    run(X)  # with gradients: tried, too
    run(X)
    assert len(failing_compiler) == 2


@pytest.mark.parametrize("is_kept", [True, False])
def test_after_a_failure_kept_code_is_discarded_and_compilation_tried_again(monkeypatch, tmp_path, capsys, is_kept):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "of the user"))
        if is_kept:
            monkeypatch.delenv(name)
    runtime.keep_compiled_code()
    kept = tmp_path / ".state/compiled/code"
    kept.mkdir(parents=True)
    calls = []

    def fail_once(x: Tensor) -> Tensor:
        calls.append(x)
        if kept.exists():
            raise RuntimeError("damaged")
        return network(x) + 1

    monkeypatch.setattr(torch, "compile", lambda *_args, **_options: fail_once)
    found = compiled.compile_network(network, CUDA)(X)
    assert torch.equal(found, network(X) + 1 if is_kept else network(X))
    assert len(calls) == (2 if is_kept else 1)
    what = "trying again without the kept code" if is_kept else "continuing without it"
    assert capsys.readouterr().err == f"torch.compile failed (RuntimeError: damaged); {what}\n"
    assert kept.exists() is not is_kept


COMPILES = """
import stages, torch
from colorize.ops.compiled import Compiled
from torch._dynamo.utils import counters
x = torch.linspace(-1, 1, 12, requires_grad=True)
y = Compiled(lambda x: torch.relu(x) * 3 + x.sin())(x)
y.sum().backward()
print(float(y.sum()), float(x.grad.sum()), counters["inductor"]["fxgraph_cache_hit"])
"""


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
@pytest.mark.skipif(
    "COLORIZE_TEST_COMPILER" not in os.environ,
    reason="compiles for 40 seconds; COLORIZE_TEST_COMPILER=1 runs it, as .ci/run does",
)
def test_a_second_process_uses_kept_code_and_a_third_one_discards_damaged_code(repo, tmp_path):
    kept = tmp_path / ".state/compiled"
    unset = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    variables = {name: value for name, value in os.environ.items() if name not in unset}
    variables |= {"PYTHONPATH": str(repo), "TORCH_LOGS": "-all", "COLORIZE_COMPILE": "1"}
    command, options = [sys.executable, "-c", COMPILES], {"cwd": tmp_path, "env": variables, "text": True}

    def run() -> list[str]:
        done = subprocess.run(command, **options, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    *values, hits = run()
    assert hits == "0"
    assert run() == [*values, "2"]
    for path in kept.rglob("*.so"):
        path.write_bytes(b"")
    with subprocess.Popen(command, **options, stderr=subprocess.PIPE) as third:
        lines = iter(third.stderr.readline, "")
        assert any("trying again without the kept code" in line for line in lines)
        third.kill()  # it would compile for a quarter of a minute; a test above has what follows
    assert not any(path.stat().st_size == 0 for path in kept.rglob("*.so"))


@pytest.mark.parametrize("count", [1, 4, 6])
def test_evaluation_calls_the_network_with_batches_of_one_size(count):
    sizes = []

    def predict(x: Tensor) -> Tensor:
        sizes.append(len(x))
        assert x.is_contiguous(memory_format=torch.channels_last)
        return x * 2

    x = torch.rand(count, 1, 3, 5)
    assert torch.equal(compiled.in_batches_of(4, predict, CUDA)(x), x * 2)
    assert {*sizes} == {4}
    assert compiled.in_batches_of(4, predict, CPU) is predict


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
