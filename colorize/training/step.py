"""One optimizer step: objective, precision, clipping, Adam; the part of training that costs the time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from colorize import runtime
from colorize.color import targets
from colorize.models.contract import Classifier, Network
from colorize.ops import compiled, graphs
from colorize.runtime import ParameterError
from colorize.training import loss

if TYPE_CHECKING:
    from colorize.config.params import Train

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SCHEDULES: dict[str, Callable[[float], float]] = {  # share of the steps that is done -> factor of the learning rate
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}


_LEAST_SCALE = 1.0  # of an fp16 loss: where even smaller ones overflow, scaling cannot help


class Objective(nn.Module):
    """A model with its loss: colors in, a scalar out.

    Args:
        model: in training or evaluation mode.
        weights: (Q,) class weights, on the model's device.
        options: of the soft targets.
        precision: fp32, or the type in which convolutions multiply under autocast: bf16, fp16.
    """

    def __init__(self, model: Network, weights: Tensor, options: targets.Options, precision: str = "fp32"):
        super().__init__()
        self.model = model
        self._weights = weights
        self._options = options
        self._type = _TYPES[precision]
        self._network = compiled.compile_network(
            model.features if isinstance(model, Classifier) else model, weights.device
        )

    def forward(self, L_norm: Tensor, ab_norm: Tensor) -> Tensor:
        """(B, 1, H, W), (B, 2, H, W) -> scalar."""
        with torch.autocast(L_norm.device.type, self._type, enabled=self._type != torch.float32):
            output = self._network(L_norm)
        if not isinstance(self.model, Classifier):
            return loss.l2_loss(output.float(), ab_norm)
        return loss.soft_cross_entropy(output, self.model.head, self._target(ab_norm, self.model.head_stride))

    def _target(self, ab_norm: Tensor, stride: int) -> targets.SoftTargets:
        if ab_norm.device.type == "cuda":
            from colorize.ops import targets_cuda  # Triton comes with torch's builds for CUDA alone

            return targets_cuda.weighted_targets(ab_norm, self._weights, self._options, stride)
        target = targets.soft_targets(ab_norm, self._options)
        return targets.pool(targets.weigh(target, ab_norm, self._weights), stride)


class Step:
    """Adam on clipped gradients.

    A step whose gradient is not finite changes nothing, and is remembered: on a GPU the host learns of it later. In
    fp16 that is no failure before the gradients overflow without any scaling. What
    varies from step to step lies on the device, so that its kernels can be replayed.

    Args:
        objective: an `Objective`, or what distributes one over processes.
        settings: the section `train` of the parameters.
        device: of the model.

    Raises:
        ParameterError: the device cannot train in `train.precision`.
    """

    def __init__(self, objective: nn.Module, settings: Train, device: torch.device):
        _check_precision(settings.precision, device)
        self._objective = objective
        self._parameters = list(objective.parameters())
        self._settings = settings
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")
        self._optimizer = torch.optim.Adam(
            self._parameters,
            lr=settings.lr,
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
            capturable=device.type == "cuda",
        )
        self._number, self._failed_at = (torch.full((), -1, dtype=torch.int64, device=device) for _ in range(2))
        self._rate = torch.zeros((), device=device) if device.type == "cuda" else None
        # What a group of processes exchanges and what a scaler decides on the host is not recorded.
        is_plain = isinstance(objective, Objective) and not self._scaler.is_enabled()
        may_record = is_plain and device.type == "cuda" and runtime.is_compiling()
        self._call = graphs.Replayed(self._take, device) if may_record else self._take

    def __call__(self, step: int, L_norm: Tensor, ab_norm: Tensor) -> Tensor:
        """Take step number `step` (from 0); returns the loss, still on the device, which the next step overwrites."""
        self._number.fill_(step)
        rate = self._settings.lr * _SCHEDULES[self._settings.schedule](step / self._settings.steps)
        self._optimizer.param_groups[0]["lr"] = rate if self._rate is None else self._rate.fill_(rate)
        return self._call(L_norm, ab_norm)

    def _take(self, L_norm: Tensor, ab_norm: Tensor) -> Tensor:
        self._optimizer.zero_grad()
        value = self._objective(L_norm, ab_norm)
        self._scaler.scale(value).backward()
        if self._scaler.is_enabled():
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self._settings.clip_norm)
            self._scaler.step(self._optimizer)  # leaves out a step that overflowed, which is no failure
            self._scaler.update()
            if self._scaler.get_scale() < _LEAST_SCALE:
                self._remember(torch.ones_like(self._failed_at, dtype=torch.bool))
        else:
            self._step_if_finite(value.detach())
        return value.detach()

    def _step_if_finite(self, value: Tensor) -> None:
        """Let fused Adam clip, and look at a flag on the device, which spares the host from waiting for it."""
        norm = nn.utils.get_total_norm([parameter.grad for parameter in self._parameters if parameter.grad is not None])
        self._remember(~(norm + value).isfinite())
        self._optimizer.found_inf = (self._failed_at >= 0).float()  # type: ignore[attr-defined]  # as GradScaler sets it
        # What Adam divides gradients by; torch's clip_grad_norm_ adds 1e-6 to the norm.
        scale = (norm / self._settings.clip_norm).clamp_min(1)
        self._optimizer.grad_scale = scale  # type: ignore[attr-defined]  # as GradScaler sets it
        self._optimizer.step()

    def _remember(self, has_failed: Tensor) -> None:
        """Keep the number of this step if it is the first that failed."""
        self._failed_at.copy_(torch.where(has_failed & (self._failed_at < 0), self._number, self._failed_at))

    def failed_at(self) -> int | None:
        """The first step whose gradient was not finite; from then on no step was taken. Waits for the device."""
        step = int(self._failed_at)
        return None if step < 0 else step

    def state_dict(self) -> dict:
        """What the next step depends on, besides the model."""
        return {"optimizer": self._optimizer.state_dict(), "scaler": self._scaler.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """The inverse of `state_dict`; before the first step, whose kernels know where the state lies."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])


def _check_precision(precision: str, device: torch.device) -> None:
    if precision == "fp16" and device.type == "cpu":
        raise ParameterError("train.precision: fp16 needs a GPU; use bf16 or fp32 on a CPU")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ParameterError(
            f"train.precision: {torch.cuda.get_device_name(device)} does not support bf16; use fp16 or fp32"
        )
