"""Damages files one after the other and compares our readers with the libraries'.

`python -m tests.fuzz.differential SEED SECONDS FOLDER` runs for some seconds on the files of one seed, and ends with a
line of JSON, the score. Each file is first written to `current` in that folder: one that ends the process is not lost.
"""

import faulthandler
import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.fuzz import compare, compare_archives, mutations, reasons, samples

HANGS_AFTER_S = 60
_ARCHIVES = compare_archives.TARS | compare_archives.ZIPS


@dataclass
class Score:
    """What was done so far."""

    files: int = 0  # mutated, of all kinds
    images: int = 0
    decoded: int = 0  # images that Pillow still decodes
    slowest: float = 0.0  # seconds that one file took in all readers together
    slowest_file: str = ""
    peak: float = 0.0  # GB of memory, of the process
    disagreements: list[str] = field(default_factory=list)  # that no reason explains


def mutants(seed: int | str) -> Iterator[tuple[str, bytes]]:
    """Names and damaged files without end: six images, then an archive."""
    photos = [(f"{family}/{name}", data) for family, files in samples.files().items() for name, data in files.items()]
    number = 0
    while True:
        rng = random.Random(f"{seed}/{number}")
        is_archive = number % 7 == 6
        kind, data = rng.choice(list(_ARCHIVES.items()) if is_archive else photos)
        data = mutations.mutate(data, rng)
        if kind in compare_archives.TARS and rng.random() < 0.6:
            data = compare_archives.mended(data)
        yield f"{'archive/' if is_archive else ''}{kind} {seed}/{number}", data
        number += 1


def examine(name: str, data: bytes, folder: Path, score: Score) -> None:
    """Let all readers read one file and add what they say to the score."""
    started = time.monotonic()
    (folder / "current").write_bytes(data)
    score.files += 1
    if name.startswith("archive/"):
        seen = compare_archives.look(folder / "current")
        found = [] if seen is None else compare_archives.unexplained(seen)
    else:
        case = compare.Case(data)
        found = reasons.unexplained(case)
        score.images += 1
        score.decoded += case.is_loaded
    score.disagreements += [f"{name}: {difference.kind}: {difference.text}" for difference in found]
    if (seconds := time.monotonic() - started) > score.slowest:
        score.slowest, score.slowest_file = seconds, name


def main(seed: str, seconds: float, folder: Path) -> None:
    """Examine files until the time is up; a file that hangs ends the process."""
    score, end = Score(), time.monotonic() + seconds
    for name, data in mutants(seed):
        if time.monotonic() >= end:
            break
        faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True)
        try:
            examine(name, data, folder, score)
        except Exception as error:  # a reader may not raise anything else than its own refusal
            score.disagreements.append(f"{name}: {error!r}")
    score.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps(asdict(score)))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
