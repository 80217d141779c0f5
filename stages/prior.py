"""Compute the prior and class weights of one data set: `python -m stages.prior objects`."""

import sys
from pathlib import Path

from colorize import params, runtime
from colorize.prior import build
from colorize.targets import Options


def main(dataset: str) -> None:
    """data/shards/<dataset> -> data/priors/<dataset>."""
    settings = params.load()
    build.build(
        settings.dataset(dataset),
        Path("data/shards") / dataset,
        Options.of(settings.soft_targets),
        settings.prior.lambda_,
        Path("data/priors") / dataset,
    )


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
