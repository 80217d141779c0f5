"""Compares the speed of each step with other libraries; `benchmarks/README.md` shows the figures."""

import sys
from pathlib import Path

from colorize import runtime

runtime.set_up_process()  # before a benchmark imports torch
runtime.keep_compiled_code()
PEERS = Path(__file__).parent / ".peers"  # `make bench` installs the peers here, not into the project's environment
sys.path.append(str(PEERS))  # at the end, so that no package of the project is replaced
