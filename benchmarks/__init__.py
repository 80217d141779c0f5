"""How fast each step is beside its peers, all measured in one run; `benchmarks/README.md` holds the figures."""

import sys
from pathlib import Path

from colorize import runtime

runtime.set_up_process()  # before a benchmark imports torch
PEERS = Path(__file__).parent / ".peers"  # what `make bench` installs, out of the project's own environment
sys.path.append(str(PEERS))  # behind everything else, so that no package of the project is replaced
