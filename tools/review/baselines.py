"""What the baselines of docs/measures.md predict."""

from __future__ import annotations

import numpy as np

from tools.review.color import BINS, Q
from tools.review.distributions import Distributions, Predicted, Predictor, Table
from tools.review.measures import Source, Truth
from tools.review.training import Training, level_of


def predictor(
    name: str, source: str, target: str, trained: dict[str, Training], sources: dict[str, Source]
) -> Predictor:
    """The predictor of a baseline.

    Args:
        name: of the baseline.
        source: its data set.
        target: data set of the test images.
        trained: training images of each data set.
        sources: class weights of each data set.

    Raises:
        KeyError: this code does not know the baseline.
    """
    colors = {"gray": lambda: np.zeros(2), "mean_ab": trained[source].mean, "median_ab": trained[source].median}
    if name in colors:
        ab = colors[name]()
        return lambda truth: Predicted(ab=np.broadcast_to(ab, (*truth.nearest.shape, 2)))
    if name == "oracle":
        return lambda truth: Predicted(ab=BINS[truth.nearest].astype(np.float64))
    constant = {"prior": trained[source], "target_prior": trained[target]}
    weights = (np.ones(Q), sources[source].class_weights)
    if name == "lightness":
        return _of_tables(*(trained[source].by_lightness(one) for one in weights))
    return _of_tables(*(constant[name].constant(one)[None] for one in weights))


def _of_tables(plain: np.ndarray, weighted: np.ndarray) -> Predictor:
    """The row of two tables of probabilities, (LEVELS or 1, Q), for the lightness of each pixel."""
    tables = [Table(np.log(p)) for p in (plain, weighted)]

    def predict(truth: Truth) -> Predicted:
        rows = np.minimum(level_of(truth.lab[..., 0]), len(plain) - 1)
        return Predicted(None, *(Distributions(table, rows) for table in tables))

    return predict
