"""YAML files as frozen, typed objects: safe, scalars as in YAML 1.2, no key twice, every problem in one line.

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

from colorize.runtime import ParameterError

Model = TypeVar("Model", bound=BaseModel)
_shown = reprlib.Repr()  # of a wrong value: short, even where aliases of aliases make it endless
_shown.maxlevel, _shown.maxstring, _shown.maxlong, _shown.maxother = 2, 80, 80, 80


class Section(BaseModel):
    """A mapping in such a file: no conversions, no unknown keys, no nan; cannot be changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _Loader(yaml.SafeLoader):
    """Reads scalars by YAML 1.2's core schema, as DVC does, without the numbers on which 1.1 and 1.2 differ.

    PyYAML follows YAML 1.1, in which `1e-4` is a text, `010` is 8, `1:30` is 90, `yes` is true, and the last of two
    equal keys wins.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """A dict; a repeated key is an error."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            keys = Counter(self.construct_object(key, deep=True) for key, _ in node.value)
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {keys.most_common(1)[0][0]!r} appears twice", node.start_mark
            )
        return mapping


_Loader.yaml_implicit_resolvers = {}  # none of those of YAML 1.1
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


class FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # some PyYAML lack it
    """The same scalars for files that a program wrote, such as `dvc.lock`; ten times as fast."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def read(path: Path, missing: str) -> dict:
    """The mapping that a file holds.

    Args:
        path: of the file.
        missing: what to say, after the path, when there is no such file.

    Raises:
        ParameterError: there is no such file, it is not YAML, or no mapping.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError:
        raise ParameterError(f"{path}: {missing}") from None
    except Exception as error:  # PyYAML raises almost anything on odd tags, long numbers and deep nesting
        raise ParameterError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path}: expected keys such as `train:`, found {type(values).__name__}")
    return values


def load(path: Path, model: type[Model], missing: str) -> Model:
    """Read and check a file.

    Args:
        path: of the file.
        model: what it must hold.
        missing: what to say, after the path, when there is no such file.

    Raises:
        ParameterError: the file is missing, not YAML, or holds wrong values; one line that names all of them.
    """
    return check(read(path, missing), path, model)


def check(values: dict, path: Path, model: type[Model]) -> Model:
    """Check what was read from a file.

    Args:
        values: that the file holds.
        path: of the file, for errors.
        model: what it must hold.

    Raises:
        ParameterError: wrong values; one line that names all of them.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(explain(problem, model) for problem in error.errors())
        raise ParameterError(f"{path}: {problems}") from None


def explain(problem: ErrorDetails, model: type[BaseModel]) -> str:
    """One of pydantic's findings in a user's words.

    Args:
        problem: an item of `ValidationError.errors()`.
        model: what was validated; where a key is unknown, the nearest of its keys is suggested.
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
        # a part that is no field is a key of a dict or a place in a list: their values were entered with the field
        section = next(iter(_models_in(_fields(section).get(part))), section)
    near = difflib.get_close_matches(str(location[-1]), list(_fields(section)), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _fields(section: type[BaseModel]) -> dict[str, object]:
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """Models that a type is made of, such as `Split` in `dict[str, Split] | None`."""
    parts = get_args(annotation)
    if not parts and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in parts for model in _models_in(part)]
