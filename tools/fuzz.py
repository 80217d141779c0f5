"""Fuzz the readers for some minutes and print the score: `python tools/fuzz.py 10`. Exit code 1 if a problem is found.

Most of the time is used by `tests/fuzz/differential.py`. It damages images and archives, and compares how our readers
and those of other libraries read them. Between its rounds, the tests of `tests/fuzz` run on new examples. Every round
has its own seed; a second argument is that of the first, by default the time. A failure is printed with the command
that repeats it, and the next round begins.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SLOW_S, LARGE_GB = 5.0, 1.0  # limits: time for one file, memory of the process that reads all files
_ROUND_S = 120.0  # longest round of damaged files
_TESTS_S = 90.0  # a round of the tests begins only if this much time is left; it takes about half
_SCORE = re.compile(r"^fuzz: (\d+) examples, (\d+) failures$", re.MULTILINE)


class Fuzzer:
    """Runs rounds and sums up their results."""

    def __init__(self):
        self.counts: Counter = Counter()
        self.slowest, self.slowest_file, self.peak = 0.0, "", 0.0

    def compare(self, seed: int, seconds: float, folder: Path) -> None:
        """Run one round of damaged files in its own process, which may crash."""
        command = ["-m", "tests.fuzz.differential", str(seed), f"{seconds:.0f}", str(folder)]
        done = _run(command)
        if done.returncode:
            kept = Path(tempfile.gettempdir()) / f"fuzz-crash-{seed}"
            shutil.copy(folder / "current", kept)
            self.counts["crashes"] += 1
            print(f"crash ({_ending(done.returncode)}), its file is {kept}\n{done.stderr[-3000:]}", flush=True)
            return
        score = json.loads(done.stdout.splitlines()[-1])
        self.counts.update({name: score[name] for name in ("files", "images", "decoded")})
        self.counts["disagreements"] += len(score["disagreements"])
        self.peak = max(self.peak, score["peak"])
        if score["slowest"] > self.slowest:
            self.slowest, self.slowest_file = score["slowest"], score["slowest_file"]
        for line in score["disagreements"]:
            print(f"DIFFERS {line}; repeat with: python {' '.join(command)}", flush=True)

    def test(self, seed: int) -> None:
        """Run one round of the tests."""
        command = ["-m", "pytest", "tests/fuzz", "--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}"]
        done = _run(command)
        score = _SCORE.search(done.stdout)
        self.counts["examples"] += int(score[1]) if score else 0
        self.counts["failures"] += max(int(score[2]) if score else 1, done.returncode != 0)
        if done.returncode:
            print(done.stdout, done.stderr, f"repeat with: python {' '.join(command)}", sep="\n", flush=True)

    @property
    def is_wrong(self) -> bool:
        """Whether a problem was found."""
        return (
            self.slowest > SLOW_S
            or self.peak > LARGE_GB
            or any(self.counts[name] for name in ("crashes", "disagreements", "failures"))
        )

    def __str__(self) -> str:
        count, share = self.counts, self.counts["decoded"] / max(self.counts["images"], 1)
        return (
            f"fuzz: {count['files']:,} mutated files, of the images {share:.0%} still decode in Pillow; "
            f"{count['disagreements']} disagreements outside the list, {count['crashes']} crashes, slowest file "
            f"{self.slowest:.2f} s ({self.slowest_file}), peak memory {self.peak:.2f} GB; "
            f"{count['examples']:,} examples of the tests, {count['failures']} failures"
        )


def _run(arguments: list[str]) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, *arguments]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace")


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def main(minutes: float, seed: int) -> int:
    """Fuzz until the time is up, the first round with this seed; return the exit code, 1 if a problem was found."""
    fuzzer, end = Fuzzer(), time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        while (left := end - time.monotonic()) > 1:
            fuzzer.compare(seed, min(left, _ROUND_S), Path(folder))
            if end - time.monotonic() > _TESTS_S:
                fuzzer.test(seed)
            seed += 1
            print(fuzzer, file=sys.stderr, flush=True)
    print(fuzzer)
    return int(fuzzer.is_wrong)


if __name__ == "__main__":
    try:
        _minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
        _seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    except ValueError:
        sys.exit(f"error: {' '.join(sys.argv[1:])!r} is not a number of minutes and a seed")
    try:
        sys.exit(main(_minutes, _seed))
    except KeyboardInterrupt:
        sys.exit(130)
