"""Compute the prior and class weights of one data set: `python -m stages.prior objects`."""

import sys
from pathlib import Path

from colorize import params, runtime
from colorize.prior import build
from colorize.targets import Options


def main(dataset: str) -> None:
    """data/shards/<dataset> -> data/priors/<dataset>."""
    settings = params.load()
    shards, out = Path("data/shards") / settings.dataset(dataset), Path("data/priors") / dataset
    with runtime.outputs(f"prior {dataset}", out):
        build.build(dataset, shards, Options.of(settings.soft_targets), settings.prior.lambda_, out)


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
