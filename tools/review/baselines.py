"""What the baselines of docs/measures.md predict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tools.review.color import BINS, Q
from tools.review.distributions import Distributions, Predicted, Table
from tools.review.measures import Source, Truth
from tools.review.training import Training


def predictor(
    name: str, source: str, target: str, trained: dict[str, Training], sources: dict[str, Source]
) -> Callable[[Truth], Predicted]:
    """The predictor of a baseline.

    Args:
        name: of the baseline.
        source: its data set.
        target: data set of the test images.
        trained: training images of each data set.
        sources: class weights of each data set.
    """
    if name == "gray":
        gray = int(np.flatnonzero((BINS == 0).all(axis=1))[0])
        return lambda truth: Predicted(np.zeros_like(truth.lab[..., 1:]), np.full_like(truth.nearest, gray))
    plain, weighted = (trained[source].mean_target(weights) for weights in (np.ones(Q), sources[source].class_weights))
    return _of_tables(plain[None], weighted[None])


def _of_tables(plain: np.ndarray, weighted: np.ndarray) -> Callable[[Truth], Predicted]:
    """The row of two tables of probabilities, (1, Q)."""
    tables = [Table(np.log(np.maximum(p, 1e-9))) for p in (plain, weighted)]

    def predict(truth: Truth) -> Predicted:
        rows = np.zeros(truth.nearest.shape, dtype=np.int64)
        return Predicted(None, None, *(Distributions(table, rows) for table in tables))

    return predict
