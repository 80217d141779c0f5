"""Describe the union of two data sets: `python -m stages.union both`."""

import sys

from colorize import runtime
from colorize.layout import Folders
from colorize.pipeline import promise


def main(dataset: str) -> None:
    """data/shards/<split>/<two data sets> -> sources/<dataset>.yaml."""
    with promise.stage("union", dataset=dataset) as stage:
        from colorize.sharding import union

        settings = stage.settings
        union.write_description(dataset, settings.unions[dataset], Folders())


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
