"""Evaluate models of one data set on every test split: `python -m stages.evaluate objects unet` (or `gray prior`)."""

import sys
from pathlib import Path

from colorize import params, runtime
from colorize.evaluation import evaluate
from colorize.models import BASELINES
from colorize.targets import Options


def main(source: str, *models: str) -> None:
    """data/models, data/shards -> <run>/<target> in data/evaluations, <run>/<target>.json in results/metrics."""
    settings = params.load()
    device, options = runtime.set_up_torch(), Options.of(settings.soft_targets)
    for model in models:
        run = f"{settings.dataset(source)}-{model if model in BASELINES else settings.model(model)}"
        evaluations, metrics = Path("data/evaluations") / run, Path("results/metrics") / run
        with runtime.outputs(f"evaluate {run}", evaluations, metrics):
            for target in settings.datasets:
                cell = evaluate.Cell(source, model, target)
                paths = evaluate.Paths(
                    shards=Path("data/shards") / target,
                    prior=Path("data/priors") / source,
                    model=Path("data/models") / run,
                    metrics=metrics / f"{target}.json",
                    evaluation=evaluations / target,
                )
                print(cell.name, evaluate.evaluate(cell, settings.evaluate, options, paths, device), flush=True)


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
