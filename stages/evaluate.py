"""Evaluate models on a test split: `python -m stages.evaluate objects scenes unet` (or `gray prior`, the baselines)."""

import sys
from pathlib import Path

from colorize import params, runtime
from colorize.evaluation import evaluate
from colorize.targets import Options


def main(source: str, target: str, *models: str) -> None:
    """data/models, data/shards -> data/evaluations/<cell>, results/metrics/<cell>.json."""
    settings = params.load()
    device, options = runtime.set_up_torch(), Options.of(settings.soft_targets)
    for model in models:
        name = model if model in evaluate.BASELINES else settings.model(model)
        cell = evaluate.Cell(settings.dataset(source), name, settings.dataset(target))
        paths = evaluate.Paths(
            shards=Path("data/shards") / target,
            prior=Path("data/priors") / source,
            model=Path("data/models") / f"{source}-{model}",
            metrics=Path("results/metrics") / f"{cell.name}.json",
            evaluation=Path("data/evaluations") / cell.name,
        )
        print(cell.name, evaluate.evaluate(cell, settings.evaluate, options, paths, device))


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
