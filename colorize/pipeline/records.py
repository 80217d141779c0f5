"""The record of a stage's run: the digests of its parameters, dependencies and outs, as the stage itself saw them.

    data/records/train-objects-unet.json    {"stage": ..., "params": ..., "deps": ..., "outs": ...}

It is an out that no stage depends on. DVC's own record of a run, in `dvc.lock` and in its cache of runs, is made a
moment after the stage's last look; where the two differ, DVC recorded what was not computed. `make verify` compares
them. Of a path whose files all have an MD5, a record holds what `dvc.lock` would; of others, the listing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from colorize import runtime
from colorize.pipeline import digests
from colorize.pipeline.definition import RECORDS, Definition
from colorize.pipeline.digests import Listing

Digest = str | Listing

ABSENT = "absent"  # in the place of a parameter that is not there


def write(stage: Definition, params: dict, deps: dict[Path, Listing]) -> None:
    """Write the record of a run that is complete.

    Args:
        stage: that ran.
        params: dotted key -> value, as they were parsed.
        deps: path -> listing, from before the run.
    """
    outs = {path: digests.listing_of(path) for path in stage.outs}
    record = {"stage": stage.name, "params": params, "deps": _digests(deps), "outs": _digests(outs)}
    runtime.write_json(stage.record, record)


def _digests(listings: dict[Path, Listing]) -> dict[str, Digest]:
    return {path.as_posix(): digests.md5_of_listing(listing) or listing for path, listing in listings.items()}


def parse(content: bytes) -> dict:
    """A record.

    Raises:
        ValueError: it is none.
    """
    record = json.loads(content)
    is_shaped = isinstance(record, dict) and {"stage", "params", "deps", "outs"} <= record.keys()
    if not is_shaped or not all(isinstance(record[key], dict) for key in ("params", "deps", "outs")):
        raise ValueError("not a record of a stage")
    return record


def record_of(entry: dict) -> tuple[str, str] | None:
    """Path and MD5 of the record among the outs of an entry of `dvc.lock` or of DVC's cache of runs."""
    for out in entry.get("outs", []):
        if Path(out["path"]).parent == RECORDS:
            return out["path"], out["md5"]
    return None


def difference(key: str, before: object, now: object) -> list[str]:
    """The parameters below a key that differ, such as `["train.lr 0.003 -> 0.005"]`; 1 and 1.0 and true do."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(before.keys() | now.keys())
        pairs = ((name, before.get(name, ABSENT), now.get(name, ABSENT)) for name in names)
        return [change for name, *values in pairs for change in difference(f"{key}.{name}", *values)]
    texts = [json.dumps(value, sort_keys=True, default=str) for value in (before, now)]
    return [] if texts[0] == texts[1] else [f"{key} {texts[0]} -> {texts[1]}"]


def contradictions(record: dict, entry: dict, listing_of: Callable[[str], Listing | None]) -> Iterator[str]:
    """Where an entry of DVC says something else than the stage's own record.

    Args:
        record: of the stage.
        entry: of `dvc.lock` or of the cache of runs.
        listing_of: what DVC's `.dir` hashes stand for; None where that is not known.

    Yields:
        one text per contradiction.
    """
    for values in entry.get("params", {}).values():
        for key, recorded in values.items():
            for change in difference(key, record["params"].get(key, ABSENT), recorded):
                yield f"computed with another parameter value than DVC recorded (computed -> recorded): {change}"
    for kind, verb in (("deps", "read"), ("outs", "wrote")):
        for item in entry.get(kind, []):
            path, md5 = item["path"], item["md5"]
            if Path(path).parent == RECORDS:
                continue
            if path not in record[kind]:
                yield f"{path}: recorded by DVC, but the stage never {verb} it"
            elif name := _other_file(record[kind][path], md5, listing_of):
                yield f"{Path(path) / name}: DVC recorded other content than the stage {verb}"


def _other_file(seen: Digest, md5: str, listing_of: Callable[[str], Listing | None]) -> str | None:
    """The first file that the stage saw differently than DVC; "." for the path as a whole."""
    if isinstance(seen, str):
        return None if seen == md5 else "."
    listing = {"": md5} if not md5.endswith(".dir") else listing_of(md5)
    if listing is None:
        return None
    names = sorted(seen.keys() | listing.keys())
    return next((name or "." for name in names if not _agree(seen.get(name), listing.get(name))), None)


def _agree(seen: str | int | None, recorded: str | int | None) -> bool:
    """A size stands for any MD5."""
    return recorded is not None if isinstance(seen, int) else seen == recorded
