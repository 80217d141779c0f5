"""The record of a stage's run: its parameters and the digests of its dependencies and outs, as the stage saw them.

    data/records/train-objects-unet-0.json    {"stage": ..., "params": ..., "deps": ..., "outs": ...}

The record is an out that no stage depends on. DVC makes its own records, in `dvc.lock` and in its run cache, shortly
after the last check of the stage. If the records differ, DVC recorded inputs or results that the stage did not use or
compute. `make verify` compares the records. For a path whose files all have an MD5, a record has the same hash as
`dvc.lock`; for other paths, it has the listing.
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

ABSENT = "absent"  # value of a parameter that does not exist


def write(stage: Definition, params: dict, deps: dict[Path, Listing]) -> None:
    """Write the record of a complete run.

    Args:
        stage: definition of the stage that ran.
        params: dotted key -> value, as parsed before the run.
        deps: path -> listing, taken before the run.
    """
    outs = {path: digests.listing_of(path) for path in stage.outs}
    record = {"stage": stage.name, "params": params, "deps": _digests(deps), "outs": _digests(outs)}
    runtime.write_json(stage.record, record)


def _digests(listings: dict[Path, Listing]) -> dict[str, Digest]:
    return {path.as_posix(): digests.md5_of_listing(listing) or listing for path, listing in listings.items()}


def parse(content: bytes) -> dict:
    """Parse a record.

    Raises:
        ValueError: the content is not a record.
    """
    record = json.loads(content)
    is_shaped = isinstance(record, dict) and {"stage", "params", "deps", "outs"} <= record.keys()
    if not is_shaped or not all(isinstance(record[key], dict) for key in ("params", "deps", "outs")):
        raise ValueError("not a record of a stage")
    return record


def record_of(entry: dict) -> tuple[str, str] | None:
    """Path and MD5 of the stage's record in an entry of `dvc.lock` or of DVC's run cache; None if it has none."""
    for out in entry.get("outs", []):
        if Path(out["path"]).parent == RECORDS:
            return out["path"], out["md5"]
    return None


def difference(key: str, before: object, now: object) -> list[str]:
    """Texts about the values below a key that differ, such as `["train.lr 0.003 -> 0.005"]`; 1, 1.0 and true differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(before.keys() | now.keys())
        pairs = ((name, before.get(name, ABSENT), now.get(name, ABSENT)) for name in names)
        return [change for name, *values in pairs for change in difference(f"{key}.{name}", *values)]
    texts = [json.dumps(value, sort_keys=True, default=str) for value in (before, now)]
    return [] if texts[0] == texts[1] else [f"{key} {texts[0]} -> {texts[1]}"]


def contradictions(record: dict, entry: dict, listing_of: Callable[[str], Listing | None]) -> Iterator[str]:
    """Find the values in an entry of DVC that contradict the stage's own record.

    Args:
        record: record of the stage.
        entry: entry of `dvc.lock` or of the run cache.
        listing_of: function that takes the `.dir` hash of a folder and returns its listing, or None if it is unknown.

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
    """Name of the first file that differs, "." for the path itself; None if none differs or the listing is unknown."""
    if isinstance(seen, str):
        return None if seen == md5 else "."
    listing = {"": md5} if not md5.endswith(".dir") else listing_of(md5)
    if listing is None:
        return None
    names = sorted(seen.keys() | listing.keys())
    return next((name or "." for name in names if not _agree(seen.get(name), listing.get(name))), None)


def _agree(seen: str | int | None, recorded: str | int | None) -> bool:
    """Whether two values of listings agree; a size agrees with any MD5."""
    return recorded is not None if isinstance(seen, int) else seen == recorded
