"""Switch `params.yaml` to a profile: `python tools/use_profile.py paper` (as `make paper` does).

The outs of the pipeline in `data/` are removed from the working tree, so that outs of different profiles are not mixed.
They stay in DVC's cache, and the next `dvc repro` restores the outs of the new profile from there. Other files are
kept; the next run overwrites those in `results/`. The switch is refused if `params.yaml` has changes of your own, if a
stage is running, or if an out could not be restored.
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from colorize import runtime, verify
from colorize.pipeline import digests, recorded
from colorize.pipeline.recorded import Out, Recorded
from colorize.runtime import DataError, ParameterError

PARAMS = Path("params.yaml")
_KEPT = "results/"  # not removed, because the report overwrites its files


def main(name: str = "") -> None:
    """Copy profiles/<name>.yaml over params.yaml.

    Raises:
        ParameterError: there is no such profile, or `params.yaml` differs from every profile.
        DataError: a stage is running, or an out could not be restored.
    """
    profiles = {path.stem: path.read_bytes() for path in sorted(Path("profiles").glob("*.yaml"))}
    if name not in profiles:
        raise ParameterError(f"there is no profile {name!r}; the profiles are {', '.join(profiles)}")
    if PARAMS.exists() and PARAMS.read_bytes() not in profiles.values():
        raise ParameterError("params.yaml has changes of your own; first save it as profiles/<name>.yaml, or undo them")
    if busy := verify.running_stages():
        raise DataError(f"{busy[0]}; wait until it has ended, then switch the profile")
    outs = _outs_to_remove(recorded.read())
    PARAMS.write_bytes(profiles[name])
    for path in outs:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    runtime.say(
        f"params.yaml is now profiles/{name}.yaml; the files of the previous profile were removed from data/ and stay "
        "in DVC's cache; `make repro` runs the new profile, or restores its results from the cache"
    )


def _outs_to_remove(known: Recorded) -> list[Path]:
    """Outs in the working tree that are to be removed; the cache can restore each of them.

    Raises:
        DataError: an out could not be restored; the message names it.
    """
    of_lock = {out.path: out for out in known.outs}
    mine = [path for path in verify.stages_by_out(known) if not str(path).startswith(_KEPT) and path.exists()]
    lacking = [path for path in mine if not _is_cached(known, of_lock.get(path))]
    if lacking:
        raise DataError(
            f"{lacking[0]}: DVC's cache could not restore this{_more(lacking)}; first record it "
            "with `dvc commit`, or move it elsewhere"
        )
    return mine


def _more(paths: list[Path]) -> str:
    return f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""


def _is_cached(known: Recorded, out: Out | None) -> bool:
    """Whether every file of an out is in DVC's cache."""
    if out is None or not known.object(out.md5):
        return False
    listing = known.listing(out.md5) if out.md5.endswith(".dir") else {"": out.md5}
    if listing is None or len(listing) != _num_files(out.path):
        return False
    return all(_is_object(out.path / name, known.object(str(md5)), str(md5)) for name, md5 in listing.items())


def _is_object(file: Path, path: Path | None, md5: str) -> bool:
    """Whether a file exists and a cached object has the same content; a file linked to the object is not hashed."""
    if path is None or not file.is_file():
        return False
    return file.samefile(path) or digests.md5_of_file(file) == md5


def _num_files(path: Path) -> int:
    """Number of files at a path, including those that DVC ignores."""
    return 1 if path.is_file() else sum(1 for file in path.rglob("*") if not file.is_dir())


if __name__ == "__main__":
    runtime.run(main, sys.argv[1:])
