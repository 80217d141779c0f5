"""One optimizer step: loss, precision, gradient clipping and Adam. Training spends most of its time here."""

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
_SCHEDULES: dict[str, Callable[[float], float]] = {  # fraction of the steps taken -> factor of lr
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}


_LEAST_SCALE = 1.0  # smallest scale of an fp16 loss; gradients that overflow without scaling (scale 1) are a failure


class Objective(nn.Module):
    """A model with its loss, as one module that returns a scalar.

    Args:
        model: network, in training or evaluation mode.
        weights: (Q,) class weights, on the model's device.
        options: options of the soft targets.
        precision: number format of the convolutions: fp32, or bf16 or fp16 under autocast.
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
        """L_norm (B, 1, H, W) and ab_norm (B, 2, H, W) -> scalar loss."""
        with torch.autocast(L_norm.device.type, self._type, enabled=self._type != torch.float32):
            output = self._network(L_norm)
        if not isinstance(self.model, Classifier):
            return loss.l2_loss(output.float(), ab_norm)
        return loss.soft_cross_entropy(output, self.model.head, self._target(ab_norm, self.model.head_stride))

    def predict(self, L_norm: Tensor) -> Tensor:
        """L_norm (B, 1, H, W) -> the model's output in float32, by the same compiled network."""
        output = self._network(L_norm)
        return self.model.head(output) if isinstance(self.model, Classifier) else output

    def _target(self, ab_norm: Tensor, stride: int) -> targets.SoftTargets:
        if ab_norm.device.type == "cuda":
            from colorize.ops import targets_cuda  # only torch's builds for CUDA include Triton

            return targets_cuda.weighted_targets(ab_norm, self._weights, self._options, stride)
        target = targets.soft_targets(ab_norm, self._options)
        return targets.pool(targets.weigh(target, ab_norm, self._weights), stride)


class Step:
    """Optimizer step: Adam with clipped gradients.

    If the loss or the gradient of a step is not finite, the step changes no parameter. The step's number is stored on
    the device; `failed_at` returns it. In fp16, a step has failed only if the gradients overflow without loss scaling.
    All values that change from step to step are on the device, so that a CUDA graph can replay the kernels.

    Args:
        objective: an `Objective`, or the result of `Processes.distribute` for one.
        settings: the section `train` of the parameters.
        device: device of the model.

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
        # No CUDA graph is recorded for a group of processes or with a gradient scaler. The scaler decides on the host
        # whether to skip a step.
        is_plain = isinstance(objective, Objective) and not self._scaler.is_enabled()
        may_record = is_plain and device.type == "cuda" and runtime.is_compiling()
        self._call = graphs.Replayed(self._take, device) if may_record else self._take

    def __call__(self, step: int, L_norm: Tensor, ab_norm: Tensor) -> Tensor:
        """Take step number `step` (from 0) with a batch.

        Args:
            step: number of the step.
            L_norm: (B, 1, H, W).
            ab_norm: (B, 2, H, W).

        Returns:
            the loss, a scalar on the device; the next step may overwrite it.
        """
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
            self._scaler.step(self._optimizer)  # skips the step if a gradient overflowed; this is not a failure
            self._scaler.update()
            if self._scaler.get_scale() < _LEAST_SCALE:
                self._remember(torch.ones_like(self._failed_at, dtype=torch.bool))
        else:
            self._step_if_finite(value.detach())
        return value.detach()

    def _step_if_finite(self, value: Tensor) -> None:
        """Clip the gradients and take a step, unless this step or an earlier one has failed.

        Fused Adam does both: it divides the gradients by `grad_scale`, and skips the step if `found_inf` is not 0. Both
        values are on the device, so the host does not wait for the device.
        """
        norm = nn.utils.get_total_norm([parameter.grad for parameter in self._parameters if parameter.grad is not None])
        self._remember(~(norm + value).isfinite())
        self._optimizer.found_inf = (self._failed_at >= 0).float()  # type: ignore[attr-defined]  # as GradScaler sets it
        # Fused Adam divides the gradients by this value. Torch's clip_grad_norm_ would add 1e-6 to the norm.
        scale = (norm / self._settings.clip_norm).clamp_min(1)
        self._optimizer.grad_scale = scale  # type: ignore[attr-defined]  # as GradScaler sets it
        self._optimizer.step()

    def _remember(self, has_failed: Tensor) -> None:
        """Store the number of this step if it is the first step that failed."""
        self._failed_at.copy_(torch.where(has_failed & (self._failed_at < 0), self._number, self._failed_at))

    def failed_at(self) -> int | None:
        """Number of the first failed step, or None; waits for the device.

        In fp32 and bf16, no later step changed the parameters.
        """
        step = int(self._failed_at)
        return None if step < 0 else step

    def state_dict(self) -> dict:
        """State of the optimizer and of the gradient scaler."""
        return {"optimizer": self._optimizer.state_dict(), "scaler": self._scaler.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Restore the result of `state_dict`.

        Call it before the first step: the recorded kernels contain the addresses of the state.
        """
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])


def _check_precision(precision: str, device: torch.device) -> None:
    if precision == "fp16" and device.type == "cpu":
        raise ParameterError("train.precision: fp16 needs a GPU; use bf16 or fp32 on a CPU")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ParameterError(
            f"train.precision: {torch.cuda.get_device_name(device)} does not support bf16; use fp16 or fp32"
        )
