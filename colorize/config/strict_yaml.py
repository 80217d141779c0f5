"""Read YAML files as frozen, typed objects: scalars of YAML 1.2, no duplicate keys, all problems in one message.

settings = load(Path("params.yaml"), Settings, missing="no such file")     # Settings is a Section
"""

import difflib
import re
import reprlib
from collections import Counter
from pathlib import Path
from typing import TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from colorize.runtime import ParameterError, explain_os_error, read_bytes, without_secrets

MAX_BYTES = 1 << 20  # of a file that people write
Model = TypeVar("Model", bound=BaseModel)


class _Shown(reprlib.Repr):
    """Shortens wrong values for messages: nested YAML aliases can make a value huge. URLs lose their secrets."""

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(without_secrets(x), level)


_shown = _Shown()
_shown.maxlevel, _shown.maxstring, _shown.maxlong, _shown.maxother = 2, 80, 80, 80


class Section(BaseModel):
    """A mapping in a YAML file: no type conversions, no unknown keys, no NaN or infinity; immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _Loader(yaml.SafeLoader):
    """Reads scalars by the core schema of YAML 1.2, as DVC does; a number with another value in YAML 1.1 is a string.

    PyYAML follows YAML 1.1: `1e-4` is a string, `010` is 8, `1:30` is 90, and `yes` is true. It also accepts a key that
    is repeated, and uses the last value.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Build a dict; raise an error for a repeated key."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            keys = Counter(self.construct_object(key, deep=True) for key, _ in node.value)
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {keys.most_common(1)[0][0]!r} appears twice", node.start_mark
            )
        return mapping


_Loader.yaml_implicit_resolvers = {}  # removes the resolvers of YAML 1.1
for _tag, _pattern, _first_characters in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9]\d*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?((\d+\.\d*|\.\d+)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first_characters)


class FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # some builds of PyYAML lack it
    """Reads scalars as `_Loader`, ten times as fast; accepts repeated keys; for generated files such as `dvc.lock`."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def read(path: Path, missing: str) -> dict:
    """Read the mapping in a YAML file.

    Args:
        path: path of the file.
        missing: text after the path in the error message if the file does not exist.

    Raises:
        ParameterError: the file does not exist, cannot be read, is too large, is not YAML, or is not a mapping.
    """
    try:
        values = yaml.load(read_bytes(path, MAX_BYTES).decode("utf-8"), _Loader)
    except FileNotFoundError:
        raise ParameterError(f"{path}: {missing}") from None
    except OSError as error:
        raise ParameterError(explain_os_error(error)) from None
    except Exception as error:  # PyYAML raises almost anything on odd tags, long numbers and deep nesting
        raise ParameterError(f"{path}: not valid YAML: {without_secrets(' '.join(str(error).split()))}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path}: expected keys such as `train:`, found {type(values).__name__}")
    return values


def load(path: Path, model: type[Model], missing: str) -> Model:
    """Read and check a YAML file.

    Args:
        path: path of the file.
        model: class of the result.
        missing: text after the path in the error message if the file does not exist.

    Raises:
        ParameterError: the file is missing, not YAML, or contains wrong values; the message names all of them.
    """
    return check(read(path, missing), path, model)


def check(values: dict, path: Path, model: type[Model]) -> Model:
    """Check the mapping that was read from a file.

    Args:
        values: the mapping.
        path: path of the file, for error messages.
        model: class of the result.

    Raises:
        ParameterError: there are wrong values; the message names all of them.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(explain(problem, model) for problem in error.errors())
        raise ParameterError(f"{path}: {problems}") from None


def explain(problem: ErrorDetails, model: type[BaseModel]) -> str:
    """Error message for one problem that pydantic reports.

    Args:
        problem: an item of `ValidationError.errors()`.
        model: class that was validated; for an unknown key, the message suggests the most similar key.
    """
    where = ".".join(str(part) if str(part).isprintable() else repr(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{where} is missing"
    if problem["type"] == "extra_forbidden":
        return f"{where}: no such key{_suggestion(problem['loc'], model)}"
    message = problem["msg"].removeprefix("Value error, ")
    message = (f"{where}: " if where else "") + message[0].lower() + message[1:]
    if isinstance(problem["input"], dict):  # the section as a whole
        return message
    return f"{message}, found {_shown.repr(problem['input'])}"


def _suggestion(location: tuple, section: type[BaseModel]) -> str:
    for part in location[:-1]:
        # for a key of a dict or an index of a list, `section` is already the model of the items
        section = next(iter(_models_in(_fields(section).get(part))), section)
    near = difflib.get_close_matches(str(location[-1]), list(_fields(section)), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _fields(section: type[BaseModel]) -> dict[str, object]:
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """Models that a type contains, such as `Split` in `dict[str, Split] | None`."""
    parts = get_args(annotation)
    if not parts and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in parts for model in _models_in(part)]
