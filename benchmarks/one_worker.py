"""Runs the sharding stage with one worker and prints its peak memory: `python -m benchmarks.one_worker TAR OUT`.

This is a separate module that does not import torch: workers are forked, so they would also count the memory of
everything that the benchmark has loaded.
"""

import contextlib
import os
import resource
import sys
import tempfile
from pathlib import Path
from unittest import mock

from colorize import runtime
from colorize.config import params
from colorize.layout import Folders
from colorize.sharding import build

_PROFILE = Path(__file__).resolve().parents[1] / "profiles" / "paper.yaml"
_SOURCE = """
path: {path}
splits: {{train: {{glob: 'train/*'}}, val: {{glob: 'val/*'}}, test: {{glob: 'test/*'}}}}
"""


def shard(archive: Path, out: Path, workers: int = 1) -> None:
    """Shard a tar that `inputs.write_archive` wrote, with the paper's parameters."""
    settings = params.load(_PROFILE).shard
    environment = mock.patch.dict(os.environ, COLORIZE_PROCS=str(workers))
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name), environment:
        runtime.write_text(Path("sources", "mine.yaml"), _SOURCE.format(path=archive))
        build.shard("mine", settings, Folders(out))


if __name__ == "__main__":
    shard(*map(Path, sys.argv[1:]))
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)  # bytes
