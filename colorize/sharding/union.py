"""Unions: data sets that join the images of two others, without copying them.

The stage `union` writes the description of a union, `sources/<name>.yaml`. It names the two members, their weights in
training, and the SHA-256 of all their files. The stage `shard` then links the members' shards. It needs no dependency
on them: as for any other data set, the checksums in the source file identify the data. So DVC runs it again if an image
of a member has changed, and does not if a member's stage has only run again. `joint.py` links the shards.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

import yaml
from pydantic import Field

from colorize import runtime
from colorize.config import strict_yaml
from colorize.config.strict_yaml import Section
from colorize.data import shards
from colorize.data.shards import SPLITS, SplitName
from colorize.layout import Folders, stage_name
from colorize.runtime import DataError

if TYPE_CHECKING:
    from colorize.config import params

_HEADER = "# Written by the stage {}. It says which shards this union links, so do not edit it.\n"


class Member(Section):
    """One of the two data sets that a union joins."""

    dataset: str
    weight: Annotated[int, Field(ge=1)]  # share of the training images: the weight divided by the sum of both weights
    sha256: dict[SplitName, str]  # of the manifest and the table of each split


class Description(Section):
    """The content of `sources/<name>.yaml`."""

    union: list[Member]


def write_description(name: str, union: params.Union, folders: Folders) -> None:
    """Write the description of a union.

    Args:
        name: name of the union.
        union: its parameters.
        folders: folders of the members' shards, and of the description.

    Raises:
        DataError: a file of a member is missing.
    """
    members = [
        {"dataset": member, "weight": weight, "sha256": {split: digest(folders, split, member) for split in SPLITS}}
        for member, weight in zip((union.first, union.second), union.mix, strict=True)
    ]
    text = yaml.safe_dump({"union": members}, sort_keys=False)
    runtime.write_text(folders.source(name), _HEADER.format(stage_name("union", name)) + text)


def digest(folders: Folders, split: SplitName, member: str) -> str:
    """SHA-256 of the manifest, which has those of the shards, and of the table of one split of a member.

    Raises:
        DataError: a file is missing.
    """
    folder = folders.shards(split, member)
    try:
        content = (folder / "manifest.json").read_bytes() + runtime.sha256_of(folder / shards.TABLE).encode()
    except OSError as error:
        command = f"dvc repro {stage_name('shard', member)}"
        raise DataError(f"{error.filename}: {error.strerror}; make it with `{command}`") from None
    return hashlib.sha256(content).hexdigest()


def find(name: str, folders: Folders) -> list[Member]:
    """The members of a union; empty if the source file of this name describes no union, or does not exist.

    Raises:
        ParameterError: the description is wrong.
    """
    path = folders.source(name)
    if not path.exists():
        return []
    values = strict_yaml.read(path, missing="no such file")
    return strict_yaml.check(values, path, Description).union if "union" in values else []
