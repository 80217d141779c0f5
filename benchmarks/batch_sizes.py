"""Training steps, loader included: how the rate depends on the batch size.

python -m benchmarks.batch_sizes [--rounds N] [--small]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks import harness, inputs, training
from benchmarks.training import Case
from colorize.data.split import Split

_BATCH_SIZES = {"cpu": (32, 64, 128, 256, 512, 1024), "cuda": (32, 1024)}
_MODELS = {"cpu": ("cnn", "unet"), "cuda": ("unet",)}  # one on a GPU, as compiling takes minutes


def main(rounds: int, small: bool) -> None:
    """Measure on a GPU if there is one, otherwise on the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    width = 1.0 if device.type == "cuda" and not small else 0.25
    with tempfile.TemporaryDirectory() as folder:
        split = inputs.write_shards(Path(folder), 512 if small else 8192)
        for model in _MODELS[device.type]:
            _compare(Case(model, width, 0, device), split, rounds, small)


def _compare(case: Case, split: Split, rounds: int, small: bool) -> None:
    sizes = [size for size in _BATCH_SIZES[case.device.type] if size <= (64 if small else len(split))]
    cases = {f"batch {size}": case._replace(batch=size) for size in sizes}
    precision = training.fast_precision(case.device)
    works = {
        name: harness.counted(
            training.next_of(training.our_steps(of_size, precision, split), case.device), of_size.batch
        )
        for name, of_size in cases.items()
    }
    rows = harness.compare(works, "batch 32", rounds=rounds, device=case.device)
    conditions = {"model": case.model, "precision": precision, "width": case.width}
    question = f"{training.QUESTION}, by batch size"
    harness.report("training", question, rows, "img/s", **conditions, device=case.device.type, small=small)
    torch.compiler.reset()


if __name__ == "__main__":
    harness.run(main, __doc__)
