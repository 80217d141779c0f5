"""`torch.compile` where it pays: the network on CUDA, its graph kept whole.

On a CPU it is left out: at any width the convolutions, which compiling leaves as they are, take most of the time, and
it costs half a minute and wants a C++ compiler.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from colorize import runtime


def compile_network(network: Callable[[Tensor], Tensor], device: torch.device) -> Callable[[Tensor], Tensor]:
    """The same function, compiled where it pays, can be, and COLORIZE_COMPILE does not forbid it."""
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
            raise  # no failure of the compiler, and without it more memory is needed
        except Exception as error:  # whatever a compiler may meet, such as an unknown card
            if torch.cuda.is_current_stream_capturing():
                raise  # no failure of the compiler, whose work was done before
            failed = True
            reason = f"{type(error).__name__}: {runtime.first_line(error)}"[:200]
            print(f"torch.compile failed ({reason}); continuing without it", file=sys.stderr, flush=True)
            return network(x)

    return run
