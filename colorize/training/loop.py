"""Train one model on one data set: the loop over the steps, validation, pictures and checkpoints."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from colorize import runtime
from colorize.color import targets
from colorize.data import loader, order
from colorize.data.split import Split
from colorize.data.transform import to_networks
from colorize.evaluation import measuring
from colorize.layout import Folders, Run
from colorize.models import blocks, files
from colorize.models.contract import Classifier, Network, build_model, check_output
from colorize.ops import compiled
from colorize.prior.files import load_tensor
from colorize.runtime import DataError
from colorize.training import checkpoint, describe, distributed, sharing, validation
from colorize.training.checkpoint import Checkpoints
from colorize.training.history import History
from colorize.training.step import Objective, Step

if TYPE_CHECKING:
    from colorize.config.params import Train

_OF_PRIOR = ("class_weights", "measured_weights", "initial_distribution")  # files of a prior, one of each per model
_CHECK_EVERY = {"cpu": 1, "cuda": 100}  # steps between two checks for a failed step; each check waits for the device


class Data(NamedTuple):
    """The inputs of a training."""

    train: Split
    val: Split
    weights: validation.Weights  # (Q,) each, on the device
    initial_distribution: Tensor  # (Q,) the constant distribution with the lowest loss, on the CPU


def train(
    run: Run,
    settings: Train,
    options: targets.Options,
    folders: Folders,
    code: str,
    device: str,
    check: Callable[[], None] = lambda: None,
) -> Checkpoints:
    """Train a model, and save it with its history.

    Args:
        run: data set, model and seed.
        settings: the section `train` of the parameters.
        options: options of the soft targets.
        folders: folders of all inputs and outputs.
        code: hash of the code; a training resumes only from checkpoints of the same code.
        device: device to train on.
        check: called after each saved checkpoint; raises an error if the training must stop.

    Returns:
        the checkpoints; the caller removes them when the stage has succeeded.

    Raises:
        DataError: an input is missing or damaged, the checkpoints differ between processes, or the loss or its
            gradient is not finite.
        ParameterError: the device does not support the precision, or `train.batch_size` is not a multiple of
            the number of processes.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    # By default, deterministic mode fills each new tensor. This costs time, and no code here reads unwritten memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # defined by the class of the module
    with distributed.join(device) as group:
        data = _open(run, folders, group.device)
        sidecar = {
            "model": run.model,
            "dataset": run.dataset,
            "seed": run.seed,
            "size": data.train.size,
            "width": settings.width,
            "parameters": {"train": settings.model_dump(), "soft_targets": options._asdict()},
            "manifest_sha256": {
                split.folder.parent.name: runtime.sha256_of(split.folder / "manifest.json")
                for split in (data.train, data.val)
            },
            **_parts(data.train),
            **_environment(group.device),
        }
        checkpoints = Checkpoints(checkpoint.folder_of(run.name, _key(sidecar, run, folders, group, code)), check)
        with _alone(run, folders, group, checkpoints) as is_done:
            if is_done:
                return checkpoints
            history = group.output(folders.history(run))
            model = _build(run, settings, data, history, group.device)
            training = Training(run, model, data, settings, options, group, history)
            training.run(checkpoints)
            runtime.fault_point("train-final")
            files.save(group.output(folders.model(run)), model, sidecar)
    return checkpoints


def _parts(split: Split) -> dict:
    """The data sets of a union, and their shares of the training images; empty for a plain data set."""
    if len(split.parts) == 1:
        return {}
    return {"parts": [{"dataset": p.dataset, "images": p.images, "weight": p.weight} for p in split.parts]}


def _environment(device: torch.device) -> dict:
    """The software and hardware properties that may change the weights."""
    return {
        "torch": torch.__version__,
        "device": device.type,
        "threads": torch.get_num_threads(),
    }


def _key(sidecar: dict, run: Run, folders: Folders, group: distributed.Processes, code: str) -> dict:
    """Everything that determines the weights."""
    prior = {name: runtime.sha256_of(path) for name, path in _prior_files(run, folders).items()}
    return {
        **sidecar,
        "code_sha256": code,
        "prior": prior,
        "processes": group.size,
        "compiled": runtime.is_compiling(),
    }


def _alone(
    run: Run, folders: Folders, group: distributed.Processes, checkpoints: Checkpoints
) -> contextlib.AbstractContextManager[bool]:
    """Return `sharing.alone` for a single process, and a context that yields False for a group of processes.

    A group does not use `sharing.alone`, because its processes could not agree on whether to wait.
    """
    if group.size > 1:
        return contextlib.nullcontext(False)
    outs = {"model": folders.model(run), "history": folders.history(run)}
    return sharing.alone(checkpoints.folder, f"train {run.name}", outs)


def _prior_files(run: Run, folders: Folders) -> dict[str, Path]:
    folder = folders.prior(run.dataset)
    return {name: folder / f"{name}-{run.model}.npy" for name in _OF_PRIOR}


def _open(run: Run, folders: Folders, device: torch.device) -> Data:
    prior = {name: load_tensor(path) for name, path in _prior_files(run, folders).items()}
    train, val = (Split(folders.shards(split, run.dataset)) for split in ("train", "val"))
    weights = validation.Weights(prior["class_weights"].to(device), prior["measured_weights"].to(device))
    return Data(train, val, weights, prior["initial_distribution"])


def _seed_of(run: Run) -> int:
    """The seed of the initial weights, the order of the images and the flips."""
    assert run.seed is not None  # a baseline is not trained
    return run.seed


def _build(run: Run, settings: Train, data: Data, history_folder: Path, device: torch.device) -> Network:
    """Build the model with its initial weights, and write `layers.json` for the report."""
    torch.manual_seed(_seed_of(run))
    model = build_model(run.model, settings.width, settings.pretrained)
    check_output(run.model, model)
    layers = describe.describe(run.model, model, settings.width, data.train.size)
    runtime.write_json(history_folder / "layers.json", layers)
    if isinstance(model, Classifier) and settings.head_bias == "prior":
        distribution = data.initial_distribution.clamp_min(1e-9)  # the logarithm of 0 is not finite
        blocks.set_head_bias(model.head, distribution)
    return model.to(device).to(memory_format=torch.channels_last)


class Training:
    """The state of a training between two steps, and the methods that continue it.

    Args:
        run: data set, model and seed.
        model: network to train, on the device of the group.
        data: the inputs.
        settings: the section `train` of the parameters.
        options: options of the soft targets.
        group: this process of the group.
        folder: folder of the history.
    """

    def __init__(
        self,
        run: Run,
        model: Network,
        data: Data,
        settings: Train,
        options: targets.Options,
        group: distributed.Processes,
        folder: Path,
    ):
        self._run, self._model, self._data, self._settings, self._options = run, model, data, settings, options
        self._group = group
        self._folder = folder
        objective = Objective(model, data.weights.loss, options, settings.precision)
        self._take_step = Step(group.distribute(objective), settings, group.device)
        at_once = measuring.images_at_once(group.device, data.train.size)
        self._predict = compiled.in_batches_of(at_once, objective.predict, group.device)
        self._history = History(folder / "history.csv")
        self._best_loss = math.inf
        self._best: dict[str, Tensor] = {}
        self._loss, self._count = torch.zeros((), dtype=torch.float64, device=group.device), 0
        self._step = 0  # steps taken

    def run(self, checkpoints: Checkpoints) -> None:
        """Take all remaining steps. Afterwards, the model has the weights that `train.select` chooses.

        Args:
            checkpoints: checkpoints of this training. It starts from the latest one, if any, and saves new ones.

        Raises:
            DataError: the checkpoints differ between processes, or the loss or its gradient is not finite.
            ParameterError: `train.batch_size` is not a multiple of the number of processes.
        """
        self._resume(checkpoints)
        share = self._group.share(self._settings.batch_size)
        batches = loader.training_batches(
            self._data.train,
            self._settings.batch_size,
            _seed_of(self._run),
            self._group.device,
            runtime.cache_place(),
            self._step,
            share,
        )
        if not self._step:
            self._look()
        with (
            contextlib.closing(batches),
            runtime.progress(f"train {self._run.name}", self._settings.steps, "steps") as advance,
        ):
            advance(self._step)
            while self._step < self._settings.steps:
                with runtime.finish_step():
                    self._model.train()
                    self._loss += self._group.mean(self._take_step(self._step, *to_networks(next(batches))))
                    self._count += 1
                    self._step += 1
                    self._look()
                    if checkpoints.is_due() or self._step == self._settings.steps:
                        self._save(checkpoints)
                    advance(1)
        if self._settings.select == "best":
            self._model.load_state_dict(self._best)

    def _save(self, checkpoints: Checkpoints) -> None:
        self._check_steps()  # a checkpoint must not contain a failed step
        if self._group.rank == 0:
            checkpoints.save(self._step, self.state_dict())
        if runtime.stop_requested():
            where = f"after step {self._step} of {self._settings.steps}"
            runtime.note(f"train {self._run.name}: stops {where}; run again to resume")

    def _resume(self, checkpoints: Checkpoints) -> None:
        found = checkpoints.latest()
        step = found[0] if found else 0
        if self._group.mean(torch.tensor(float(step), device=self._group.device)) != step:
            raise DataError(
                f"{checkpoints.folder}: not the same for all processes; put it on a disk that all of them share"
            )
        if found:
            self.load_state_dict(found[1])
            self._step = step
            runtime.note(f"train {self._run.name}: resumes after step {step}")

    def state_dict(self) -> dict:
        """Everything that the next steps depend on, and the files written so far.

        The files are included because DVC empties an out before it runs the stage again.
        """
        return {
            "model": self._model.state_dict(),
            "step": self._take_step.state_dict(),
            "best_loss": self._best_loss,
            "best": self._best,
            "loss": self._loss,
            "count": self._count,
            "history": self._history.rows,
            "files": checkpoint.pack(self._folder),
            "random": checkpoint.random_state(self._group.device),
        }

    def load_state_dict(self, state: dict) -> None:
        """Restore the result of `state_dict`, including the files."""
        self._model.load_state_dict(state["model"])
        self._take_step.load_state_dict(state["step"])
        self._best_loss, self._best = state["best_loss"], state["best"]
        self._loss.copy_(state["loss"])
        self._count = state["count"]
        self._history.rows = state["history"]
        checkpoint.unpack(state["files"], self._folder)
        checkpoint.set_random_state(state["random"], self._group.device)

    def _look(self) -> None:
        """Run the validation, checks and pictures that are due at this step."""
        is_last = self._step == self._settings.steps
        if is_last or self._step % _CHECK_EVERY[self._group.device.type] == 0:
            self._check_steps()
        if is_last or self._step % self._settings.val_every == 0:
            self._validate()
        if self._step and (is_last or self._step % self._settings.pictures_every == 0):
            path = self._folder / "pictures" / f"step-{self._step:06d}.png"
            validation.write_picture(self._model, self._predict, self._data.val, self._group.device, path)

    def _validate(self) -> None:
        """Validate, add a row to the history, and copy the weights if they are the best so far."""
        train_loss = (self._loss / self._count).item() if self._count else None
        train, val, weights, _ = self._data
        row = validation.validate(
            self._model, self._predict, train, val, weights, self._options, self._settings.val_images
        )
        self._history.add(step=self._step, train_loss=train_loss, **row)
        if wrong := [name for name, value in row.items() if not math.isfinite(value)]:
            raise self._divergence(f"{wrong[0]} is not finite after {self._step} steps")
        val_loss = row["val_loss"]
        self._loss.zero_()
        self._count = 0
        if self._settings.select == "best" and val_loss < self._best_loss:
            self._best_loss = val_loss
            self._best = {name: tensor.detach().clone() for name, tensor in self._model.state_dict().items()}

    def _check_steps(self) -> None:
        failed = self._take_step.failed_at()
        if failed is None:
            return
        train, seed = self._data.train, _seed_of(self._run)
        selection = next(order.training_order(train.parts, self._settings.batch_size, seed, failed))
        keys = train.keys(selection.rows).tolist()
        raise self._divergence(f"the loss or its gradient is not finite at step {failed}, images {keys}")

    def _divergence(self, what: str) -> DataError:
        return DataError(f"train {self._run.name}: {what}; lower train.lr or train.clip_norm")
