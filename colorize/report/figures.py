"""Figures 2 to 6: photographs colorized by the trained models, as the paper shows them.

The paper's Places is the second data set of `datasets`, its Tiny ImageNet the first; a single data set plays both parts
and the cross-domain figure is left out.
"""

import numpy as np
from PIL import Image

from colorize.color.colorfulness import colorfulness
from colorize.report.grid import Group, Row
from colorize.report.inputs import Inputs, Predictions, dataset_title, model_title, short_title
from colorize.runtime import DataError

THUMBNAIL = 8  # side that colors are compared at, pixels
MIN_DISTANCE = 25.0  # of `nearest`: crops of one photo are mostly nearer


def same_domain(inputs: Inputs, dataset: str, columns: int) -> list[Group]:
    """Figures 2 and 3: input, every model trained on the same data set, ground truth."""
    cells = {model: inputs.predictions(dataset, model, dataset) for model in inputs.models}
    first = cells[inputs.models[0]]
    keys = select_varied(first, columns)
    models = [
        Row(short_title(model).replace(" with ", "\nwith "), _pictures(cell, keys)) for model, cell in cells.items()
    ]
    return [Group([_input_row(first, keys), *models, _truth_row(first, keys)])]


def worst(inputs: Inputs, dataset: str, models: list[str], columns: int) -> list[Group]:
    """Figure 4: different images among those with the largest L2 of a whole test split, the worst at the left."""
    groups = []
    for model in models:
        cell = inputs.predictions(dataset, model, dataset)
        candidates = np.flatnonzero(cell.is_worst)
        if not len(candidates):
            raise DataError(f"{cell.path}: no worst predictions; set `evaluate.num_worst` above 0 and run `dvc repro`")
        order = sorted(candidates, key=lambda i: (-cell.l2[i], cell.key[i]))
        order = [order[i] for i in select_unlike(cell.truth[order], columns)]
        keys = cell.key[order]
        captions = [f"L2 {cell.l2[i]:.3f}" for i in order]
        prediction = Row("prediction", _pictures(cell, keys), captions)
        title = f"{model_title(model)}, trained on {dataset_title(dataset)}"
        groups.append(Group([_input_row(cell, keys), prediction, _truth_row(cell, keys)], title))
    return groups


def named(inputs: Inputs, source: str, model: str, target: str, keys: list[int]) -> list[Group]:
    """Figure 5: images of a test split chosen by key."""
    cell = inputs.predictions(source, model, target)
    cell.rows(keys)
    title = f"{model_title(model)} trained on {dataset_title(source)}, images of {dataset_title(target)}"
    rows = [_input_row(cell, keys), Row("prediction", _pictures(cell, keys)), _truth_row(cell, keys)]
    return [Group(rows, title)]


def cross_domain(inputs: Inputs, model: str, pair: tuple[str, str], columns: int) -> list[Group]:
    """Figure 6: one model on images of its own data set and of the other, in both directions."""
    groups = []
    for target, other in (pair, pair[::-1]):
        own, foreign = inputs.predictions(target, model, target), inputs.predictions(other, model, target)
        keys = select_varied(own, columns)
        rows = [
            _input_row(own, keys),
            Row(f"trained on\n{dataset_title(target)}", _pictures(own, keys)),
            Row(f"trained on\n{dataset_title(other)}", _pictures(foreign, keys)),
            _truth_row(own, keys),
        ]
        groups.append(Group(rows, f"{model_title(model)} on images of {dataset_title(target)}"))
    return groups


def select_varied(cell: Predictions, columns: int) -> np.ndarray:
    """Keys of a variety of saved images, one from each of `columns` equal stretches of the split.

    Neighboring keys of a listing in order are of one class or place, so stretches give different subjects. Of each it
    is the most colorful truth that is unlike those before it; where all are too like, the one that is least so.

    Returns:
        (min(columns, saved),) int64, ascending.
    """
    saved = np.flatnonzero(cell.is_saved)
    if not len(saved):
        raise DataError(f"{cell.path}: no saved predictions; set `evaluate.num_saved` above 0 and run `dvc repro`")
    colors, chosen = sorted_colors(cell.truth), []
    for part in np.array_split(saved, min(columns, len(saved))):
        distances = {i: nearest(colors, i, chosen) for i in part}
        unlike = [i for i in part if distances[i] >= MIN_DISTANCE]
        best = max(unlike, key=lambda i: (colorfulness(cell.truth[i]), -i)) if unlike else max(part, key=distances.get)
        chosen.append(best)
    return cell.key[chosen]


def select_unlike(images: np.ndarray, count: int) -> list[int]:
    """Positions of the first images that are unlike each other, filled up with what is least like those.

    Args:
        images: (N, S, S, 3) uint8, the most wanted first.
        count: how many.

    Returns:
        min(count, N) positions, ascending.
    """
    colors, chosen = sorted_colors(images), []
    for i in range(len(images)):
        if len(chosen) < count and nearest(colors, i, chosen) >= MIN_DISTANCE:
            chosen.append(i)
    while len(chosen) < min(count, len(images)):
        others = [i for i in range(len(images)) if i not in chosen]
        chosen.append(max(others, key=lambda i: nearest(colors, i, chosen)))
    return sorted(chosen)


def sorted_colors(images: np.ndarray) -> np.ndarray:
    """(N, S, S, 3) uint8 -> (N, THUMBNAIL^2, 3) float32: each channel of the thumbnails in order of its values.

    Without their places, crops of one photo that are moved against each other are still like each other.
    """
    small = [Image.fromarray(image).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX) for image in images]
    return np.sort(np.stack(small).reshape(len(images), -1, 3), axis=1).astype(np.float32)


def nearest(colors: np.ndarray, i: int, chosen: list[int]) -> float:
    """Mean absolute difference (0 to 255) of image i to the most similar of `chosen`, infinite if there is none.

    A channel's is the Wasserstein distance of its two distributions.
    """
    return min((float(np.abs(colors[i] - colors[j]).mean()) for j in chosen), default=float("inf"))


def _input_row(cell: Predictions, keys) -> Row:
    return Row("input", list(cell.gray[cell.rows(keys)]))


def _truth_row(cell: Predictions, keys) -> Row:
    return Row("ground truth", list(cell.truth[cell.rows(keys)]))


def _pictures(cell: Predictions, keys) -> list[np.ndarray]:
    return list(cell.predicted[cell.rows(keys)])
