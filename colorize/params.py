"""The parameter file as frozen, typed objects; every error of the file is reported at once.

`params.yaml` and the files in `profiles/` hold every value: nothing here has a default, so that the file shows all
there is to change. Numbers follow YAML 1.2 (`1e-4` is a number), duplicate keys are refused.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from colorize import strict_yaml
from colorize.models import MODELS
from colorize.runtime import ParameterError

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class Shard(_Section):
    """How raw images become shards."""

    size: Annotated[int, Field(ge=16, le=1024, multiple_of=16)]  # side of the square images, pixels
    per_shard: Count  # images of the listing that share a tar
    gray: Literal["keep", "drop"]  # what becomes of images without colour
    max_reject_fraction: Fraction  # of a split's images; more broken ones fail the stage


class SoftTargets(_Section):
    """How a colour becomes a distribution over the ab bins."""

    sigma: Positive  # of the Gaussian, CIELAB units
    num_neighbors: Annotated[int, Field(ge=1, le=32)]
    encode: Literal["pixel", "bin"]  # distances from the pixel's own ab, or from the centre of its bin


class Prior(_Section):
    """How the prior becomes class weights."""

    lambda_: Annotated[float, Field(gt=0, le=1, alias="lambda")]  # share of the uniform distribution


class Train(_Section):
    """One training; the same values for every model."""

    seed: CountOrZero
    width: Annotated[float, Field(gt=0, le=4)]  # multiplies the channels
    pretrained: bool  # ImageNet weights in the regression's encoder
    head_bias: Literal["prior", "zero"]  # start of the classifiers' last bias
    batch_size: Count
    steps: Count
    lr: Positive
    schedule: Literal["constant", "cosine"]  # of the learning rate over the steps
    beta1: Momentum
    beta2: Momentum
    weight_decay: NotNegative
    clip_norm: Positive  # of the whole gradient
    select: Literal["best", "last"]  # weights that are kept: of the lowest validation loss, or of the last step
    val_every: Count  # steps
    val_images: Count  # at most so many, evenly spaced over the split
    pictures_every: Count  # steps


class Evaluate(_Section):
    """What evaluation keeps besides the metrics."""

    num_saved: Count  # test predictions a data set, evenly spaced
    num_worst: CountOrZero
    named: dict[Name, list[CountOrZero]]  # data set: keys of test images that are kept as well


class Figure5(_Section):
    """The figure of named images: `evaluate.named` of the target."""

    source: Name
    target: Name
    model: Name


class Report(_Section):
    """What the figures show."""

    columns: Count  # images in a figure
    figure4_models: list[Name]
    figure5: Figure5
    figure6_model: Name


class Settings(_Section):
    """All of `params.yaml`."""

    datasets: Annotated[list[Name], Field(min_length=1)]
    models: Annotated[list[Name], Field(min_length=1)]
    shard: Shard
    soft_targets: SoftTargets
    prior: Prior
    train: Train
    evaluate: Evaluate
    report: Report

    @field_validator("datasets", "models")
    @classmethod
    def _is_without_repeats(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("a name stands there twice")
        return names

    @field_validator("models")
    @classmethod
    def _are_known(cls, names: list[str]) -> list[str]:
        unknown = [name for name in names if name not in MODELS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no such model; there are {', '.join(MODELS)}")
        return names

    def data_set(self, name: str) -> str:
        """`name`, checked to be one of `datasets`."""
        return _known(name, self.datasets, "datasets")

    def model(self, name: str) -> str:
        """`name`, checked to be one of `models`."""
        return _known(name, self.models, "models")


def _known(name: str, names: list[str], key: str) -> str:
    if name not in names:
        raise ParameterError(f"{name} is not in params.yaml's `{key}` ({', '.join(names)})")
    return name


def load(path: Path | str = "params.yaml") -> Settings:
    """Read and check a parameter file.

    Raises:
        ParameterError: the file is missing, not YAML, or holds wrong values; one line that names all of them.
    """
    values = strict_yaml.read(Path(path), missing="no such file; start in the repository's top folder")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_explain(problem) for problem in error.errors())
        raise ParameterError(f"{path}: {problems}") from None


def _explain(problem: dict) -> str:
    """One finding of pydantic in a user's words."""
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{where} is missing"
    if problem["type"] == "extra_forbidden":
        return f"{where}: no such key{_suggestion(problem['loc'])}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}, found {problem['input']!r}"


def _suggestion(location: tuple) -> str:
    section: type[BaseModel] = Settings
    for part in location[:-1]:
        section = _fields(section)[part]
    near = difflib.get_close_matches(str(location[-1]), list(_fields(section)), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _fields(section: type[BaseModel]) -> dict[str, type]:
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}
