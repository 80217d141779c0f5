"""The Triton kernels against plain formulas: on a GPU if there is one, and in Triton's interpreter on a CPU."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

_NO_TRITON = pytest.mark.skipif(not importlib.util.find_spec("triton"), reason="this build of torch has no Triton")
_NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(scope="module", params=[pytest.param("cpu", marks=_NO_TRITON), pytest.param("cuda", marks=_NO_GPU)])
def results(request, repo) -> dict[str, str]:
    """What kernels.py found: "equal" or a traceback, by the name of the kernel's module."""
    path = os.pathsep.join([str(repo), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path} | ({"TRITON_INTERPRET": "1"} if request.param == "cpu" else {})
    command = [sys.executable, str(Path(__file__).with_name("kernels.py")), request.param]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_loss_and_gradients_are_those_of_the_plain_formula(results):
    assert results["loss_cuda"] == "equal"


def test_targets_are_those_of_the_plain_functions(results):
    assert results["targets_cuda"] == "equal"


def test_mirrored_and_converted_batches_are_those_of_a_cpu(results):
    assert results["transform_cuda"] == "equal"
