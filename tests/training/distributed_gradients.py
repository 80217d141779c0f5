"""Run by test_distributed.py under torchrun: one step's gradients, written by the first process.

torchrun --nproc-per-node 2 tests/training/distributed_gradients.py gradients.pt
"""

import sys
from pathlib import Path

import torch

from colorize.color import targets
from colorize.models.contract import build_model
from colorize.training import distributed
from colorize.training.step import Objective


def main(path: str) -> None:
    """Gradients of an objective by parameter name, with BatchNorm in evaluation mode: SyncBatchNorm needs GPUs."""
    with distributed.join("cpu") as group:
        gradients = {}
        for name in ("cnn", "unet_weighted"):
            torch.manual_seed(0)
            model = build_model(name, 0.05).eval()
            objective = Objective(model, torch.linspace(0.5, 2, 313), targets.Options(10, 5.0, "pixel"))
            rank, size = group.share(8)
            L_norm, ab_norm = (part.chunk(size)[rank] for part in (torch.rand(8, 1, 16, 16), torch.rand(8, 2, 16, 16)))
            distributed_objective = group.distribute(objective)  # must live until the gradients are averaged
            value = distributed_objective(L_norm, ab_norm - 0.5)
            value.backward()
            gradients |= {f"{name}.{key}": p.grad for key, p in model.named_parameters()}
            gradients[f"{name} loss"] = group.mean(value.detach())
        target = group.output(Path("gradients.pt"))
        assert (target == Path("gradients.pt")) == (rank == 0)
        if rank == 0:
            torch.save(gradients, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
