"""What can be checked by itself: shards, priors, models, predictions, checkpoints, each against its own checksums."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from colorize import runtime
from colorize.runtime import Damaged, DataError


def problem(check: Callable[[Path], None], folder: Path) -> tuple[str, bool]:
    """What is wrong with a folder ("" for nothing), and whether files of ours are damaged for certain.

    A folder without our files, or with files of another format, may be anybody's.
    """
    try:
        check(folder)
    except DataError as error:
        return str(error).partition("; run")[0].removeprefix(f"{folder}/"), isinstance(error, Damaged)
    except Exception as error:  # damaged bytes make libraries raise almost anything; the others are still to be checked
        return f"cannot be read ({type(error).__name__}: {runtime.first_line(error)})", False
    return "", False


def _check_shards(folder: Path) -> None:
    from colorize.data import shards

    manifest, table = shards.read_manifest(folder), folder / shards.TABLE
    for shard in manifest["shards"]:
        _check_shard(folder / shard["name"], shard["sha256"])
    rows = sum(1 for _ in table.open("rb")) - 1 if table.exists() else 0
    if rows < manifest["images"]:  # a name may hold a line end
        raise Damaged(f"{table}: {rows} rows, but the manifest lists {manifest['images']} images")


def _check_shard(path: Path, sha256: str) -> None:
    """Bit rot leaves the modification time unchanged, so the cached verification is ignored here."""
    if not path.exists() or runtime.sha256_of(path) != sha256:
        raise Damaged(f"{path}: missing or damaged")


def _check_prior(folder: Path) -> None:
    from colorize.models.registry import MODELS
    from colorize.prior.files import load_array

    names = [f"{kind}-{model}" for kind in ("class_weights", "initial_distribution") for model in MODELS]
    for name in ("counts", "prior", "rebalancing", "weighted_prior", *names):
        load_array(folder / f"{name}.npy")


def _check_model(folder: Path) -> None:
    from colorize.models import files

    files.load(folder)


def _check_predictions(folder: Path) -> None:
    """Of one model, on all test splits."""
    for path in sorted(target / "predictions.npz" for target in folder.glob("*/")):
        try:
            with zipfile.ZipFile(path) as archive:
                member = archive.testzip()
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except Exception as error:  # as in `problem`
            raise Damaged(f"{path}: {runtime.first_line(error)}") from None
        if member:
            raise Damaged(f"{path}: {member} does not match its checksum")


_CHECKS: dict[str, Callable[[Path], None]] = {  # by what lies there
    "data/shards/*/*": _check_shards,
    "data/priors/*": _check_prior,
    "data/models/*": _check_model,
    "data/evaluations/*": _check_predictions,
}


def check_of(out: Path) -> Callable[[Path], None] | None:
    """What checks an output; None where nothing does."""
    parts = len(out.parts)
    return next((c for pattern, c in _CHECKS.items() if out.match(pattern) and pattern.count("/") == parts - 1), None)


def checkpoint_problem(path: Path) -> str:
    """What is wrong with a checkpoint; "" for nothing."""
    from colorize.training import checkpoint

    try:
        checkpoint.read(path)
    except (ValueError, OSError) as error:
        return runtime.first_line(error)
    return ""
