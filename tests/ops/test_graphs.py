"""A function whose kernels are replayed gives what the function gives, and changes its state as the function does."""

import pytest
import torch
from torch import Tensor

from colorize.ops import graphs

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
CALLS = graphs._FIRST_CALLS + 3  # some before the recording, some after it


def inputs(number: int) -> Tensor:
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(number)).cuda()


class Counting:
    """A function with a state, which it changes in place."""

    def __init__(self) -> None:
        self.total = torch.zeros((), device="cuda")

    def __call__(self, x: Tensor) -> Tensor:
        self.total += x.sum()
        return x.square() * self.total


def assert_replayed_is_plain() -> None:
    plain, function = Counting(), Counting()
    replayed = graphs.Replayed(function, torch.device("cuda"))
    for number in range(CALLS):
        assert torch.equal(replayed(inputs(number)), plain(inputs(number)))
    assert torch.equal(function.total, plain.total)


@NO_GPU
def test_replayed_kernels_give_what_the_function_gives(capsys):
    assert_replayed_is_plain()
    assert capsys.readouterr().err == ""  # else the kernels would not have been recorded


@NO_GPU
def test_a_step_too_large_for_a_recording_is_called_without_one(monkeypatch, capsys):
    monkeypatch.setattr(graphs, "_MEMORY_SHARE", -1.0)
    assert_replayed_is_plain()
    assert "no CUDA graph (a step needs " in capsys.readouterr().err


@pytest.mark.parametrize(("cells", "needed", "fits"), [(1, 40, True), (1, 41, False), (4, 10, True), (4, 11, False)])
def test_cells_on_one_gpu_divide_the_memory_that_recordings_keep(monkeypatch, capsys, cells, needed, fits):
    monkeypatch.setenv("COLORIZE_CELLS_PER_GPU", str(cells))
    assert graphs._fits(needed * 10**9, total=100 * 10**9) is fits
    line = f"no CUDA graph (a step needs {needed}.0 GB of the GPU's {100 / cells:.1f} GB); continuing without it\n"
    assert capsys.readouterr().err == ("" if fits else line)
