"""The gallery: the saved test predictions of every data set on one static page, without network access or scripts.

A sprite is one file with all saved images of a model and a target, one below the other. There are about a dozen files
per data set. The page runs no code: its content security policy allows only the images in its folder and its own style
sheet, which a hash identifies.
"""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from colorize.layout import Cell
from colorize.report.inputs import Inputs
from colorize.report.labels import short_model_title
from colorize.runtime import DataError

TEMPLATES = Path(__file__).with_name("templates")
EDGE = 1  # pixels repeated around each photo of a sprite, so that scaling does not blend in its neighbors


@dataclass(frozen=True)
class SpriteColumn:
    """One sprite with its heading."""

    group: str
    title: str
    file: str
    sprite: np.ndarray  # (N * (S + 2 EDGE), S + 2 EDGE[, 3]) uint8
    l2: np.ndarray | None  # (N,) L2 of each image; None if the sprite shows no predictions


@dataclass(frozen=True)
class GallerySection:
    """The content of the page for one target data set."""

    title: str
    keys: np.ndarray  # (N,) keys of the saved images
    sources: list[str]  # name of each image in the raw archive
    columns: list[SpriteColumn]
    size: int  # side of the images, pixels


def render_gallery(inputs: Inputs) -> dict[str, bytes]:
    """Every file of the gallery by name: `index.html` and the sprites.

    Raises:
        DataError: no predictions are saved, or two models have different saved images of a target.
    """
    sections = [_section(inputs, target) for target in inputs.datasets]
    files = {column.file: _encode_png(column.sprite) for section in sections for column in section.columns}
    return {"index.html": render_page(sections, inputs.seed_note).encode()} | files


def render_page(sections: list[GallerySection], seed_note: str = "") -> str:
    """HTML of the page; jinja2 escapes every text.

    Args:
        sections: one per target data set.
        seed_note: which models the page shows, such as "seed 0"; empty if there is only one seed.
    """
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
    views = [{"section": section, "title": section.title, "images": _images(section)} for section in sections]
    return environment.get_template("gallery.html.j2").render(
        views=views, style=style, style_hash=digest, seed_note=seed_note
    )


def sprite_positions(count: int, size: int) -> dict[str, Any]:
    """CSS percentages that show exactly image i of a sprite in a square element of any size.

    A background position of p percent moves the sprite by p percent of (element - sprite), so the positions are divided
    by this difference.

    Args:
        count: images of the sprite.
        size: side of an image, pixels.
    """
    pitch, height = size + 2 * EDGE, count * (size + 2 * EDGE)
    return {
        "width": f"{100 * pitch / size:.4f}%",
        "height": f"{100 * height / size:.4f}%",
        "rows": [f"{100 * (i * pitch + EDGE) / (height - size):.4f}%" for i in range(count)],
    }


def _section(inputs: Inputs, target: str) -> GallerySection:
    first = inputs.predictions(Cell(target, inputs.models[0], target))
    keys = first.key[first.is_saved]
    if not len(keys):
        raise DataError(f"{first.path}: no saved predictions; set `evaluate.num_saved` above 0 and run `dvc repro`")
    positions = first.positions_of(keys)
    columns = [SpriteColumn("", "input", f"{target}-input.png", _sprite(first.gray[positions]), None)]
    for source in [target, *(name for name in inputs.datasets if name != target)]:
        columns += [_prediction_column(inputs, Cell(source, model, target), keys) for model in inputs.models]
    columns.append(SpriteColumn("", "ground truth", f"{target}-truth.png", _sprite(first.truth[positions]), None))
    names = [str(name) for name in first.source[positions]]
    return GallerySection(inputs.titles[target], keys, names, columns, first.truth.shape[1])


def _prediction_column(inputs: Inputs, cell: Cell, keys: np.ndarray) -> SpriteColumn:
    shown = inputs.predictions(cell)
    if not np.array_equal(shown.key[shown.is_saved], keys):
        raise DataError(f"{shown.path}: its saved test images differ from those of the first model; run `dvc repro`")
    positions, group = shown.positions_of(keys), f"trained on {inputs.titles[cell.source]}"
    file, sprite = f"{cell.target}-by-{cell.source}-{cell.model}.png", _sprite(shown.predicted[positions])
    return SpriteColumn(group, short_model_title(cell.model), file, sprite, shown.l2[positions])


def _images(section: GallerySection) -> list[dict[str, Any]]:
    """The values that the template shows for each image: its key, its source and one tile per column."""
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
    """(N, S, S[, 3]) -> (N (S + 2 EDGE), S + 2 EDGE[, 3]): stacked, with repeated border pixels."""
    pad = [(0, 0), (EDGE, EDGE), (EDGE, EDGE)] + [(0, 0)] * (images.ndim - 3)
    padded = np.pad(images, pad, mode="edge")  # (N, S + 2 EDGE, S + 2 EDGE[, 3])
    return padded.reshape(-1, *padded.shape[2:])


def _encode_png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=3)  # 2 % more bytes than level 6 in 40 % of its time
    return stream.getvalue()
