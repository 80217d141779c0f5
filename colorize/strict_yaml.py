"""YAML as the parameter and source files use it: safe, numbers as in YAML 1.2, no key twice."""

import re
from pathlib import Path

import yaml

from colorize.runtime import ParameterError


class _Loader(yaml.SafeLoader):
    """PyYAML follows YAML 1.1, in which `1e-4` is a text and the last of two equal keys wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """A dict; a repeated key is an error."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {repeated[0]!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path}: expected keys such as `train:`, found {type(values).__name__}")
    return values
