"""Compute the prior and class weights of one data set: `python -m stages.prior objects`."""

import sys
from pathlib import Path

from colorize import runtime
from colorize.pipeline import promise


def main(dataset: str) -> None:
    """data/shards/<dataset> -> data/priors/<dataset>."""
    with promise.stage("prior", dataset=dataset) as stage:
        from colorize.color.targets import Options
        from colorize.prior import build

        settings = stage.settings
        shards, out = Path("data/shards") / dataset, Path("data/priors") / dataset
        build.build(dataset, shards, Options.of(settings.soft_targets), settings.prior.lambda_, out)


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
