"""YAML in C for DVC: its own parser and writer take most of the time of a command where dvc.lock has many stages."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import yaml

from colorize.config import strict_yaml


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    """Puts a string in quotation marks if YAML 1.2 could read another type."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.yaml_implicit_resolvers = {k: [*found] for k, found in strict_yaml.FastLoader.yaml_implicit_resolvers.items()}
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[\d_]+$"), [*"-+_0123456789"])  # as DVC's
_Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", repr(value)))
_Dumper.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", ""))
_Dumper.add_multi_representer(dict, lambda dumper, value: dumper.represent_dict(value.items()))


def install() -> None:
    """Have the DVC of this process use them; whatever they cannot do is left to DVC's own."""
    from dvc.utils import serialize, strictyaml
    from dvc.utils.serialize import _yaml

    parse = faster_parser(_yaml.parse_yaml)
    for module in (_yaml, serialize, strictyaml):  # each has a name of its own for the function
        module.parse_yaml = parse
    _yaml._dump = faster_writer(_yaml._dump)


def faster_parser(original: Callable) -> Callable:
    """Parse files that are read only, and dvc.lock, which DVC updates but which has no comments to keep."""

    def parse(text: str, path: str, typ: str = "safe") -> dict:
        if typ == "safe" or Path(path).name == "dvc.lock":
            with contextlib.suppress(yaml.YAMLError):
                return yaml.load(text, strict_yaml.FastLoader) or {}
        return original(text, path, typ)

    return parse


def faster_writer(original: Callable) -> Callable:
    """Write plain data; what was parsed with its comments is of another type."""

    def write(data: object, stream: TextIO) -> None:
        if type(data) is dict:
            with contextlib.suppress(yaml.YAMLError):
                stream.write(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
                return
        original(data, stream)

    return write
