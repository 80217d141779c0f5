"""Compile the network with `torch.compile` on CUDA, where this saves time.

On a CPU, the network is not compiled. At any width, the convolutions take most of the time, and compilation does not
change them. Compilation would also take half a minute and need a C++ compiler. tests/ops/test_compiled.py compares a
compiled network with the network, values and gradients.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from colorize import runtime


def compile_network(network: Callable[[Tensor], Tensor], device: torch.device) -> Callable[[Tensor], Tensor]:
    """Compile a network on CUDA, unless COLORIZE_COMPILE is 0. If the compiler fails, the network runs uncompiled.

    Calls without gradients (`torch.no_grad` or inference mode) are never compiled.

    Args:
        network: function from (B, 1, H, W) L_norm to features or ab_norm.
        device: device of the network.

    Returns:
        a function with the same result as `network`, except for rounding.
    """
    if device.type != "cuda" or not runtime.is_compiling():
        return network
    compiled = torch.compile(network, fullgraph=True, dynamic=False)
    failed = False

    def run(x: Tensor) -> Tensor:
        nonlocal failed
        if failed or not torch.is_grad_enabled():
            return network(x)
        try:
            return compiled(x)
        except torch.OutOfMemoryError:
            raise  # not a compiler failure; the uncompiled network would need even more memory
        except Exception as error:  # any failure of the compiler, for example an unknown GPU
            if torch.cuda.is_current_stream_capturing():
                raise  # not a compiler failure: compilation ends before a CUDA graph is recorded
            failed = True
            reason = f"{type(error).__name__}: {runtime.first_line(error)}"[:200]
            runtime.note(f"torch.compile failed ({reason}); continuing without it")
            return network(x)

    return run
