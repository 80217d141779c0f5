"""CUDA graphs: the kernels of a step recorded once and started together from then on.

Starting a step's few hundred kernels one by one takes a host about 10 ms, in which an H100 trains a batch of 256.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from colorize import runtime

_MEMORY_SHARE = 0.4  # of the GPU's, for a step: what recorded kernels work in is theirs alone
_FIRST_CALLS = 3  # made as they are: compilers and libraries then prepare what must not be recorded


class Replayed:
    """A function of tensors on one GPU, whose kernels are recorded at a later call and replayed in those after it.

    Args:
        function: the same work for the same shapes, all state kept in tensors that stay where they are.
        device: where it works.
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device):
        self._function = function
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._calls = 0
        self._bytes_before = 0  # allocated before the first call
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._output: Tensor | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Inputs of the same shapes every time; the result is overwritten by the next call."""
        self._calls += 1
        if self._calls == 1:
            torch.cuda.reset_peak_memory_stats(self._device)
            self._bytes_before = torch.cuda.memory_allocated(self._device)
        if self._calls == _FIRST_CALLS + 1 and self._fits():
            self._record(inputs)
        if self._graph is None:
            return self._call_aside(*inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._output

    def _fits(self) -> bool:
        needed = torch.cuda.max_memory_allocated(self._device) - self._bytes_before
        total = torch.cuda.get_device_properties(self._device).total_memory
        if needed > _MEMORY_SHARE * total:
            _say(f"a step needs {needed / 1e9:.1f} GB of the GPU's {total / 1e9:.1f} GB")
        return needed <= _MEMORY_SHARE * total

    def _call_aside(self, *inputs: Tensor) -> Tensor:
        """On the stream that will be recorded: autograd remembers where it first added up a gradient."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            output = self._function(*inputs)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return output

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        graph = torch.cuda.CUDAGraph()
        _clear_cublas_workspaces()
        try:  # thread_local: the thread that feeds the next batches may ask for memory meanwhile
            self._inputs = [tensor.clone() for tensor in inputs]
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._output = self._function(*self._inputs)
            self._graph = graph
        except RuntimeError as error:  # most likely no memory; nothing was computed
            self._inputs, self._output = [], None
            _say(runtime.first_line(error))
        finally:
            _clear_cublas_workspaces()


def _clear_cublas_workspaces() -> None:
    """Make cuBLAS allocate its workspaces again at its next call.

    Called before the recording, so that the workspaces of the graph lie in the graph's own memory pool, and after it,
    so that no other code uses them. A graph that refers to a workspace outside its pool ends in an illegal memory
    access as soon as other code clears the workspaces, as torch's own tools do when they record a CUDA graph.
    """
    torch._C._cuda_clearCublasWorkspaces()


def _say(reason: str) -> None:
    print(f"no CUDA graph ({reason}); continuing without it", file=sys.stderr, flush=True)
