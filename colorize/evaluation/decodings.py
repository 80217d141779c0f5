"""Measures of further decodings. A decoding makes colors out of predicted distributions.

The paper takes the mode, the most probable bin, and `MEASURES` measures its colors. The measures of the decodings here
have the names of the same measures of the mode.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from colorize.color import gamut
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Kind, Measure

MODE = "mode"
DECODINGS = {"annealed_mean": gamut.ANNEALED, "mean": 1.0}  # temperature of the distribution whose mean color is taken


def decoded_measures() -> dict[str, Measure]:
    """The measures of the colors, by `<decoding>/<measure>`; predictions without a distribution have none of them."""
    return {
        f"{decoding}/{name}": _decoded(one, temperature)
        for decoding, temperature in DECODINGS.items()
        for name, one in MEASURES.items()
        if one.kind == Kind.COLORS
    }


def _decoded(one: Measure, temperature: float) -> Measure:
    """The same measure of the mean colors at a temperature."""
    return Measure(lambda batch: batch.decoded(temperature).once(one.function), Kind.DISTRIBUTIONS, one.weight)


def by_decoding(measured: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Sort the results of `MEASURES` and `decoded_measures` by decoding; the first is the mode."""
    tables: dict[str, dict[str, np.ndarray]] = {MODE: {}}
    for name, values in measured.items():
        decoding, _, measure = name.rpartition("/")
        tables.setdefault(decoding or MODE, {})[measure] = values
    return tables
