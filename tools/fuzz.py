"""Run the tests of `tests/fuzz` on new examples for some minutes and print the score: `python tools/fuzz.py 10`.

Every round has a seed of its own; one that fails is printed with the command that repeats it, and the next begins.
"""

import re
import subprocess
import sys
import time

_SCORE = re.compile(r"^fuzz: (\d+) examples, (\d+) failures$", re.MULTILINE)


def main(minutes: float) -> int:
    """Fuzz until the time is up; returns the exit code, 1 where anything failed."""
    end = time.monotonic() + 60 * minutes
    first_seed = seed = time.time_ns() // 1_000_000_000
    examples = failures = 0
    while time.monotonic() < end:
        command = ["pytest", "tests/fuzz", "--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}"]
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
        score = _SCORE.search(done.stdout)
        examples += int(score[1]) if score else 0
        failures += max(int(score[2]) if score else 1, done.returncode != 0)
        if done.returncode:
            print(done.stdout, done.stderr, f"repeat with: {' '.join(command)}", sep="\n", flush=True)
        seed += 1
        print(
            f"round {seed - first_seed}: {examples:,} examples so far, {failures} failures", file=sys.stderr, flush=True
        )
    print(f"fuzz: {examples:,} examples in {seed - first_seed} rounds, {failures} failures")
    return int(failures > 0)


if __name__ == "__main__":
    try:
        sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
    except ValueError:
        sys.exit(f"error: {sys.argv[1]!r} is no number of minutes")
    except KeyboardInterrupt:
        sys.exit(130)
