"""Build shards from raw archives, without extracting the archives to the disk.

The coordinator gives tasks to worker processes: to list one archive, and then to decode `per_shard` consecutive images
of a split's listing and to write one tar. The tasks leave their results in the folder of the job (`job.py`), so an
interrupted run continues where it stopped, and the coordinator needs no memory for single images. At the end, the tars
are linked to their places, and their records are combined. The shards are byte for byte the same for any number of
workers. The manifest counts the rejected images by reason, and names the first ones of each reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colorize import runtime
from colorize.archives import parts
from colorize.archives.parts import Part
from colorize.data import shards
from colorize.data.shards import SPLITS, SplitName
from colorize.layout import Folders, stage_name
from colorize.sharding import flow, leakage, sources, summary
from colorize.sharding.job import Job, Settings, discard
from colorize.sharding.summary import describe

__all__ = ["describe", "discard", "shard"]

if TYPE_CHECKING:
    from colorize.config.params import Shard


def shard(name: str, settings: Shard, folders: Folders, code: str = "") -> dict[SplitName, dict]:
    """Shard one data set.

    Args:
        name: name of the data set, which `sources/<name>.yaml` describes.
        settings: the section `shard` of the parameters.
        folders: folders of the splits to write; the manifests are written last.
        code: digest of the code; an interrupted run continues only with the same code.

    Returns:
        The manifest of each split. What an interrupted run would need is left; the caller removes it with `discard`.

    Raises:
        DataError: an archive is missing or changed during the run; a split has no usable image; the share of broken
            images is larger than `max_reject_fraction`; or more than `max_leaked` held-out images are also in train.
    """
    source = sources.load(name)
    found = sources.locate(source, runtime.raw_dir())
    described = sources.describe_archives(source, found)
    _warn_of_cuts(name, source, found, described)
    chosen = Settings(settings.size, settings.per_shard, settings.gray, settings.min_colorfulness)
    with Job.begin(name, source, found, chosen, code) as job, runtime.workers() as pool:
        counts = flow.run(pool, job, name)
        parts.check_unchanged(found)
        outs = {split: folders.shards(split, name) for split in SPLITS}
        manifests: dict[SplitName, dict] = {}
        for split in SPLITS:
            archive = source.archive_of(split)
            here = [count for part, count in zip(found, counts, strict=True) if part.file == archive]
            skipped = sum((Counter(count.skipped) for count in here), Counter())
            endings = sum((Counter(count.endings) for count in here), Counter())
            manifests[split] = {
                **summary.begin(name, split, settings, described[archive], skipped, endings),
                **_publish(job, name, split, outs[split], settings),
            }
        leakage.add(pool, manifests, outs)
    summary.write(name, manifests, outs, settings.max_leaked)
    return manifests


def _warn_of_cuts(name: str, source: sources.Source, found: Sequence[Part], described: dict[str, dict]) -> None:
    """Warn if an archive is not the published one, and name the command to run if it is replaced.

    DVC does not notice that an archive in the raw folder was replaced.
    """
    for part in found:
        if described[part.file]["is_published"] is False:
            runtime.note(
                f"warning: {part.path}: {part.bytes:,} bytes, but the published archive has "
                f"{source.archives[part.file].bytes:,}; it is used as your own selection of the data set; if you "
                f"replace it, run `dvc repro -f {stage_name('shard', name)}`",
            )


def _publish(job: Job, name: str, split: SplitName, out: Path, settings: Shard) -> dict:
    """Put the tars and the table of a split into its output folder; returns the fields of the manifest."""
    numbers = range(job.number_of_shards(split))
    records = [record for number in numbers if (record := job.record(split, number))]
    assert len(records) == len(numbers)
    found = summary.summarize(records)
    summary.check(name, split, found, settings.max_reject_fraction)
    summary.clear(out)
    with runtime.atomic_text(out / shards.TABLE) as file:
        file.write(shards.table_lines([shards.COLUMNS]))
        for number in numbers:
            file.writelines(job.table(split, number))
    for number, record in zip(numbers, records, strict=True):
        if record.sha256:
            # so that it is not lost if the run is interrupted
            runtime.link(job.tar(split, number), out / job.tar(split, number).name)
    return found
