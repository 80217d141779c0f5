"""Shard one data set: `python -m stages.shard objects`."""

import sys
from pathlib import Path

from colorize import params, runtime
from colorize.raw import sharding


def main(dataset: str) -> None:
    """Raw archives -> data/shards/<dataset>."""
    settings = params.load()
    out = Path("data/shards") / settings.dataset(dataset)
    with runtime.outputs(f"shard {dataset}", out):
        manifest = sharding.build(dataset, settings.shard, out)
    print(sharding.describe(manifest))


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
