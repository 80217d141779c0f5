"""The paper's five models by name, and their properties that are needed without importing the networks.

No training depends on this file, so adding a model here does not train the other models again. The file in this folder
with the name of the model defines its network as `NETWORK`.
"""

from __future__ import annotations

from typing import NamedTuple


class Spec(NamedTuple):
    """Properties of a model."""

    is_classifier: bool  # True: it returns logits of the ab bins; False: it returns ab
    is_weighted: bool  # trained with class rebalancing


MODELS: dict[str, Spec] = {
    "regression": Spec(is_classifier=False, is_weighted=False),
    "cnn": Spec(is_classifier=True, is_weighted=False),
    "cnn_weighted": Spec(is_classifier=True, is_weighted=True),
    "unet": Spec(is_classifier=True, is_weighted=False),
    "unet_weighted": Spec(is_classifier=True, is_weighted=True),
}
