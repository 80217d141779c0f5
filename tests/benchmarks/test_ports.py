"""The ports that training is compared with compute what we compute: the same losses on the same batches."""

import numpy as np
import pytest
import torch

from benchmarks import expert_port, inputs, straight_port

CPU = torch.device("cpu")
ROWS, IS_FLIPPED = torch.tensor([4, 0, 2]), torch.tensor([True, False, True])


def straight_batch(images: np.ndarray, monkeypatch) -> tuple[torch.Tensor, torch.Tensor]:
    """L_norm and ab_norm of the chosen images, by the data set of the straight port, which mirrors at random."""
    numbers = iter(torch.where(IS_FLIPPED, 0.1, 0.9))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda _shape: next(numbers))
        pairs = [straight_port.LabImages(images)[row] for row in ROWS]
    return tuple(torch.stack(part) for part in zip(*pairs, strict=True))


@pytest.mark.parametrize("name", ["regression", "cnn", "unet_weighted"])
def test_the_experts_port_has_the_losses_of_the_straight_port(name, tiny_train, monkeypatch):
    images, settings = inputs.crops(16)[:6], tiny_train(precision="fp32", lr=1e-3)
    weights = torch.linspace(0.5, 2, 313)
    torch.manual_seed(0)
    straight = straight_port.StraightPort(name, 0.05, weights, settings, CPU)
    torch.manual_seed(0)
    expert = expert_port.ExpertPort(name, 0.05, weights, settings, CPU, images)
    batch = straight_batch(images, monkeypatch)
    for _ in range(3):
        assert float(expert(ROWS, IS_FLIPPED)) == pytest.approx(straight(*batch), rel=1e-3)


def test_the_experts_port_takes_each_image_once_per_epoch(tiny_train, monkeypatch):
    taken = []
    images = np.zeros((7, 16, 16, 3), np.uint8)
    expert = expert_port.ExpertPort("regression", 0.05, torch.ones(313), tiny_train(), CPU, images)
    monkeypatch.setattr(expert_port.ExpertPort, "__call__", lambda self, rows, is_flipped: taken.append(rows))
    steps = expert.steps(3)
    for _ in range(4):
        next(steps)
    assert [len(rows) for rows in taken] == [3] * 4
    assert all(len({*torch.cat(taken[n : n + 2]).tolist()}) == 6 for n in (0, 2))
