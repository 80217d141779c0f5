"""Figures 2 to 6: photographs colorized by the trained models, as the paper shows them.

The first of `datasets` stands for the paper's Tiny ImageNet, and the second for its Places. If there is only one data
set, it stands for both, and the cross-domain figure is left out. With several seeds, the figures show the models of the
first one, and their titles say so.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

from colorize.color.colorfulness import colorfulness
from colorize.layout import Cell
from colorize.report.grid import PhotoGroup, PhotoRow
from colorize.report.inputs import Inputs, Predictions
from colorize.report.labels import model_title, short_model_title
from colorize.runtime import DataError

THUMBNAIL = 8  # side of the thumbnails whose colors are compared, pixels
MIN_DISTANCE = 25.0  # images differ if `nearest` is at least this; for most crops of one photo it is less


def same_domain(inputs: Inputs, dataset: str, columns: int) -> list[PhotoGroup]:
    """Figures 2 and 3: input, predictions of every model trained on this data set, and ground truth."""
    predictions = {model: inputs.predictions(Cell(dataset, model, dataset)) for model in inputs.models}
    first = predictions[inputs.models[0]]
    keys = select_varied(first, columns)
    rows = [
        PhotoRow(short_model_title(model).replace(" with ", "\nwith "), _pictures(shown, keys))
        for model, shown in predictions.items()
    ]
    title = f"Models trained with {inputs.seed_note}" if inputs.seed_note else ""
    return [PhotoGroup([_input_row(first, keys), *rows, _truth_row(first, keys)], title)]


def worst(inputs: Inputs, dataset: str, models: list[str], columns: int) -> list[PhotoGroup]:
    """Figure 4: for each model, dissimilar images among its worst predictions, in descending order of L2.

    Raises:
        DataError: no worst predictions are saved.
    """
    groups = []
    for model in models:
        shown = inputs.predictions(Cell(dataset, model, dataset))
        candidates = np.flatnonzero(shown.is_worst)
        if not len(candidates):
            raise DataError(f"{shown.path}: no worst predictions; set `evaluate.num_worst` above 0 and run `dvc repro`")
        order = sorted(candidates, key=lambda i: (-shown.l2[i], shown.key[i]))
        order = [order[i] for i in select_unlike(shown.truth[order], columns)]
        keys = shown.key[order]
        captions = [f"L2 {shown.l2[i]:.3f}" for i in order]
        prediction = PhotoRow("prediction", _pictures(shown, keys), captions)
        title = _with_seed(inputs, f"{model_title(model)}, trained on {inputs.titles[dataset]}")
        groups.append(PhotoGroup([_input_row(shown, keys), prediction, _truth_row(shown, keys)], title))
    return groups


def named(inputs: Inputs, cell: Cell, keys: list[int]) -> list[PhotoGroup]:
    """Figure 5: images of a test split that params.yaml selects by key."""
    shown = inputs.predictions(cell)
    source, target = inputs.titles[cell.source], inputs.titles[cell.target]
    title = _with_seed(inputs, f"{model_title(cell.model)} trained on {source}, images of {target}")
    rows = [_input_row(shown, keys), PhotoRow("prediction", _pictures(shown, keys)), _truth_row(shown, keys)]
    return [PhotoGroup(rows, title)]


def cross_domain(inputs: Inputs, model: str, pair: tuple[str, str], columns: int) -> list[PhotoGroup]:
    """Figure 6: images of two data sets, with predictions of one model trained on the first, and on the second."""
    groups = []
    for target, other in (pair, pair[::-1]):
        own, foreign = (inputs.predictions(Cell(source, model, target)) for source in (target, other))
        keys = select_varied(own, columns)
        rows = [
            _input_row(own, keys),
            PhotoRow(f"trained on\n{inputs.titles[target]}", _pictures(own, keys)),
            PhotoRow(f"trained on\n{inputs.titles[other]}", _pictures(foreign, keys)),
            _truth_row(own, keys),
        ]
        title = _with_seed(inputs, f"{model_title(model)} on images of {inputs.titles[target]}")
        groups.append(PhotoGroup(rows, title))
    return groups


def select_varied(predictions: Predictions, columns: int) -> np.ndarray:
    """Keys of varied saved images, one from each of `columns` equal sections of the split.

    Images with neighboring keys show the same class or photo, so different sections give different subjects. From each
    section, the most colorful image is taken that differs from the images taken before. If no image of the section
    differs enough, the least similar one is taken.

    Returns:
        (min(columns, saved),) int64, ascending.

    Raises:
        DataError: no predictions are saved.
    """
    saved = np.flatnonzero(predictions.is_saved)
    if not len(saved):
        raise DataError(
            f"{predictions.path}: no saved predictions; set `evaluate.num_saved` above 0 and run `dvc repro`"
        )
    colors = sorted_colors(predictions.truth)
    chosen: list[int] = []
    for part in np.array_split(saved, min(columns, len(saved))):
        distances = {i: nearest(colors, i, chosen) for i in part}
        unlike = [i for i in part if distances[i] >= MIN_DISTANCE]
        if unlike:
            chosen.append(max(unlike, key=lambda i: (colorfulness(predictions.truth[i]), -i)))
        else:
            chosen.append(max(part, key=lambda i: distances[i]))
    return predictions.key[chosen]


def select_unlike(images: np.ndarray, count: int) -> list[int]:
    """Positions of the first images that differ from each other, and of the least similar others if too few differ.

    Args:
        images: (N, S, S, 3) uint8, in order of preference.
        count: number of images to choose.

    Returns:
        min(count, N) positions, ascending.
    """
    colors = sorted_colors(images)
    chosen: list[int] = []
    for i in range(len(images)):
        if len(chosen) < count and nearest(colors, i, chosen) >= MIN_DISTANCE:
            chosen.append(i)
    while len(chosen) < min(count, len(images)):
        others = [i for i in range(len(images)) if i not in chosen]
        chosen.append(max(others, key=lambda i: nearest(colors, i, chosen)))
    return sorted(chosen)


def sorted_colors(images: np.ndarray) -> np.ndarray:
    """(N, S, S, 3) uint8 -> (N, THUMBNAIL^2, 3) float32: thumbnails, with the values of each channel sorted.

    The order of the pixels is lost, so two crops of one photo are similar even if one is shifted.
    """
    side = (THUMBNAIL, THUMBNAIL)
    small = [np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BOX)) for image in images]
    return np.sort(np.stack(small).reshape(len(images), -1, 3), axis=1).astype(np.float32)


def nearest(colors: np.ndarray, i: int, chosen: list[int]) -> float:
    """Mean absolute difference (0 to 255) of image i to the most similar image of `chosen`; infinite if this is empty.

    For each channel, the mean difference is the Wasserstein distance between the two distributions of values.
    """
    return min((float(np.abs(colors[i] - colors[j]).mean()) for j in chosen), default=float("inf"))


def _with_seed(inputs: Inputs, title: str) -> str:
    """The title of a figure, which names the seed if there are several."""
    return f"{title} ({inputs.seed_note})" if inputs.seed_note else title


def _input_row(predictions: Predictions, keys: Iterable[int]) -> PhotoRow:
    return PhotoRow("input", list(predictions.gray[predictions.positions_of(keys)]))


def _truth_row(predictions: Predictions, keys: Iterable[int]) -> PhotoRow:
    return PhotoRow("ground truth", list(predictions.truth[predictions.positions_of(keys)]))


def _pictures(predictions: Predictions, keys: Iterable[int]) -> list[np.ndarray]:
    return list(predictions.predicted[predictions.positions_of(keys)])
