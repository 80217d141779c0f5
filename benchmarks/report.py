"""The report of many models and test images: seconds, processor time and memory.

    python -m benchmarks.report                      # 14 models, two data sets with 328,500 test images each
    python -m benchmarks.report --images 20000       # fewer test images

It repeats the measured values of the default run until each data set has so many test images, and adds noise. Further
models are copies of the paper's models. So `make repro` must have run before. The limit of the project is 2 minutes and
1 GB. The peer reads each file once, and computes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import harness
from colorize.config import params
from colorize.evaluation.npz import write_npz

MODELS, IMAGES, PER_GROUP = 14, 328_500, 10
_REPO = Path(__file__).resolve().parents[1]
_QUESTION = "Report: from the measures of each image to all tables, figures and pages"
_REPORT = """
from colorize import report
from colorize.config import params
from colorize.models.registry import MODELS
settings = params.load()
MODELS |= {copy: MODELS[copy.rpartition("_")[0]] for copy in sys.argv[2:]}
report.write_report(settings.model_copy(update={"models": [*settings.models, *sys.argv[2:]]}), Path(sys.argv[1]))
"""
_READ = """
import numpy as np
for path in sorted(Path(sys.argv[1]).rglob("*.npz")):
    with np.load(path) as arrays:
        for name in arrays.files:
            arrays[name]
"""
_MEASURED = """
import json, re, sys, time
from pathlib import Path
start = time.perf_counter()
{code}
peak_kb = re.search("VmHWM: *([0-9]+)", Path("/proc/self/status").read_text().replace("\\t", " "))[1]
print(json.dumps({{"s": time.perf_counter() - start, "cpu s": time.process_time(), "peak MB": int(peak_kb) / 1000}}))
"""


def write_run(root: Path, images: int, copies: list[str]) -> None:
    """Write the inputs of a report with so many test images per data set, and with these copies of models."""
    for name in ("data/priors", "data/histories", "sources"):
        shutil.copytree(_REPO / name, root / name)
    for path in sorted((_REPO / "data" / "evaluations").rglob("*.*")):
        out = root / path.relative_to(_REPO)
        out.parent.mkdir(parents=True, exist_ok=True)
        if path.name in ("per_image.npz", "mean.npz", "annealed_mean.npz"):
            write_npz(out, _repeated(path, images))
        else:
            shutil.copy(path, out)
    for copy in copies:
        model = copy.rpartition("_")[0]
        for folder in sorted((root / "data").glob(f"*/*-{model}-0")):
            name = folder.name.replace(f"-{model}-", f"-{copy}-")
            shutil.copytree(folder, folder.with_name(name), copy_function=os.link)  # needs no space on the disk


def _repeated(path: Path, images: int) -> dict[str, np.ndarray]:
    """The arrays of a file for so many images: repeated values with noise, and new keys and groups."""
    rng = np.random.default_rng(0)
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    rows = np.arange(images) % len(arrays["key"])
    found = {name: array[rows] * rng.uniform(0.9, 1.1, images).astype(np.float32)
             for name, array in arrays.items() if array.dtype.kind == "f"}  # fmt: skip
    others = np.setdiff1d(np.arange(images + len(rows)), arrays["key"])
    key = np.concatenate([arrays["key"], others])[:images]  # the saved predictions have the keys of the default run
    group = np.array([f"photograph {number // PER_GROUP}" for number in range(images)])
    return {"key": key, "group": group} | found


def measure(code: str, *arguments: str) -> dict[str, float]:
    """Seconds, seconds of the processor and peak memory of Python code in a process of its own."""
    command = [sys.executable, "-c", _MEASURED.format(code=code), *arguments]
    return json.loads(subprocess.run(command, check=True, cwd=_REPO, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Measure the report and the peer once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES, help="test images per data set (default: %(default)s)")
    images, settings = parser.parse_args().images, params.load(_REPO / "params.yaml")
    copies = [f"{model}_{number}" for number in (2, 3) for model in settings.models][: MODELS - len(settings.models)]
    with tempfile.TemporaryDirectory(prefix="report-") as name:
        write_run(Path(name), images, copies)
        ours, peer = measure(_REPORT, name, *copies), measure(_READ, name)
    rates = [images / used["s"] for used in (ours, peer)]
    note = f"{ours['s']:.0f} s, {ours['cpu s']:.0f} s of the processor, {ours['peak MB']:.0f} MB"
    rows = [
        harness.Row("ours", rates[0], None, None, note),
        harness.Row("reading each file once", rates[1], (rates[0] / rates[1],) * 3, None),
    ]
    details = {"ours": ours, "peer": peer}
    harness.report("report", _QUESTION, rows, "img/s", details=details, images=images, models=MODELS, rounds=1)


if __name__ == "__main__":
    main()
