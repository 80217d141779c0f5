"""Figures 2 to 6: photographs colorized by the trained models, as the paper shows them.

The paper's Places is the second data set of `datasets`, its Tiny ImageNet the first; a single data set plays both parts
and the cross-domain figure is left out.
"""

import numpy as np

from colorize.colorfulness import colorfulness
from colorize.report.grid import Group, Row
from colorize.report.inputs import Inputs, Predictions, dataset_title, model_title
from colorize.runtime import DataError

SHORT_LABELS = {
    "regression": "Regression",
    "cnn": "CNN",
    "cnn_weighted": "CNN\nwith weights",
    "unet": "Unet",
    "unet_weighted": "Unet\nwith weights",
}


def short_label(model: str) -> str:
    """A model's name where there is little room."""
    return SHORT_LABELS.get(model, model_title(model))


def same_domain(inputs: Inputs, dataset: str, columns: int) -> list[Group]:
    """Figures 2 and 3: input, every model trained on the same data set, ground truth."""
    cells = {model: inputs.predictions(dataset, model, dataset) for model in inputs.models}
    first = cells[inputs.models[0]]
    keys = select_varied(first, columns)
    models = [Row(short_label(model), _pictures(cell, keys)) for model, cell in cells.items()]
    return [Group([_input_row(first, keys), *models, _truth_row(first, keys)])]


def worst(inputs: Inputs, dataset: str, models: list[str], columns: int) -> list[Group]:
    """Figure 4: the predictions with the largest L2 of a whole test split, the worst at the left."""
    groups = []
    for model in models:
        cell = inputs.predictions(dataset, model, dataset)
        candidates = np.flatnonzero(cell.is_worst)
        if not len(candidates):
            raise DataError(f"{cell.path}: no worst predictions; set `evaluate.num_worst` above 0 and run `dvc repro`")
        order = sorted(candidates, key=lambda i: (-cell.l2[i], cell.key[i]))[:columns]
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
    """Keys of a variety of saved images: the most colourful truth of each of `columns` equal stretches of the split.

    Neighbouring keys are of one class or place, so one image a stretch gives different subjects.

    Returns:
        (min(columns, saved),) int64, ascending.
    """
    saved = np.flatnonzero(cell.is_saved)
    if not len(saved):
        raise DataError(f"{cell.path}: no saved predictions; set `evaluate.num_saved` above 0 and run `dvc repro`")
    stretches = np.array_split(saved, min(columns, len(saved)))
    return np.array([cell.key[max(part, key=lambda i: (colorfulness(cell.truth[i]), -i))] for part in stretches])


def _input_row(cell: Predictions, keys) -> Row:
    return Row("input", list(cell.gray[cell.rows(keys)]))


def _truth_row(cell: Predictions, keys) -> Row:
    return Row("ground truth", list(cell.truth[cell.rows(keys)]))


def _pictures(cell: Predictions, keys) -> list[np.ndarray]:
    return list(cell.predicted[cell.rows(keys)])
