"""Sheets of small photographs with labels. They are composed pixel by pixel, so equal pictures give equal bytes."""

from __future__ import annotations

import io
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SCALE = 2  # every pixel of a photo becomes SCALE x SCALE
GAP, GROUP_GAP, MARGIN = 6, 22, 14  # pixels
LABEL_SIZE, TITLE_SIZE, CAPTION_SIZE = 17, 19, 13
INK, FAINT, PAPER = (25, 25, 28), (105, 105, 110), (255, 255, 255)
MAX_BYTES = 200_000  # of a JPEG sheet
QUALITIES = tuple(range(90, 48, -2))  # JPEG qualities to try, best first


@dataclass(frozen=True)
class PhotoRow:
    """One labeled row of photos, each (S, S, 3) or (S, S) uint8; `captions` has one text per photo, or is empty."""

    label: str
    images: list[np.ndarray]
    captions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PhotoGroup:
    """Rows that belong together under one title (empty: no title)."""

    rows: list[PhotoRow]
    title: str = ""


def compose(groups: list[PhotoGroup]) -> Image.Image:
    """Draw the rows of all groups below each other, with labels at the left and aligned columns.

    Args:
        groups: groups with at least one row; each row has at least one image, and all images have the same size S.

    Returns:
        the sheet, RGB on a white background.
    """
    rows = [row for group in groups for row in group.rows]
    tile = rows[0].images[0].shape[0] * SCALE
    columns = max(len(row.images) for row in rows)
    label_width = max(_text_width(line, LABEL_SIZE) for row in rows for line in row.label.splitlines())
    left = MARGIN + label_width + 12
    width = max(left + columns * (tile + GAP) - GAP, MARGIN + _widest_title(groups)) + MARGIN
    sheet = Image.new("RGB", (width, _height(groups, tile)), PAPER)
    canvas, y = ImageDraw.Draw(sheet), MARGIN
    for i, group in enumerate(groups):
        y += GROUP_GAP if i else 0
        if group.title:
            canvas.text((MARGIN, y), group.title, INK, _font(TITLE_SIZE, bold=True))
            y += _title_height()
        for row in group.rows:
            _draw_row(sheet, canvas, row, left, y, tile)
            y += _row_height(row, tile) + GAP
        y -= GAP
    return sheet


def encode_jpeg(sheet: Image.Image, max_bytes: int = MAX_BYTES) -> bytes:
    """JPEG (4:4:4) at the highest of QUALITIES that gives less than `max_bytes`; else at the lowest one."""
    i = bisect_left(QUALITIES, True, key=lambda quality: len(_jpeg(sheet, quality)) < max_bytes)
    return _jpeg(sheet, QUALITIES[min(i, len(QUALITIES) - 1)])


def _jpeg(sheet: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=quality, subsampling=0, optimize=True, progressive=True)
    return stream.getvalue()


def enlarge(image: np.ndarray, scale: int = SCALE) -> Image.Image:
    """A photo as RGB at an integer multiple of its size (bicubic, which suits photographs)."""
    picture = Image.fromarray(image).convert("RGB")
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)


def _draw_row(sheet: Image.Image, canvas: ImageDraw.ImageDraw, row: PhotoRow, left: int, y: int, tile: int) -> None:
    canvas.multiline_text(
        (left - 12, y + tile // 2), row.label, INK, _font(LABEL_SIZE), anchor="rm", align="right", spacing=5
    )
    for i, image in enumerate(row.images):
        sheet.paste(enlarge(image), (left + i * (tile + GAP), y))
    for i, caption in enumerate(row.captions):
        center = left + i * (tile + GAP) + tile // 2
        canvas.text((center, y + tile + 3), caption, FAINT, _font(CAPTION_SIZE), anchor="ma")


def _height(groups: list[PhotoGroup], tile: int) -> int:
    titles = sum(_title_height() for group in groups if group.title)
    rows = sum(sum(_row_height(row, tile) + GAP for row in group.rows) - GAP for group in groups)
    return 2 * MARGIN + titles + rows + GROUP_GAP * (len(groups) - 1)


def _row_height(row: PhotoRow, tile: int) -> int:
    return tile + (CAPTION_SIZE + 7 if row.captions else 0)


def _title_height() -> int:
    return TITLE_SIZE + 13


def _widest_title(groups: list[PhotoGroup]) -> int:
    return max(_text_width(group.title, TITLE_SIZE, bold=True) for group in groups)


def _text_width(text: str, size: int, bold: bool = False) -> int:
    return int(np.ceil(_font(size, bold).getlength(text)))


@lru_cache(maxsize=8)
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans from matplotlib, so that the glyphs are the same on every machine."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
