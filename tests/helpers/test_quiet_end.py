"""Nothing follows pytest's count."""

import importlib.util
import subprocess
import sys

import pytest

LEAK = """
import ctypes
from triton._C.libtriton import ir
context = ir.context()
ir.load_dialects(context)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(ir.builder(context).get_int32_attr(3)))
print("the count", file=sys.stderr)
sys.exit(1)
"""


@pytest.mark.skipif(not importlib.util.find_spec("triton"), reason="this build of torch comes without Triton")
@pytest.mark.parametrize(("start", "is_last"), [("import sys", False), ("import sys, tests.helpers.quiet_end", True)])
def test_what_triton_prints_after_the_interpreter_does_not_follow_the_count(repo, start, is_last):
    command = [sys.executable, "-c", start + LEAK]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("the count\n")
    assert (done.stderr == "the count\n") == is_last
