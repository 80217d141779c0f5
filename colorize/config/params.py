"""The parameter file as frozen, typed objects; all errors of the file are reported in one message.

`params.yaml` and the files in `profiles/` contain every parameter. No parameter has a default here, so that the file
shows all parameters. Numbers follow YAML 1.2 (`1e-4` is a number); duplicate keys are refused.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from colorize.config import strict_yaml
from colorize.config.strict_yaml import Section
from colorize.layout import ALL_BASELINES, UNTRAINED
from colorize.models.registry import MODELS
from colorize.runtime import ParameterError


def _without_repeats(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name appears twice")
    return names


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=100)]  # part of names of files
Names = Annotated[list[Name], AfterValidator(_without_repeats)]
# The upper limits are far above all useful values. They keep numbers in the range of 32-bit floats and 64-bit integers.
Count = Annotated[int, Field(ge=1, le=10**9)]
CountOrZero = Annotated[int, Field(ge=0, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e30)]
NotNegative = Annotated[float, Field(ge=0, le=1e30)]
Momentum = Annotated[float, Field(ge=0, lt=1)]

# Largest product of the images in a line of a figure and their side in pixels. Figures show images at twice their size,
# and the side of a JPEG has at most 65,500 pixels.
MAX_LINE = 16_384


class Union(Section):
    """A data set that joins the images of two others. Both precede it in `datasets`, and each may be a union too."""

    first: Name
    second: Name
    mix: Annotated[list[Annotated[int, Field(ge=1, le=1_000_000)]], Field(min_length=2, max_length=2)]  # see below
    # Of mix[0] + mix[1] training images, mix[0] are from `first`, and mix[1] from `second`.


class Shard(Section):
    """How raw images become shards."""

    size: Annotated[int, Field(ge=16, le=1024, multiple_of=16)]  # side of the square images, pixels
    per_shard: Count  # images per tar, including those that are left out
    gray: Literal["keep", "drop"]  # whether images without color are kept
    min_colorfulness: NotNegative  # measure of Hasler and Suesstrunk; images with a lower value are left out
    max_reject_fraction: Fraction  # largest fraction of broken images in a split; the stage fails with more
    max_leaked: CountOrZero | None  # largest number of val and test images that are also in train; None: any


class SoftTargetsSection(Section):
    """How a color becomes a distribution over the ab bins."""

    sigma: Annotated[float, Field(ge=0.1, le=1000)]  # standard deviation of the Gaussian, CIELAB units
    num_neighbors: Annotated[int, Field(ge=1, le=32)]  # nearest bins that a color is spread over
    encode: Literal["pixel", "bin"]  # distances from the pixel's own ab, or from the center of its bin


class Prior(Section):
    """How the prior becomes class weights."""

    # Weight of the uniform distribution in the mixture; a rare bin gets a weight of up to the number of bins / lambda.
    lambda_: Annotated[float, Field(ge=1e-6, le=1, alias="lambda")]


class Train(Section):
    """Parameters of training, the same for every model."""

    width: Annotated[float, Field(gt=0, le=4)]  # factor for the number of channels
    pretrained: bool  # whether the regression's encoder starts with ImageNet weights
    head_bias: Literal["prior", "zero"]  # initial value of the classifiers' last bias
    batch_size: Annotated[int, Field(ge=1, le=2**16)]  # images
    precision: Literal["fp32", "bf16", "fp16"]  # number format of the convolutions
    steps: Count
    lr: Positive
    schedule: Literal["constant", "cosine"]  # learning rate over the steps
    beta1: Momentum
    beta2: Momentum
    weight_decay: NotNegative
    clip_norm: Positive  # largest norm of the whole gradient
    select: Literal["best", "last"]  # kept weights: those with the lowest validation loss, or those of the last step
    val_every: Count  # steps between two validations
    val_images: Count  # largest number of val images, and of train images, in a validation; evenly spaced
    pictures_every: Count  # steps between two pictures of validation predictions


class Evaluate(Section):
    """Test predictions that evaluation saves besides the metrics."""

    num_saved: Count  # predictions per data set, evenly spaced over the split
    num_worst: CountOrZero  # predictions with the largest L2 error
    named: dict[Name, list[CountOrZero]]  # data set -> keys of test images


class Figure5(Section):
    """Figure 5, which shows the images that `evaluate.named` lists for the data set `target`."""

    source: Name  # data set that the model was trained on
    target: Name
    model: Name


class Report(Section):
    """Content of the figures."""

    columns: Count  # images per line of a figure
    figure4_models: Names
    figure5: Figure5
    figure6_model: Name


class Settings(Section):
    """All of `params.yaml`."""

    datasets: Annotated[Names, Field(min_length=1)]
    unions: dict[Name, Union]  # by name, which `datasets` lists too
    models: Annotated[Names, Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]  # each model is trained once per seed
    shard: Shard
    soft_targets: SoftTargetsSection
    prior: Prior
    train: Train
    evaluate: Evaluate
    report: Report

    @field_validator("seeds")
    @classmethod
    def _are_distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed appears twice")
        return seeds

    @field_validator("models")
    @classmethod
    def _are_known(cls, names: list[str]) -> list[str]:
        if taken := [name for name in names if name in (*UNTRAINED, ALL_BASELINES)]:
            raise ValueError(f"{', '.join(taken)}: the name of a baseline, which no model can have")
        unknown = [name for name in names if name not in MODELS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no such model; the models are {', '.join(MODELS)}")
        return names

    @model_validator(mode="after")
    def _is_consistent(self) -> Settings:
        """Check the references between sections now, so that no figure fails after all trainings."""
        wanted = [("report.figure4_models", name, "models") for name in self.report.figure4_models]
        wanted += [("report.figure5.model", self.report.figure5.model, "models")]
        wanted += [("report.figure6_model", self.report.figure6_model, "models")]
        wanted += [("report.figure5.source", self.report.figure5.source, "datasets")]
        wanted += [("report.figure5.target", self.report.figure5.target, "datasets")]
        wanted += [("evaluate.named", name, "datasets") for name in self.evaluate.named]
        wanted += [("unions", name, "datasets") for name in self.unions]
        problems = [
            f"{key}: {name} is not in `{known}`" for key, name, known in wanted if name not in getattr(self, known)
        ]
        problems += [problem for name in self.unions for problem in self._problems_of_union(name)]
        if self.report.figure4_models and not self.evaluate.num_worst:
            problems.append("report.figure4_models needs worst predictions, but evaluate.num_worst is 0")
        problems += self._long_lines()
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _long_lines(self) -> list[str]:
        most = MAX_LINE // self.shard.size
        lines = {f"evaluate.named.{name}": len(keys) for name, keys in self.evaluate.named.items()}
        return [
            f"{key}: {count:,} images in a line of a figure, expected at most {most} of {self.shard.size} pixels"
            for key, count in {"report.columns": self.report.columns, **lines}.items()
            if count > most
        ]

    def _problems_of_union(self, name: str) -> list[str]:
        """What is wrong with the members of a union; for a union that is not in `datasets`, nothing more is said."""
        union, before = self.unions[name], list(itertools.takewhile(lambda other: other != name, self.datasets))
        if union.first == union.second:
            return [f"unions.{name}: first and second are both {union.first}"]
        return [
            f"unions.{name}: {member} is not before {name} in `datasets`"
            for member in (union.first, union.second)
            if member not in before and name in self.datasets
        ]

    def dataset(self, name: str) -> str:
        """Return `name`. Raises ParameterError if it is not one of `datasets`."""
        return _known(name, self.datasets, "datasets")

    def union(self, name: str) -> Union:
        """The union of this name. Raises ParameterError if it is not one of `unions`."""
        return self.unions[_known(name, list(self.unions), "unions")]

    def model(self, name: str) -> str:
        """Return `name`. Raises ParameterError if it is not one of `models`."""
        return _known(name, self.models, "models")

    def seed(self, text: str) -> int:
        """The seed that a text such as "0" names. Raises ParameterError if it is not one of `seeds`."""
        return int(_known(text, [str(seed) for seed in self.seeds], "seeds"))


def _known(name: str, names: list[str], key: str) -> str:
    if name not in names:
        raise ParameterError(f"{name} is not in `{key}` of params.yaml ({', '.join(names)})")
    return name


MISSING = "no such file; change to the top folder of the repository"


def load(path: Path | str = "params.yaml") -> Settings:
    """Read and check a parameter file.

    Raises:
        ParameterError: the file is missing, not YAML, or contains wrong values; the message names all of them.
    """
    return strict_yaml.load(Path(path), Settings, missing=MISSING)
