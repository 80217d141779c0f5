"""Train one model on one data set: `python -m stages.train objects unet 0`."""

import sys

from colorize import runtime
from colorize.layout import Folders, Run
from colorize.pipeline import promise


def main(dataset: str, model: str, seed: str) -> None:
    """data/shards/train, data/shards/val, data/priors -> data/models, data/histories.

    The outputs are data/models/<dataset>-<model>-<seed> and data/histories/<dataset>-<model>-<seed>.
    """
    with promise.stage("train", dataset=dataset, model=model, seed=seed) as stage:
        from colorize.color.targets import Options
        from colorize.training import loop

        settings, run = stage.settings, Run(dataset, model, int(seed))
        options, device = Options.of(settings.soft_targets), runtime.set_up_torch()
        checkpoints = loop.train(run, settings.train, options, Folders(), stage.code, device, stage.check)
    if not runtime.torchrun_ranks()[0]:
        checkpoints.remove()  # after the stage's last check; if this check fails, the next run resumes from them


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
