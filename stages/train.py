"""Train one model on one data set: `python -m stages.train objects unet`."""

import sys
from pathlib import Path

from colorize import params, runtime
from colorize.targets import Options
from colorize.training import loop


def main(dataset: str, model: str) -> None:
    """data/shards, data/priors -> data/models/<dataset>-<model>, data/histories/<dataset>-<model>."""
    settings = params.load()
    cell = loop.Cell(settings.dataset(dataset), settings.model(model))
    paths = loop.Paths(
        shards=Path("data/shards") / dataset,
        prior=Path("data/priors") / dataset,
        model=Path("data/models") / f"{dataset}-{model}",
        history=Path("data/histories") / f"{dataset}-{model}",
    )
    options, code = Options.of(settings.soft_targets), runtime.stage_code_hash("train")
    with runtime.outputs(f"train {dataset}-{model}", paths.model, paths.history):
        loop.train(cell, settings.train, options, paths, code, runtime.set_up_torch())


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
