"""On a GPU: the steps are those of a CPU, to the bit the same when resumed, and a bad one is remembered."""

import copy

import pytest
import torch

from colorize.color import targets
from colorize.models.contract import build_model
from colorize.ops import graphs
from colorize.training.step import Objective, Step

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
OPTIONS = targets.Options(10, 5.0, "pixel")
STEPS = 2 * (graphs._FIRST_CALLS + 2)  # some as they are, some replayed, before and after the interruption


def fresh(name: str, device: str = "cuda") -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(name, 0.25).to(device, memory_format=torch.channels_last).train()


def stepper(model: torch.nn.Module, name: str, settings, device: str = "cuda") -> Step:
    weights = torch.linspace(0.5, 2, 313, device=device)
    return Step(Objective(model, weights, OPTIONS, settings.precision), settings, torch.device(device))


def batch(seed: int, device: str = "cuda") -> tuple[torch.Tensor, torch.Tensor]:
    """L_norm and ab_norm."""
    generator = torch.Generator().manual_seed(seed)
    pair = torch.rand(8, 1, 32, 32, generator=generator), torch.rand(8, 2, 32, 32, generator=generator) - 0.5
    return tuple(part.to(device, memory_format=torch.channels_last) for part in pair)


@pytest.fixture(autouse=True)
def _deterministic():
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", ["regression", "cnn_weighted", "unet"])
def test_steps_agree_with_those_of_a_cpu(name, tiny_train):
    settings = tiny_train(schedule="constant", precision="fp32", lr=1e-4)
    losses = {}
    for device in ("cpu", "cuda"):
        take_step = stepper(fresh(name, device), name, settings, device)
        losses[device] = torch.stack([take_step(n, *batch(n, device)).cpu().clone() for n in range(STEPS)])
    torch.testing.assert_close(losses["cuda"], losses["cpu"], rtol=2e-3, atol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", ["regression", "cnn", "unet_weighted"])
def test_resumed_steps_are_the_same_to_the_bit(name, precision, tiny_train):
    settings = tiny_train(schedule="cosine", precision=precision, steps=STEPS)
    model = fresh(name)
    take_step = stepper(model, name, settings)
    for number in range(STEPS):
        if number == STEPS // 2:
            saved = copy.deepcopy([model.state_dict(), take_step.state_dict()])
        last = take_step(number, *batch(number)).clone()
    other = fresh(name)
    resumed = stepper(other, name, settings)
    other.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    for number in range(STEPS // 2, STEPS):
        found = resumed(number, *batch(number)).clone()
    assert torch.equal(found, last)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items())


def test_a_replayed_step_that_is_not_finite_changes_nothing_and_is_remembered(tiny_train):
    model = fresh("unet")
    take_step = stepper(model, "unet", tiny_train())
    for number in range(STEPS):
        take_step(number, *batch(number))
    assert take_step.failed_at() is None
    parameters = copy.deepcopy(list(model.parameters()))
    L_norm, ab_norm = batch(STEPS)
    L_norm[2, 0, 5, 5] = float("nan")
    take_step(STEPS, L_norm, ab_norm)
    take_step(STEPS + 1, *batch(STEPS + 1))
    assert take_step.failed_at() == STEPS
    assert all(torch.equal(now, before) for now, before in zip(model.parameters(), parameters, strict=True))


def test_other_code_may_clear_the_cublas_workspaces(tiny_train):
    settings, last = tiny_train(), []
    for is_disturbed in (False, True):
        take_step = stepper(fresh("unet"), "unet", settings)
        for number in range(STEPS):
            loss = take_step(number, *batch(number)).clone()
            if is_disturbed and number == STEPS - 3:  # the step is recorded by then
                torch._C._cuda_clearCublasWorkspaces()
                torch.cuda.empty_cache()
                filling = torch.full((1 << 26,), float("nan"), device="cuda")  # takes the memory that became free
        last.append(loss)
    assert filling.isnan().all()
    assert torch.equal(*last)
