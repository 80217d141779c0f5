"""Train one model on one data set: `python -m stages.train objects unet`."""

import sys
from pathlib import Path

from colorize import runtime
from colorize.pipeline import promise


def main(dataset: str, model: str) -> None:
    """data/shards, data/priors -> data/models/<dataset>-<model>, data/histories/<dataset>-<model>."""
    with promise.stage("train", dataset=dataset, model=model) as stage:
        from colorize.color.targets import Options
        from colorize.training import loop

        settings, cell = stage.settings, loop.Cell(dataset, model)
        paths = loop.Paths(
            shards=Path("data/shards") / dataset,
            prior=Path("data/priors") / dataset,
            model=Path("data/models") / cell.name,
            history=Path("data/histories") / cell.name,
        )
        options, device = Options.of(settings.soft_targets), runtime.set_up_torch()
        checkpoints = loop.train(cell, settings.train, options, paths, stage.code, device, stage.check)
    if not runtime.torchrun_ranks()[0]:
        checkpoints.remove()  # after the stage's last look: until then an edit costs no step


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
