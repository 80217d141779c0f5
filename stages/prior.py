"""Compute the prior and class weights of one data set: `python -m stages.prior objects`."""

import sys

from colorize import runtime
from colorize.layout import Folders
from colorize.pipeline import promise


def main(dataset: str) -> None:
    """data/shards/train/<dataset> -> data/priors/<dataset>."""
    with promise.stage("prior", dataset=dataset) as stage:
        from colorize.color.targets import Options
        from colorize.prior import build

        settings = stage.settings
        build.write_prior(dataset, Options.of(settings.soft_targets), settings.prior.lambda_, Folders())


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
