"""Kernels run on a GPU if there is one, and in Triton's interpreter on a CPU."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

_NO_TRITON = pytest.mark.skipif(not importlib.util.find_spec("triton"), reason="this build of torch has no Triton")
_NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(params=[pytest.param("cpu", marks=_NO_TRITON), pytest.param("cuda", marks=_NO_GPU)])
def assert_kernel_is_plain(request, repo) -> Callable[[str], None]:
    """`assert_kernel_is_plain("loss_cuda")`: run this check of kernels.py in another process."""

    def run(name: str) -> None:
        path = os.pathsep.join([str(repo), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path} | ({"TRITON_INTERPRET": "1"} if request.param == "cpu" else {})
        command = [sys.executable, str(repo / "tests" / "ops" / "kernels.py"), name, request.param]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout == "equal\n", done.stderr

    return run
