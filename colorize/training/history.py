"""Records of a training for inspection: the history CSV and pictures of validation images."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colorize import runtime
from colorize.color import cielab
from colorize.models import output as outputs

COLUMNS = (
    "step",
    "train_loss",  # mean over the steps since the last row, in training mode
    "val_loss",
    "val_l1",
    "val_l2",
    "val_accuracy",
    "train_l2",  # of fixed training images, in evaluation mode, as all columns below and all of `val_`
    "train_cross_entropy",
    "train_weighted_cross_entropy",
    "train_class_weight",  # mean of the class weights of these images
    "val_cross_entropy",
    "val_weighted_cross_entropy",
    "val_class_weight",
)


class History:
    """The validation history: a CSV file that is written again after each new row.

    Args:
        path: path of the CSV file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows: list[dict] = []

    def add(self, **row: float | None) -> None:
        """Append a row with values for `COLUMNS`, and write the file; a value that is None or missing stays empty."""
        self.rows.append(row)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        for values in self.rows:
            table.writerow([_number(values.get(column)) for column in COLUMNS])
        runtime.write_text(self.path, text.getvalue())


def _number(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.6g}"


def write_sheet(path: Path, L_norm: Tensor, output: Tensor, ab_norm: Tensor) -> None:
    """Write a contact sheet: input, prediction and truth in three rows.

    Args:
        path: path of the PNG file.
        L_norm: (B, 1, H, W).
        output: output of the model, (B, 2, H, W) ab_norm or (B, Q, h, w) logits.
        ab_norm: (B, 2, H, W), the truth.
    """
    from PIL import Image

    rows = (torch.zeros_like(ab_norm), outputs.to_ab_norm(output, ab_norm.shape[-2:]), ab_norm)
    sheet = np.concatenate([_strip(L_norm, ab) for ab in rows])
    with runtime.atomic_write(path) as file:
        Image.fromarray(sheet).save(file, format="PNG")


def _strip(L_norm: Tensor, ab_norm: Tensor) -> np.ndarray:
    """The images of a batch side by side, (H, B * W, 3) uint8 RGB."""
    rgb = cielab.lab_to_rgb(cielab.join_lab(L_norm, ab_norm))  # (B, 3, H, W)
    return np.concatenate(list(rgb.movedim(1, -1).cpu().numpy()), axis=1)
