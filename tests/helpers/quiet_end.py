"""Importing this ends what libraries print after the interpreter: `make test` ends with pytest's count.

Triton's bindings (nanobind) print 30 lines about objects that outlive the interpreter, from C++ and without a switch.
pytest has said everything by then, on the standard output; the exit code stays.
"""

import atexit
import os
import sys


def _close_stderr() -> None:
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


atexit.register(_close_stderr)
