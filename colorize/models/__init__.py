"""The paper's five models, by name; `build.py` builds them, so that naming one depends on no network's code.

Not here: training, and the files that choose a model's parameters.
"""

from __future__ import annotations

from typing import NamedTuple


class Spec(NamedTuple):
    """What the pipeline must know of a model without building it."""

    architecture: str
    is_classifier: bool  # else a regression of ab
    is_weighted: bool  # trained with class rebalancing


BASELINES = ("gray", "prior")  # evaluated like models: ab = 0, and the constant prior

MODELS: dict[str, Spec] = {
    "regression": Spec("regression", is_classifier=False, is_weighted=False),
    "cnn": Spec("cnn", is_classifier=True, is_weighted=False),
    "cnn_weighted": Spec("cnn", is_classifier=True, is_weighted=True),
    "unet": Spec("unet", is_classifier=True, is_weighted=False),
    "unet_weighted": Spec("unet", is_classifier=True, is_weighted=True),
}
