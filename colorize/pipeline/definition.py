"""The definition of one stage in `dvc.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import yaml

from colorize.runtime import DataError, first_line, read_bytes

RECORDS = Path("data/records")  # one file per stage; no stage depends on them
PARAMS = Path("params.yaml")
_MAX_BYTES = 1 << 20  # of dvc.yaml

_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLACEHOLDER = re.compile(r"\$\{(?:key|item(?:\.(\w+))?)\}")


class Definition(NamedTuple):
    """One stage, with the values of its loop variables filled in."""

    name: str  # as DVC calls it, such as train@objects-unet-0
    params: tuple[str, ...]  # dotted keys
    deps: tuple[Path, ...]
    outs: tuple[Path, ...]  # with the metrics, without the record
    record: Path

    @property
    def what(self) -> str:
        """Name for messages and locks, such as "train objects-unet-0"."""
        return self.name.replace("@", " ")

    def check_links(self) -> None:
        """Check that no folder above an out is a link.

        Raises:
            DataError: DVC would refuse to store the results behind a link, but only after all the work.
        """
        for out in self.outs:
            if link := next((folder for folder in out.parents if folder.is_symlink()), None):
                raise DataError(
                    f"{link}: a link, and DVC stores no results behind it; make it a folder; to use another disk, run "
                    "`dvc cache dir --local FOLDER` and `dvc config --local cache.type symlink`"
                )

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders that the stage fills; for an out with a suffix, which is a file, its parent folder."""
        return tuple(dict.fromkeys(out.parent if out.suffix else out for out in self.outs))


def read(
    stage: str, item: dict[str, str], path: Path = Path("dvc.yaml"), fields: Mapping[str, str] = MappingProxyType({})
) -> Definition:
    """Read the definition of a stage.

    Args:
        stage: its name in `dvc.yaml`.
        item: variables of the stage's loop and their values, such as `{"dataset": "objects"}`.
        path: path of `dvc.yaml`.
        fields: for a loop over a mapping, fields of the item's value, such as `{"first": "objects"}`.

    Raises:
        DataError: the file is missing or does not define the stage.
    """
    try:
        found = yaml.load(read_bytes(path, _MAX_BYTES), _YAML)["stages"][stage]
        found = found.get("do", found)
        outs = [_name_of(out) for key in ("outs", "metrics") for out in found.get(key, [])]
        params, deps = found["params"], found["deps"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        reason = first_line(error)
        raise DataError(f"{path}: the stage {stage!r} cannot be read ({reason}); run `git checkout {path}`") from None
    values = {**item, **fields}
    paths = [Path(_filled(out, values)) for out in outs]
    name = "-".join(item.values())
    record = RECORDS / (f"{stage}-{name}.json" if item else f"{stage}.json")
    return Definition(
        name=f"{stage}@{name}" if item else stage,
        params=tuple(params),
        deps=tuple(Path(_filled(dep, values)) for dep in deps),
        outs=tuple(out for out in paths if out != record),
        record=record,
    )


def _name_of(out: str | dict) -> str:
    """Path of an out, which `dvc.yaml` gives as `path` or as `{path: options}`."""
    return out if isinstance(out, str) else next(iter(out))


def _filled(text: str, values: dict[str, str]) -> str:
    """Replace `${item.model}` by the value. `${item}` and `${key}` stand for the first value."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]] if found[1] else next(iter(values.values())), text)
