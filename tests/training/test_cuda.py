"""On a GPU: the steps are those of a CPU, to the bit the same when resumed, and a bad one is remembered.

Most of the time goes to compilation. A network is therefore compiled once per precision, and each test sets the weights
of the shared network. One test compiles it again, as a resumed training in a new process does.
"""

import copy
import functools

import pytest
import torch

from colorize.color import targets
from colorize.models.contract import build_model
from colorize.ops import graphs
from colorize.training.step import Objective, Step

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
OPTIONS = targets.Options(10, 5.0, "pixel")
STEPS = 2 * (graphs._FIRST_CALLS + 2)  # some as they are, some replayed, before and after the interruption
WIDTH = 0.125
WEIGHTS = torch.linspace(0.5, 2, 313)


def fresh(name: str, device: str = "cuda") -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(name, WIDTH).to(device, memory_format=torch.channels_last).train()


def compile_anew(name: str, precision: str, device: str = "cuda") -> Objective:
    return Objective(fresh(name, device), WEIGHTS.to(device), OPTIONS, precision)


shared = functools.cache(compile_anew)


@pytest.fixture(scope="module", autouse=True)
def _release():
    yield
    shared.cache_clear()


def restart(objective: Objective, name: str, settings) -> Step:
    """A step that has not been taken yet, of a compiled network that gets its initial weights back."""
    objective.model.load_state_dict(fresh(name).state_dict())
    objective.model.train()
    return Step(objective, settings, torch.device("cuda"))


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


@pytest.mark.parametrize("name", ["regression", "cnn", "unet"])
def test_steps_agree_with_those_of_a_cpu(name, tiny_train):
    settings = tiny_train(schedule="constant", precision="fp32", lr=1e-4)
    on_cpu = Step(compile_anew(name, "fp32", "cpu"), settings, torch.device("cpu"))
    on_gpu = restart(shared(name, "fp32"), name, settings)
    losses = [
        torch.stack([take_step(n, *batch(n, device)).cpu().clone() for n in range(STEPS)])
        for take_step, device in ((on_gpu, "cuda"), (on_cpu, "cpu"))
    ]
    torch.testing.assert_close(*losses, rtol=2e-3, atol=0)


def resume(objective: Objective, name: str, settings, other: Objective) -> None:
    """Train with interruption, by `other`, and without; compare the last loss and all weights."""
    take_step = restart(objective, name, settings)
    for number in range(STEPS):
        if number == STEPS // 2:
            saved = copy.deepcopy([objective.model.state_dict(), take_step.state_dict()])
        last = take_step(number, *batch(number)).clone()
    expected = copy.deepcopy(objective.model.state_dict())
    resumed = restart(other, name, settings)
    other.model.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    for number in range(STEPS // 2, STEPS):
        found = resumed(number, *batch(number)).clone()
    assert torch.equal(found, last)
    assert all(torch.equal(value, other.model.state_dict()[key]) for key, value in expected.items())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", ["regression", "cnn", "unet"])
def test_resumed_steps_are_the_same_to_the_bit(name, precision, tiny_train):
    settings = tiny_train(schedule="cosine", precision=precision, steps=STEPS)
    resume(shared(name, precision), name, settings, shared(name, precision))


def test_resumed_steps_of_a_network_compiled_again_are_the_same_to_the_bit(tiny_train):
    settings = tiny_train(schedule="cosine", precision="bf16", steps=STEPS)
    resume(shared("unet", "bf16"), "unet", settings, compile_anew("unet", "bf16"))


def test_a_replayed_step_that_is_not_finite_changes_nothing_and_is_remembered(tiny_train):
    objective = shared("unet", "fp32")
    take_step = restart(objective, "unet", tiny_train(precision="fp32"))
    for number in range(STEPS):
        take_step(number, *batch(number))
    assert take_step.failed_at() is None
    parameters = copy.deepcopy(list(objective.model.parameters()))
    L_norm, ab_norm = batch(STEPS)
    L_norm[2, 0, 5, 5] = float("nan")
    take_step(STEPS, L_norm, ab_norm)
    take_step(STEPS + 1, *batch(STEPS + 1))
    assert take_step.failed_at() == STEPS
    now = objective.model.parameters()
    assert all(torch.equal(after, before) for after, before in zip(now, parameters, strict=True))


def test_other_code_may_clear_the_cublas_workspaces(tiny_train):
    settings, last = tiny_train(precision="fp32"), []
    for is_disturbed in (False, True):
        take_step = restart(shared("unet", "fp32"), "unet", settings)
        for number in range(STEPS):
            loss = take_step(number, *batch(number)).clone()
            if is_disturbed and number == STEPS - 3:  # the step is recorded by then
                torch._C._cuda_clearCublasWorkspaces()
                torch.cuda.empty_cache()
                filling = torch.full((1 << 26,), float("nan"), device="cuda")  # takes the memory that became free
        last.append(loss)
    assert filling.isnan().all()
    assert torch.equal(*last)


def test_predictions_in_evaluation_mode_are_those_of_the_model_and_disturb_no_step(tiny_train):
    objective = shared("unet", "fp32")
    settings, L_norm = tiny_train(precision="fp32"), batch(99)[0]
    last = []
    for is_disturbed in (False, True):
        take_step = restart(objective, "unet", settings)
        for number in range(STEPS):
            if is_disturbed and number in (0, STEPS - 2):  # before the first step, and between replays
                objective.model.eval()
                with torch.inference_mode():
                    torch.testing.assert_close(objective.predict(L_norm), objective.model(L_norm), rtol=1e-3, atol=1e-3)
                objective.model.train()
            loss = take_step(number, *batch(number)).clone()
        last.append(loss)
    assert torch.equal(*last)
