"""Evaluate models of one data set on every test split: `python -m stages.evaluate objects unet` (or `baselines`)."""

import sys

from colorize import runtime
from colorize.layout import ALL_BASELINES, UNTRAINED, Cell, Folders
from colorize.pipeline import promise


def main(source: str, *models: str) -> None:
    """data/models, data/priors, data/shards/test -> data/evaluations, results/metrics.

    The outputs are data/evaluations/<source>-<model>/<target> and results/metrics/<source>-<model>/<target>.json.
    """
    if not models:
        raise runtime.ParameterError("expected: python -m stages.evaluate DATASET MODEL ..., or DATASET baselines")
    if models == (ALL_BASELINES,):
        with promise.stage("baseline", source=source) as stage:
            _evaluate(stage, source, UNTRAINED)
        return
    for model in models:
        with promise.stage("evaluate", source=source, model=model) as stage:
            _evaluate(stage, source, (model,))


def _evaluate(stage: promise.Promise, source: str, models: tuple[str, ...]) -> None:
    from colorize.color.targets import Options
    from colorize.evaluation import evaluate

    settings = stage.settings
    device, options = runtime.set_up_torch(), Options.of(settings.soft_targets)
    for target in settings.datasets:
        cells = [Cell(source, model, target) for model in models]
        metrics = evaluate.evaluate(cells, settings.evaluate, options, Folders(), device)
        for cell in cells:
            print(cell.name, metrics[cell.model], flush=True)


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
