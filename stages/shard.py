"""Shard one data set: `python -m stages.shard objects`."""

import sys

from colorize import runtime
from colorize.layout import Folders
from colorize.pipeline import promise


def main(dataset: str) -> None:
    """Raw archives, or the shards of the members of a union -> data/shards/<split>/<dataset>."""
    with promise.stage("shard", dataset=dataset) as stage:
        from colorize.sharding import build, joint, union

        settings, folders = stage.settings, Folders()
        if members := union.find(dataset, folders):
            manifests = joint.link(dataset, members, settings.shard, folders)
        else:
            manifests = build.shard(dataset, settings.shard, folders, stage.code)
    build.discard(dataset)  # after the stage's last check; if this check fails, the next run continues from there
    runtime.say(*build.describe(manifests).split("\n"))


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
