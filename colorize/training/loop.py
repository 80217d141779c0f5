"""Train one model on one data set: Adam, clipped gradients, validation, the best or the last weights."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from colorize import models, runtime, targets
from colorize.data import loader
from colorize.data.transform import to_networks
from colorize.evaluation import metrics
from colorize.models import blocks, describe, files
from colorize.models.build import build
from colorize.prior.files import load_tensor
from colorize.runtime import DataError
from colorize.training import history, loss
from colorize.training.history import History

_PICTURES = 10  # validation images in a picture
_SCHEDULES = {  # name: steps -> factor of the learning rate at a step
    "constant": lambda steps: lambda step: 1.0,
    "cosine": lambda steps: lambda step: (1 + math.cos(math.pi * step / steps)) / 2,
}


class Paths(NamedTuple):
    """Folders of one training."""

    shards: Path
    prior: Path
    model: Path
    history: Path


class Cell(NamedTuple):
    """What is trained: a model on a data set."""

    dataset: str
    model: str

    @property
    def spec(self) -> models.Spec:
        """The model's properties."""
        return models.MODELS[self.model]


class Data(NamedTuple):
    """What a training reads, opened."""

    train: loader.Split
    val: loader.Split
    weights: Tensor  # (Q,) class weights, on the device
    start: Tensor  # (Q,) the best constant distribution


def train(cell: Cell, settings, options: targets.Options, paths: Paths, code: str, device: str) -> None:
    """Train and save.

    Args:
        cell: data set and model.
        settings: the section `train` of the parameters.
        options: of the soft targets.
        paths: where everything lies.
        code: hash of the code, kept in the sidecar.
        device: to train on.

    Raises:
        DataError: the inputs are missing or do not fit, or the loss is no longer finite.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, and nothing here reads such memory
    data = _open(cell, paths, device)
    model = _build(cell, settings, data, paths.history, device)
    best = _run(cell, model, data, settings, options, paths.history)
    if settings.select == "best":
        model.load_state_dict(best)
    files.save(
        paths.model,
        model,
        {
            "model": cell.model,
            "dataset": cell.dataset,
            "size": data.train.size,
            "width": settings.width,
            "parameters": {"train": settings.model_dump(), "soft_targets": options._asdict()},
            "manifest_sha256": runtime.sha256_of(paths.shards / "manifest.json"),
            "code_sha256": code,
            "torch": torch.__version__,
            "device": torch.device(device).type,
            "threads": torch.get_num_threads(),
        },
    )


def _open(cell: Cell, paths: Paths, device: str) -> Data:
    return Data(
        loader.Split(paths.shards, "train"),
        loader.Split(paths.shards, "val"),
        load_tensor(paths.prior / f"weights-{cell.model}.npy").to(device),
        load_tensor(paths.prior / f"start-{cell.model}.npy"),
    )


def _build(cell: Cell, settings, data: Data, history_folder: Path, device: str) -> nn.Module:
    """The model before its first step; its layers are written for the report."""
    torch.manual_seed(settings.seed)
    model = build(cell.model, settings.width, settings.pretrained)
    layers = describe.describe(cell.model, model, settings.width, data.train.size)
    runtime.write_json(history_folder / "layers.json", layers)
    if cell.spec.is_classifier and settings.head_bias == "prior":
        blocks.set_head_bias(model, data.start.clamp_min(1e-9))  # a bin that never occurs must stay finite
    return model.to(device, memory_format=torch.channels_last)


def _run(cell: Cell, model: nn.Module, data: Data, settings, options: targets.Options, folder: Path) -> dict:
    """All steps; returns the state of the lowest validation loss."""
    optimizer = torch.optim.Adam(
        model.parameters(), lr=settings.lr, betas=(settings.beta1, settings.beta2), weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _SCHEDULES[settings.schedule](settings.steps))
    past = History(folder / "history.csv")
    best_loss, best_state = math.inf, {}
    running, count = torch.zeros((), dtype=torch.float64, device=data.weights.device), 0
    batches = loader.training_batches(data.train, settings.batch_size, settings.seed)
    with runtime.progress(f"train {cell.dataset}-{cell.model}", settings.steps, "steps") as advance:
        for step in itertools.count():
            if step % settings.val_every == 0 or step == settings.steps:
                train_loss = (running / count).item() if count else None
                row = _validate(cell, model, data, settings.val_images, options)
                past.add(step=step, train_loss=train_loss, **row)
                _check_finite(cell, step, train_loss, row["val_loss"])
                running.zero_()
                count = 0
                if settings.select == "best" and row["val_loss"] < best_loss:
                    best_loss, best_state = row["val_loss"], _copy(model)
            if step and (step % settings.pictures_every == 0 or step == settings.steps):
                _draw(model, data, folder / "pictures" / f"step-{step:06d}.png")
            if step == settings.steps:
                return best_state
            L_norm, ab_norm = to_networks(next(batches), data.weights.device)
            running += _step(cell, model, optimizer, L_norm, ab_norm, data.weights, options, settings.clip_norm)
            schedule.step()
            count += 1
            advance(1)


def _step(cell: Cell, model, optimizer, L_norm, ab_norm, weights, options, clip_norm: float) -> Tensor:
    """One optimiser step; returns the loss, still on the device."""
    model.train()
    optimizer.zero_grad()
    value = objective(cell.spec, model, L_norm, ab_norm, weights, options)
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return value.detach()


def objective(spec, model: nn.Module, L_norm, ab_norm, weights, options) -> Tensor:
    """The loss that a model is trained on.

    Args:
        spec: of the model.
        model: in training or evaluation mode.
        L_norm: (B, 1, H, W).
        ab_norm: (B, 2, H, W).
        weights: (Q,) class weights.
        options: of the soft targets.

    Returns:
        scalar.
    """
    if not spec.is_classifier:
        return loss.l2_loss(model(L_norm), ab_norm)
    weighted = targets.weigh(targets.soft_targets(ab_norm, options), ab_norm, weights)
    return loss.soft_cross_entropy(model.features(L_norm), model.head, targets.pool(weighted, model.head_stride))


@torch.inference_mode()
def _validate(cell: Cell, model: nn.Module, data: Data, val_images: int, options: targets.Options) -> dict:
    """A history row's validation part."""
    model.eval()
    rows = loader.spread(len(data.val), val_images)
    collected: dict[str, list[Tensor]] = {}
    for batch in loader.evaluation_batches(data.val, metrics.images_at_once(data.weights.device), rows):
        L_norm, ab_norm = to_networks(batch, data.weights.device)
        for name, values in metrics.per_image(model(L_norm), ab_norm, data.weights, options).items():
            collected.setdefault(name, []).append(values)
    means = {name: torch.cat(values).mean().item() for name, values in collected.items()}
    is_classifier = cell.spec.is_classifier
    return {
        "val_loss": means["weighted_cross_entropy"] if is_classifier else means["l2"],  # l2 is the regression's loss
        "val_l1": means["l1"],
        "val_l2": means["l2"],
        "val_accuracy": means["accuracy"] if is_classifier else None,
    }


def _check_finite(cell: Cell, step: int, *losses: float | None) -> None:
    if not all(math.isfinite(value) for value in losses if value is not None):
        raise DataError(
            f"train {cell.dataset}-{cell.model}: the loss is not finite at step {step}; "
            "lower train.lr or train.clip_norm"
        )


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@torch.inference_mode()
def _draw(model: nn.Module, data: Data, path: Path) -> None:
    model.eval()
    rows = loader.spread(len(data.val), _PICTURES)
    L_norm, ab_norm = to_networks(next(loader.evaluation_batches(data.val, _PICTURES, rows)), data.weights.device)
    history.draw(path, L_norm, model(L_norm), ab_norm)
