"""Switch `params.yaml` to a profile: `python tools/use_profile.py paper` (as `make paper` does).

Results in the working tree are removed, so that none of one profile is taken for one of another; the cache keeps them,
and the next `dvc repro` restores what it knows. Refused while `params.yaml` holds edits of your own.
"""

import shutil
import sys
from pathlib import Path

RESULTS = (
    *(f"data/{kind}" for kind in ("shards", "priors", "models", "histories", "evaluations", "gallery")),
    "results/metrics",
)


def main(name: str) -> None:
    """Copy profiles/<name>.yaml over params.yaml."""
    profiles = {path.stem: path.read_bytes() for path in sorted(Path("profiles").glob("*.yaml"))}
    params = Path("params.yaml")
    if name not in profiles:
        sys.exit(f"error: there is no profile {name!r}; there are {', '.join(profiles)}")
    if params.exists() and params.read_bytes() not in profiles.values():
        sys.exit("error: params.yaml holds edits of your own; keep them as profiles/<name>.yaml, or drop them, first")
    params.write_bytes(profiles[name])
    for folder in RESULTS:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"params.yaml is now profiles/{name}.yaml, and the results of another one are out of the working tree; "
        "`make repro` runs it, or restores it from the cache"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
