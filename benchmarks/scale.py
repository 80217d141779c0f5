"""Scale: what each step of the pipeline costs per million images, for two or three sizes of a data set.

    python -m benchmarks.scale [--small | --million] [--folder FOLDER]

The data set is generated (`tools/generate.py`) in the layout of Places, with images of 256 px. The steps are the real
stages and the real `dvc commit`, each in a process of its own. Each step runs once per size. The network has a quarter
of the paper's channels. All files were written shortly before, so most of them are still in the page cache.

By default, the sizes are 10,000 and 100,000 images; this needs 4 GB of disk space. `--million` adds 1,000,000 images,
and needs 40 GB.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import yaml

from benchmarks import harness
from colorize import runtime

NAME = "generated"  # of the data set
CHALLENGE = {"listed": 8_391_628, "train": 8_026_628, "val": 36_500, "test": 328_500}  # Places365-Challenge
_REPO = Path(__file__).resolve().parents[1]
_QUESTION = "Scale: rate for many images, compared with the rate for few"
_PAUSE_S = 0.05  # between two looks at the memory of a process
_UNIT = 1_000_000  # images, of all costs
# the numbers of the evaluated images: 499 and 1,999, because an evaluation takes long without a GPU
_EVALUATED = (r"00000[0-4]\d\d", r"0000[01]\d\d\d")
_NOTHING = "no such name"  # a pattern for test images: the stage lists all archives, and then fails
_SOURCES = {0: "source.yaml", 3: "source_without_test.yaml"}  # by exit code
_LISTED = "no file is an image of split 'test'"
_OPEN = """
import sys
from pathlib import Path
from colorize.data.split import Split
for folder in sys.argv[1:]:
    Split(Path(folder))
"""


class Cost(NamedTuple):
    """What one run of a step cost."""

    items: int  # images that the step reads
    wall: float  # seconds
    cpu: float  # seconds, of the process and all its workers
    memory: int  # bytes: highest anonymous memory of the process, without its workers
    disk: int  # bytes that the step wrote


class Model(NamedTuple):
    """A straight line through the costs of two sizes: a fixed part, and a part per image."""

    fixed: Cost
    per_item: Cost  # `items` is 1

    @classmethod
    def through(cls, few: Cost, many: Cost) -> Model:
        """The line through two costs; a part that measurement noise makes negative is 0."""
        items = many.items - few.items
        slopes = [max(0.0, (large - small) / items) for small, large in zip(few[1:], many[1:], strict=True)]
        fixed = [max(0.0, small - slope * few.items) for small, slope in zip(few[1:], slopes, strict=True)]
        return cls(Cost(0, *fixed), Cost(1, *slopes))

    def at(self, items: int) -> Cost:
        """The expected cost for a number of images."""
        parts = zip(self.fixed[1:], self.per_item[1:], strict=True)
        return Cost(items, *(fixed + slope * items for fixed, slope in parts))


class Step(NamedTuple):
    """A step of the pipeline."""

    name: str
    of: tuple[str, ...]  # keys of CHALLENGE: the splits whose images it reads, or all images in the archives
    command: tuple[str, ...]
    writes: tuple[str, ...] = ()  # folders
    code: int = 0  # expected exit code; 3 for a data set whose test images do not exist


ALL = ("train", "val", "test")
SHARD = ("-m", "stages.shard", NAME)
STEPS = (
    Step("check the archives, list", ("listed",), SHARD, code=3),
    Step("list", ("listed",), SHARD, code=3),
    Step("shard", ALL, SHARD, ("data/shards",)),
    Step("dvc commit of the shards", ALL, ("-m", "dvc", "commit", "--force", f"shard@{NAME}")),
    Step("verify when opened", ALL, ("-c", _OPEN, *(f"data/shards/{split}/{NAME}" for split in ALL))),
    Step("prior", ("train",), ("-m", "stages.prior", NAME), (f"data/priors/{NAME}",)),
    Step("start of a training", ("train", "val"), ("-m", "stages.train", NAME, "unet", "0")),
    Step("evaluate a U-Net", ("test",), ("-m", "stages.evaluate", NAME, "unet", "0"), ("data/evaluations",)),
    Step("evaluate the baselines", ("test",), ("-m", "stages.evaluate", NAME, "baselines"), ("data/evaluations",)),
    Step("report on 8 models", ("test",), ("-m", "stages.report"), ("data/report.html", "data/gallery", "results")),
)  # fmt: skip


def make_project(folder: Path, images: int, evaluated: str) -> tuple[Path, dict[str, int]]:
    """Make a copy of the repository whose only data set has this many generated images.

    Args:
        folder: folder for the copy.
        images: images in the archives.
        evaluated: regular expression for the numbers of the test images that are used.

    Returns:
        The folder of the copy, and the number of images for each key of CHALLENGE.
    """
    project = folder / f"project-{images}"
    for name in ("colorize", "stages", "profiles"):
        shutil.copytree(_REPO / name, project / name, ignore=shutil.ignore_patterns("__pycache__", "*.tmp"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", "sources/titles.yaml"):
        (project / name).parent.mkdir(exist_ok=True)
        shutil.copy(_REPO / name, project / name)
    (project / ".dvc").mkdir()
    config = (_REPO / ".dvc/config").read_text(encoding="utf-8")
    (project / ".dvc/config").write_text(config.replace("[core]", "[core]\n    no_scm = true"), encoding="utf-8")
    params = yaml.safe_load((_REPO / "profiles/paper.yaml").read_text(encoding="utf-8"))
    params |= {"datasets": [NAME], "models": ["unet"]}
    params["train"] |= {"width": 0.25, "steps": 2, "batch_size": 8, "val_every": 2, "val_images": 8}
    params["report"] |= {"figure4_models": ["unet"], "figure6_model": "unet"}
    params["report"]["figure5"] = {"source": NAME, "target": NAME, "model": "unet"}
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return project, _generate(project, images, evaluated)


def _generate(project: Path, images: int, evaluated: str) -> dict[str, int]:
    """Generate the archives and two sources: the data set, and one that is only listed."""
    from tools import generate

    order = generate.Order(images, "places", 256, 0, 0, project / "raw")
    source = generate.generate(order)
    source["splits"]["test"]["regex"] = rf"(?P<class>)test_256/Places365_test_{evaluated}\.jpg"
    (project / _SOURCES[0]).write_text(yaml.safe_dump(source), encoding="utf-8")
    source["splits"]["test"]["regex"] = _NOTHING
    (project / _SOURCES[3]).write_text(yaml.safe_dump(source), encoding="utf-8")
    counts = {part.split: part.images for part in generate.parts(order)}
    counts["test"] = sum(1 for number in range(counts["test"]) if re.fullmatch(evaluated, f"{number + 1:08d}"))
    return {"listed": images, **counts}


def measure(project: Path, step: Step, items: int) -> Cost:
    """Run one step, and measure it.

    Raises:
        RuntimeError: the step ended with another exit code than expected; with the end of its output.
    """
    environment = os.environ | {"COLORIZE_RAW": str(project / "raw"), "PYTHONPATH": str(project)}
    shutil.copyfile(project / _SOURCES[step.code], project / f"sources/{NAME}.yaml")
    before, start = _disk(project, step), time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, *step.command], cwd=project, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        memory = _Memory(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        memory.stop()
        log.seek(0)
        output = log.read().decode(errors="replace")
    if process.returncode != step.code or (step.code and _LISTED not in output):
        raise RuntimeError(f"{step.name} ended with {process.returncode}: {output[-2000:]}")
    return Cost(items, wall, usage.ru_utime + usage.ru_stime, memory.highest, _disk(project, step) - before)


class _Memory:
    """The highest anonymous memory of a process. Mapped files, which the system can drop, do not count."""

    def __init__(self, pid: int):
        self.highest = 0
        self._path, self._ended = Path(f"/proc/{pid}/smaps_rollup"), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(_PAUSE_S):
            with contextlib.suppress(OSError):  # the process has ended
                found = re.search(r"^Anonymous:\s+(\d+) kB", self._path.read_text(), re.MULTILINE)
                self.highest = max(self.highest, int(found[1]) * 1024 if found else 0)

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()


def _disk(project: Path, step: Step) -> int:
    files = [path for name in step.writes for path in (project / name, *(project / name).rglob("*"))]
    return sum(path.stat().st_size for path in files if path.is_file())


def measure_all(folder: Path, images: int, evaluated: str) -> dict[str, Cost]:
    """Measure every step for one size of the data set, and delete its files."""
    project, counts = make_project(folder, images, evaluated)
    costs = {}
    try:
        with runtime.progress(f"measure {images:,} images", len(STEPS), "steps") as advance:
            for step in STEPS:
                items = sum(counts[split] for split in step.of)
                costs[step.name] = measure(project, step, items)
                advance(1)
    finally:
        shutil.rmtree(project)
    return costs


def report(few: dict[str, Cost], many: dict[str, Cost], small: bool) -> None:
    """Write one record per step: our rate for many images, compared with that for few."""
    for step in STEPS:
        less, more = few[step.name], many[step.name]
        model = Model.through(less, more)
        rates = [cost.items / cost.wall for cost in (more, less)]
        note = (
            f"per million: {model.per_item.cpu * _UNIT:,.0f} s of CPU, {_gb(model.per_item.memory * _UNIT)} of memory"
        )
        rows = [
            harness.Row(f"{more.items:,} images", rates[0], None, None, note),
            harness.Row(f"{less.items:,} images", rates[1], (rates[0] / rates[1],) * 3, None),
        ]
        conditions = {"step": step.name, "images": more.items, "small": small}
        details = {"few": less._asdict(), "many": more._asdict()}
        harness.report("scale", _QUESTION, rows, "img/s", details=details, **conditions)


def table(few: dict[str, Cost], many: dict[str, Cost]) -> str:
    """The table of `docs/scaling.md`: the costs of each step, and its CPU time for Places365-Challenge."""
    headings = ["step", "images", "fixed time", "time per million", "CPU time per million", "memory"]
    headings += ["memory per million", "disk per million", "CPU time for Places365-Challenge"]
    lines = ["| " + " | ".join(headings) + " |", "| :--- |" + " ---: |" * 8]
    for step in STEPS:
        less, more = few[step.name], many[step.name]
        model = Model.through(less, more)
        whole, per = model.at(sum(CHALLENGE[key] for key in step.of)), model.per_item
        cells = [step.name, f"{less.items:,} and {more.items:,}"]
        cells += [_seconds(model.fixed.wall), _seconds(per.wall * _UNIT), _seconds(per.cpu * _UNIT)]
        cells += [_gb(more.memory), _gb(per.memory * _UNIT), _gb(per.disk * _UNIT), _seconds(whole.cpu)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds(value: float) -> str:
    """Two digits, in seconds, minutes or hours."""
    for unit, size in (("h", 3600), ("min", 60)):
        if value >= 2 * size:
            return f"{_two_digits(value / size)} {unit}"
    return f"{_two_digits(value)} s"


def _gb(value: float) -> str:
    """Two digits, in MB or GB; a dash for nothing."""
    if value < 1e5:
        return "-"
    return f"{_two_digits(value / 1e9)} GB" if value >= 1e9 else f"{_two_digits(value / 1e6)} MB"


def _two_digits(value: float) -> str:
    digits = max(0, 1 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{float(f'{value:.2g}'):,.{digits}f}"


def main() -> None:
    """Measure, write the records, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--small", action="store_true", help="1,000 and 3,000 images; takes a few minutes")
    sizes.add_argument("--million", action="store_true", help="100,000 and 1,000,000 images")
    parser.add_argument("--folder", type=Path, help="folder for the files (default: that of temporary files)")
    options = parser.parse_args()
    sizes = (1_000, 3_000) if options.small else (100_000, 1_000_000) if options.million else (10_000, 100_000)
    with tempfile.TemporaryDirectory(prefix="scale-", dir=options.folder) as name:
        few, many = (measure_all(Path(name), *size) for size in zip(sizes, _EVALUATED, strict=True))
    report(few, many, options.small)
    print(table(few, many))


if __name__ == "__main__":
    main()
