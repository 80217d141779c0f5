"""Shard one data set: `python -m stages.shard objects`."""

import sys
from pathlib import Path

from colorize import runtime
from colorize.pipeline import promise


def main(dataset: str) -> None:
    """Raw archives -> data/shards/<dataset>."""
    with promise.stage("shard", dataset=dataset) as stage:
        from colorize.sharding import build

        settings = stage.settings
        manifest = build.shard(dataset, settings.shard, Path("data/shards") / dataset)
    print(build.describe(manifest))


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
