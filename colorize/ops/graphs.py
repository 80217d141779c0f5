"""CUDA graphs: the kernels of a step are recorded once, and then started together.

A step has a few hundred kernels. To start them one by one takes the host about 10 ms. In the same time, an H100
computes the whole step for a batch of 256 images. tests/ops/test_graphs.py compares the replayed kernels with the
function: they give the same results and change its state in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from colorize import runtime

_MEMORY_SHARE = 0.4  # a step that needs a larger fraction of GPU memory is not recorded: a graph keeps its memory
_FIRST_CALLS = 3  # unrecorded calls: the initialization of compilers and libraries must not be recorded


class _Recording(NamedTuple):
    """A graph, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    output: Tensor


class Replayed:
    """Calls `function` on one GPU; its kernels are recorded once as a CUDA graph and then replayed.

    If recording fails, `function` is called as usual, with a message on stderr.

    Args:
        function: function of tensors that starts the same kernels in every call and changes its state in place.
        device: the GPU.
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device):
        self._function = function
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._calls = 0
        self._bytes_before = 0  # allocated before the first call
        self._recording: _Recording | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Call the function.

        The inputs must have the same shapes in every call. The next call overwrites the result.
        """
        self._calls += 1
        if self._calls == 1:
            torch.cuda.reset_peak_memory_stats(self._device)
            self._bytes_before = torch.cuda.memory_allocated(self._device)
        if self._calls == _FIRST_CALLS + 1 and self._is_small():
            self._record(inputs)
        if self._recording is None:
            return self._call_aside(*inputs)
        for own, given in zip(self._recording.inputs, inputs, strict=True):
            own.copy_(given)
        self._recording.graph.replay()
        return self._recording.output

    def _is_small(self) -> bool:
        needed = torch.cuda.max_memory_allocated(self._device) - self._bytes_before
        total = torch.cuda.get_device_properties(self._device).total_memory
        return _fits(needed, total)

    def _call_aside(self, *inputs: Tensor) -> Tensor:
        """Call the function on the stream that is used for recording.

        Autograd remembers the stream on which a gradient is first computed. The calls before the recording must
        therefore use the stream of the recording.
        """
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            output = self._function(*inputs)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return output

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        graph = torch.cuda.CUDAGraph()
        _clear_cublas_workspaces()
        try:  # thread_local: the thread that prepares the next batches may allocate memory during the recording
            own = [tensor.clone() for tensor in inputs]
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                output = self._function(*own)
            self._recording = _Recording(graph, own, output)
        except RuntimeError as error:  # usually too little memory; no kernel has run
            _say(runtime.first_line(error))
        finally:
            _clear_cublas_workspaces()


def _fits(needed: int, total: int) -> bool:
    """Whether a step that needs so many bytes may keep them, on a GPU with so many bytes in total."""
    share = total / runtime.cells_per_gpu()  # of this process
    if needed > _MEMORY_SHARE * share:
        _say(f"a step needs {needed / 1e9:.1f} GB of the GPU's {share / 1e9:.1f} GB")
    return needed <= _MEMORY_SHARE * share


def _clear_cublas_workspaces() -> None:
    """Make cuBLAS allocate its workspaces again at its next call.

    This is called before the recording, so that the workspaces of the graph are in the graph's own memory pool. It is
    called again after the recording, so that no other code uses these workspaces. If a graph used a workspace outside
    its pool, its replay would access illegal memory once other code has cleared the workspaces. Torch's own tools also
    clear the workspaces when they record a CUDA graph.
    """
    torch._C._cuda_clearCublasWorkspaces()


def _say(reason: str) -> None:
    runtime.note(f"no CUDA graph ({reason}); continuing without it")
