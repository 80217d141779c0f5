"""A step: the plain optimizer's, in any precision; one that is not finite changes nothing."""

import copy

import pytest
import torch
from torch import nn

from colorize.color import targets
from colorize.models.contract import build_model
from colorize.runtime import ParameterError
from colorize.training import step as steps
from colorize.training.step import Objective, Step

OPTIONS = targets.Options(10, 5.0, "pixel")
CPU = torch.device("cpu")


def batch(seed: int, count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """L_norm and ab_norm."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 16, 16, generator=generator), torch.rand(count, 2, 16, 16, generator=generator) - 0.5


def fresh(name: str = "unet", width: float = 0.05) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, width).to(memory_format=torch.channels_last).train()


def stepper(model: nn.Module, settings, name: str = "unet") -> Step:
    weights = torch.linspace(0.5, 2, 313)
    return Step(Objective(model, weights, OPTIONS, settings.precision), settings, CPU)


@pytest.mark.parametrize("name", ["regression", "cnn_weighted", "unet"])
def test_steps_are_those_of_plain_adam_on_clipped_gradients(name, tiny_train):
    settings = tiny_train(schedule="constant", clip_norm=0.5)
    ours, plain = fresh(name), fresh(name)
    take_step = stepper(ours, settings, name)
    objective = Objective(plain, torch.linspace(0.5, 2, 313), OPTIONS)
    adam = torch.optim.Adam(
        plain.parameters(), settings.lr, (settings.beta1, settings.beta2), weight_decay=settings.weight_decay,
        foreach=False,
    )  # fmt: skip
    for number in range(3):
        found = take_step(number, *batch(number))
        adam.zero_grad()
        expected = objective(*batch(number))
        expected.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), settings.clip_norm, foreach=False)
        adam.step()
        torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=0)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-3, atol=1e-5, msg=key)


def test_the_learning_rate_stays_or_falls_to_zero_in_half_a_wave():
    constant, cosine = (steps._SCHEDULES[name] for name in ("constant", "cosine"))
    assert [constant(done) for done in (0, 0.5, 1)] == [1, 1, 1]
    assert [cosine(done) for done in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])


@pytest.mark.parametrize("name", ["cnn", "unet_weighted"])
def test_half_precision_loses_no_more_than_autocast_of_the_plain_formula(name):
    models = exact, ours, plain = [fresh(name) for _ in range(3)]
    L_norm, ab_norm = batch(0)
    weights = torch.linspace(0.5, 2, 313)
    Objective(exact, weights, OPTIONS)(L_norm, ab_norm).backward()
    value = Objective(ours, weights, OPTIONS, "bf16")(L_norm, ab_norm)
    value.backward()
    with torch.autocast("cpu", torch.bfloat16):
        logits = plain(L_norm)
    target = targets.weigh(targets.soft_targets(ab_norm, OPTIONS), ab_norm, weights)
    target = targets.pool(target, plain.head_stride)
    expected = -(target.values * logits.float().movedim(1, -1).log_softmax(-1).gather(-1, target.bins)).sum(-1).mean()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-3)
    gradients = [torch.cat([p.grad.flatten() for p in model.parameters()]) for model in models]
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    lost, lost_by_plain = ((gradient - gradients[0]).norm() for gradient in gradients[1:])
    assert 0 < lost < 1.1 * lost_by_plain


def test_fp16_is_refused_on_a_cpu(tiny_train):
    with pytest.raises(ParameterError, match="precision: fp16 needs a GPU; use bf16 or fp32"):
        stepper(fresh(), tiny_train(precision="fp16"))


def test_a_step_that_is_not_finite_changes_nothing_and_is_remembered(tiny_train):
    model = fresh()
    take_step = stepper(model, tiny_train())
    take_step(0, *batch(0))
    assert take_step.failed_at() is None
    parameters = copy.deepcopy(list(model.parameters()))
    moments = copy.deepcopy(take_step.state_dict()["optimizer"]["state"])
    L_norm, ab_norm = batch(1)
    L_norm[2, 0, 5, 5] = float("nan")
    take_step(1, L_norm, ab_norm)
    take_step(2, *batch(2))  # the host may learn of it only later
    assert take_step.failed_at() == 1
    assert all(torch.equal(now, before) for now, before in zip(model.parameters(), parameters, strict=True))
    after = take_step.state_dict()["optimizer"]["state"]
    assert all(torch.equal(after[n][key], moments[n][key]) for n in moments for key in moments[n])


def test_fp16_that_no_scaling_saves_is_remembered(tiny_train, monkeypatch):
    monkeypatch.setattr(steps, "_check_precision", lambda *_: None)
    model = fresh()
    take_step = stepper(model, tiny_train(precision="fp16"))
    L_norm, ab_norm = batch(0)
    for number in range(4):  # an overflow now and then is none, and halves the scale
        take_step(number, L_norm / 0 if number % 2 else L_norm, ab_norm)
    assert take_step.failed_at() is None
    for number in range(4, 22):
        take_step(number, L_norm / 0, ab_norm)
    assert take_step.failed_at() == 4 + 14  # the scale begins at 2^16; the two before count


def test_a_restored_step_goes_on_to_the_bit(tiny_train):
    settings = tiny_train()
    model = fresh()
    take_step = stepper(model, settings)
    for number in range(2):
        take_step(number, *batch(number))
    other = fresh()
    restored = stepper(other, settings)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    restored.load_state_dict(copy.deepcopy(take_step.state_dict()))
    for number in range(2, 4):
        assert torch.equal(take_step(number, *batch(number)), restored(number, *batch(number)))
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items())
