"""Evaluate a model on every test split: `python -m stages.evaluate objects unet 0` (or `objects baselines`)."""

import sys

from colorize import runtime
from colorize.layout import ALL_BASELINES, UNTRAINED, Folders, Run
from colorize.pipeline import promise


def main(source: str, *names: str) -> None:
    """data/models, data/priors, data/shards/test -> data/evaluations/<source>-<model>-<seed>/<target>."""
    if names == (ALL_BASELINES,):
        with promise.stage("baseline", source=source) as stage:
            _evaluate(stage, [Run(source, baseline, None) for baseline in UNTRAINED])
        return
    if len(names) != 2:
        raise runtime.ParameterError("expected: python -m stages.evaluate DATASET MODEL SEED, or DATASET baselines")
    model, seed = names
    with promise.stage("evaluate", source=source, model=model, seed=seed) as stage:
        _evaluate(stage, [Run(source, model, int(seed))])


def _evaluate(stage: promise.Promise, runs: list[Run]) -> None:
    from colorize.color.targets import Options
    from colorize.evaluation import evaluate

    settings = stage.settings
    device, options = runtime.set_up_torch(), Options.of(settings.soft_targets)
    for target in settings.datasets:
        found = evaluate.evaluate(runs, target, settings.evaluate, options, Folders(), device, stage.code)
        for run, metrics in found.items():
            runtime.say(f"{run.name} on {target} {metrics}")


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
