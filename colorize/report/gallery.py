"""The gallery: the saved test predictions of every data set as one static page, readable without network or script.

One sprite (a column of all saved images) a model and target keeps it at a dozen files a data set however many images
are saved. The page runs nothing: its content policy allows images beside it and its own style sheet, known by hash.
"""

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from colorize.report.inputs import Inputs, Predictions, dataset_title, short_title
from colorize.runtime import DataError

TEMPLATES = Path(__file__).with_name("templates")
EDGE = 1  # pixels repeated around each photo of a sprite, so that scaling does not blend in its neighbors


@dataclass(frozen=True)
class Column:
    """One sprite with its heading; `l2` holds a number an image for predictions, else None."""

    group: str
    title: str
    file: str
    sprite: np.ndarray  # (N * (S + 2 EDGE), S + 2 EDGE[, 3]) uint8
    l2: np.ndarray | None


@dataclass(frozen=True)
class Section:
    """Everything shown of one target data set."""

    dataset: str
    keys: np.ndarray  # (N,) of the saved images
    sources: list[str]  # where each came from
    columns: list[Column]
    size: int


def build(inputs: Inputs) -> dict[str, bytes]:
    """Every file of the gallery by name: `index.html` and the sprites.

    Raises:
        DataError: a model saved other images of a target than the first one did.
    """
    sections = [_section(inputs, target) for target in inputs.datasets]
    files = {column.file: _encode_png(column.sprite) for section in sections for column in section.columns}
    return {"index.html": render(sections).encode()} | files


def render(sections: list[Section]) -> str:
    """The page; every text goes through jinja2's escaping."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = environment.get_template("gallery_style.html.j2").render(sections=sections, positions=sprite_positions)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    views = [
        {"section": section, "title": dataset_title(section.dataset), "images": _images(section)}
        for section in sections
    ]
    return environment.get_template("gallery.html.j2").render(views=views, style=style, style_hash=digest)


def sprite_positions(count: int, size: int) -> dict:
    """CSS percentages that put image i of a sprite exactly into a square element of any size.

    A background's position p moves it by p (element - background), hence the differences below the fractions.
    """
    pitch, height = size + 2 * EDGE, count * (size + 2 * EDGE)
    return {
        "width": f"{100 * pitch / size:.4f}%",
        "height": f"{100 * height / size:.4f}%",
        "rows": [f"{100 * (i * pitch + EDGE) / (height - size):.4f}%" for i in range(count)],
    }


def _section(inputs: Inputs, target: str) -> Section:
    first = inputs.predictions(target, inputs.models[0], target)
    keys = first.key[first.is_saved]
    if not len(keys):
        raise DataError(f"{first.path}: no saved predictions; set `evaluate.num_saved` above 0 and run `dvc repro`")
    rows = first.rows(keys)
    columns = [Column("", "input", f"{target}-input.png", _sprite(first.gray[rows]), None)]
    for source in [target, *(name for name in inputs.datasets if name != target)]:
        columns += [_prediction_column(inputs, source, model, target, keys) for model in inputs.models]
    columns.append(Column("", "ground truth", f"{target}-truth.png", _sprite(first.truth[rows]), None))
    names = [str(name) for name in first.source[rows]]
    return Section(target, keys, names, columns, first.truth.shape[1])


def _prediction_column(inputs: Inputs, source: str, model: str, target: str, keys: np.ndarray) -> Column:
    cell: Predictions = inputs.predictions(source, model, target)
    if not np.array_equal(cell.key[cell.is_saved], keys):
        raise DataError(f"{cell.path}: its saved test images differ from those of the first model; run `dvc repro`")
    rows, title = cell.rows(keys), short_title(model)
    group = f"trained on {dataset_title(source)}"
    return Column(group, title, f"{target}-by-{source}-{model}.png", _sprite(cell.predicted[rows]), cell.l2[rows])


def _images(section: Section) -> list[dict]:
    """What the template shows of each image: its key, its source and a tile a column."""
    errors = [column.l2 for column in section.columns if column.l2 is not None]
    best = np.min(errors, axis=0) if errors else np.zeros(len(section.keys))
    return [
        {
            "key": int(key),
            "source": section.sources[i],
            "tiles": [
                {
                    "title": column.title,
                    "group": column.group,
                    "l2": None if column.l2 is None else f"{column.l2[i]:.4f}",
                    "is_best": column.l2 is not None and bool(column.l2[i] == best[i]),
                }
                for column in section.columns
            ],
        }
        for i, key in enumerate(section.keys)
    ]


def _sprite(images: np.ndarray) -> np.ndarray:
    """(N, S, S[, 3]) stacked downwards, each with its border repeated."""
    pad = [(0, 0), (EDGE, EDGE), (EDGE, EDGE)] + [(0, 0)] * (images.ndim - 3)
    padded = np.pad(images, pad, mode="edge")  # (N, S + 2, S + 2[, 3])
    return padded.reshape(-1, *padded.shape[2:])


def _encode_png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
