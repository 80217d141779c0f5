"""Shard one data set: `python -m stages.shard objects`."""

import sys
from pathlib import Path

from colorize import params, runtime
from colorize.data import sharding


def main(dataset: str) -> None:
    """Raw archives -> data/shards/<dataset>."""
    settings = params.load()
    manifest = sharding.build(settings.dataset(dataset), settings.shard, Path("data/shards") / dataset)
    print(sharding.describe(manifest))


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
