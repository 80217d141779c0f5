"""Compile the network with `torch.compile` on CUDA, where this saves time.

On a CPU, the network is not compiled. At any width, the convolutions take most of the time, and compilation does not
change them. Compilation would also take half a minute and need a C++ compiler. tests/ops/test_compiled.py compares a
compiled network with the network, values and gradients.

The compiled code is kept in the folder of `runtime.keep_compiled_code`, from which the next process loads it. Torch
identifies it by the operations, the shapes, the versions of torch and of the compilers, and the GPU, so code of another
machine is not used. But torch does not check the content of all files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from colorize import runtime


def compile_network(network: Callable[[Tensor], Tensor], device: torch.device) -> Callable[[Tensor], Tensor]:
    """Compile a network on CUDA, unless COLORIZE_COMPILE is 0. If the compiler fails, the network runs uncompiled.

    Calls with gradients and calls without them (`torch.no_grad` or inference mode) are compiled separately, and so are
    calls with another shape. After some shapes, torch compiles no more.

    Args:
        network: function from (B, 1, H, W) L_norm to features or ab_norm.
        device: device of the network.

    Returns:
        a function with the same result as `network`, except for rounding.
    """
    if device.type != "cuda" or not runtime.is_compiling():
        return network
    return Compiled(network)


class Compiled:
    """Calls a network that is compiled at its first call.

    If this fails, the kept code may be damaged: it is discarded, and the network is compiled once more. If this fails
    too, the network runs uncompiled.
    """

    def __init__(self, network: Callable[[Tensor], Tensor]):
        self._network = network
        self._compiled = torch.compile(network, fullgraph=True, dynamic=False)
        self._failed: set[bool] = set()  # of the calls with gradients (True) and without (False)

    def __call__(self, x: Tensor) -> Tensor:
        """Call the network."""
        if torch.is_grad_enabled() in self._failed:
            return self._network(x)
        try:
            try:
                return self._call(x)
            except Exception as error:
                if not _may_be_mended(error):
                    raise
                return self._call(x)
        except torch.OutOfMemoryError:
            raise  # not a compiler failure; the uncompiled network would need even more memory
        except Exception as error:  # any failure of the compiler, for example an unknown GPU
            if _is_capturing():
                raise  # not a compiler failure: compilation ends before a CUDA graph is recorded
            self._failed.add(torch.is_grad_enabled())
            runtime.note(f"torch.compile failed ({_reason(error)}); continuing without it")
            return self._network(x)

    def _call(self, x: Tensor) -> Tensor:
        with _backward_at_once():
            return self._compiled(x)


def _may_be_mended(error: Exception) -> bool:
    """Whether there was kept code that may have caused this error; then it is discarded."""
    if isinstance(error, torch.OutOfMemoryError) or _is_capturing() or not runtime.discard_compiled_code():
        return False
    runtime.note(f"torch.compile failed ({_reason(error)}); trying again without the kept code")
    torch.compiler.reset()
    from torch._inductor import utils

    utils.clear_caches()  # of this process: it may have loaded a damaged file
    return True


@contextlib.contextmanager
def _backward_at_once() -> Iterator[None]:
    """Compile the backward pass together with the forward pass, where a failure can be handled."""
    from torch._functorch import config

    if not hasattr(config, "force_non_lazy_backward_lowering"):
        yield
        return
    with config.patch(force_non_lazy_backward_lowering=True):
        yield


def _is_capturing() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {runtime.first_line(error)}"[:200]


def in_batches_of(size: int, network: Callable[[Tensor], Tensor], device: torch.device) -> Callable[[Tensor], Tensor]:
    """On CUDA, a function that always calls `network` with `size` images, so that it is compiled only once.

    Args:
        size: number of images.
        network: function of (B, 1, H, W), whose result for one image does not depend on the other images.
        device: device of the network.

    Returns:
        a function of any number of images, (B, 1, H, W).
    """

    if device.type != "cuda":
        return network

    def run(x: Tensor) -> Tensor:
        parts = [network(_filled(part, size))[: len(part)] for part in x.split(size)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    return run


def _filled(x: Tensor, size: int) -> Tensor:
    """(B, 1, H, W) -> (size, 1, H, W), channels_last: copies of the first image fill the batch."""
    filler = x[:1].expand(size - len(x), -1, -1, -1)
    return torch.cat([x, filler]).contiguous(memory_format=torch.channels_last) if len(filler) else x
