"""The paper's five models by name: what programs must know of a model without importing its network.

No training depends on this file: an entry for a new model trains no other model again. The network of a model is the
`NETWORK` of the file of the same name beside this one.
"""

from __future__ import annotations

from typing import NamedTuple


class Spec(NamedTuple):
    """What a model is."""

    is_classifier: bool  # over the ab bins; otherwise a regression of ab
    is_weighted: bool  # trained with class rebalancing


MODELS: dict[str, Spec] = {
    "regression": Spec(is_classifier=False, is_weighted=False),
    "cnn": Spec(is_classifier=True, is_weighted=False),
    "cnn_weighted": Spec(is_classifier=True, is_weighted=True),
    "unet": Spec(is_classifier=True, is_weighted=False),
    "unet_weighted": Spec(is_classifier=True, is_weighted=True),
}
