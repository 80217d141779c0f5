"""Checks of shards, priors, models, predictions and checkpoints against their own checksums."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from colorize import runtime
from colorize.layout import UNTRAINED
from colorize.runtime import Damaged, DataError


def problem(check: Callable[[Path], None], folder: Path) -> tuple[str, bool]:
    """Check a folder.

    Returns:
        the problem ("" if there is none), and whether files of the pipeline are certainly damaged. The second value is
        False if the files may be the user's own: the pipeline did not write them, or they have another format.
    """
    try:
        check(folder)
    except DataError as error:
        return str(error).partition("; run")[0].removeprefix(f"{folder}/"), isinstance(error, Damaged)
    except Exception as error:  # libraries raise almost anything on damaged bytes; the other checks must go on
        return f"cannot be read ({type(error).__name__}: {runtime.first_line(error)})", False
    return "", False


def _check_shards(folder: Path) -> None:
    from colorize.data import shards

    manifest, table = shards.read_manifest(folder), folder / shards.TABLE
    for shard in manifest["shards"]:
        _check_shard(folder / shard["name"], shard["sha256"])
    rows = sum(1 for _ in runtime.open_regular(table)) - 1 if table.exists() else 0
    if rows < manifest["images"]:  # more rows are possible: a name may contain a line break
        raise Damaged(f"{table}: {rows} rows, but the manifest lists {manifest['images']} images")


def _check_shard(path: Path, sha256: str) -> None:
    """Check the SHA-256 of a shard.

    Bit rot leaves the modification time unchanged, so the cached verification is ignored here.
    """
    if not path.exists() or runtime.sha256_of(path) != sha256:
        raise Damaged(f"{path}: missing or damaged")


def _check_prior(folder: Path) -> None:
    from colorize.prior.files import load_array
    from colorize.prior.smoothing import FILES

    names = ("counts", "prior", "rebalancing", "weighted_prior", *FILES)
    always = (folder / f"{name}.npy" for name in names)
    for path in dict.fromkeys((*always, *sorted(folder.glob("*.npy")))):  # and the files of the models of that run
        load_array(path, *FILES.get(path.stem, ()))


def _check_model(folder: Path) -> None:
    from colorize.models import files

    files.load(folder)


def _check_evaluation(folder: Path) -> None:
    """Check the measures and predictions of one model on all test splits."""
    is_trained = not folder.name.endswith(tuple(f"-{name}" for name in UNTRAINED))
    names = ("per_image.npz", "predictions.npz") if is_trained else ("per_image.npz",)
    always = (target / name for target in folder.glob("*/") for name in names)
    for path in sorted({*always, *folder.glob("*/*.npz")}):
        try:
            with zipfile.ZipFile(path) as archive:
                member = archive.testzip()
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except Exception as error:  # as in `problem`
            raise Damaged(f"{path}: {runtime.first_line(error)}") from None
        if member:
            raise Damaged(f"{path}: {member} does not match its checksum")


_CHECKS: dict[str, Callable[[Path], None]] = {  # pattern of the path -> check
    "data/shards/*/*": _check_shards,
    "data/priors/*": _check_prior,
    "data/models/*": _check_model,
    "data/evaluations/*": _check_evaluation,
}


def check_of(out: Path) -> Callable[[Path], None] | None:
    """The check for an output; None if there is none."""
    parts = len(out.parts)
    return next((c for pattern, c in _CHECKS.items() if out.match(pattern) and pattern.count("/") == parts - 1), None)


def checkpoint_problem(path: Path) -> str:
    """The problem of a checkpoint; "" if there is none."""
    from colorize.training import checkpoint

    try:
        checkpoint.read(path)
    except (ValueError, OSError) as error:
        return runtime.first_line(error)
    return ""
