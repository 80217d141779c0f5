"""Distributions over the ab bins, as the measures use them.

Shapes: R rows, Q bins, K entries of a soft target. A network predicts one row of logits for each pixel. A baseline
predicts one row for all pixels, or one for each level of lightness; an index then says which row a pixel has, and the
work does not grow with the number of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from colorize.color import gamut

_LOWEST = -80.0  # smaller exponents count as this one: exp is 50 times slower if its result is a denormal number
_CACHED_ROWS = 1 << 9  # rows at a time on a CPU: 640 KB of logits


class Distributions:
    """One distribution over the Q bins for each pixel of B images.

    The distribution at a temperature T is softmax(logits / T). T = 1 is what the model predicts.

    Args:
        rows: (R, Q) logits.
        shape: B, h and w.
        index: (B, h, w) int64, the row of each pixel; None: the rows are those of the pixels, in order.
        temperatures: above 0; one pass over the logits computes what is needed for all of them.
    """

    def __init__(
        self, rows: Tensor, shape: Sequence[int], index: Tensor | None = None, temperatures: Sequence[float] = (1.0,)
    ):
        self.shape = tuple(shape)
        self._rows, self._index, self._temperatures = rows, index, temperatures

    @classmethod
    def of_logits(cls, logits: Tensor, temperatures: Sequence[float] = (1.0,)) -> Distributions:
        """The distributions that a network predicts; `logits` is (B, Q, h, w)."""
        rows = logits.movedim(1, -1)  # (B, h, w, Q)
        return cls(rows.flatten(0, 2), rows.shape[:3], temperatures=temperatures)

    @classmethod
    def of_table(cls, rows: Tensor, index: Tensor, temperatures: Sequence[float] = (1.0,)) -> Distributions:
        """Pixels that share the rows of a table: `rows` is (R, Q) logits, and `index` is (B, h, w) int64."""
        return cls(rows, index.shape, index, temperatures)

    def at(self, temperatures: Sequence[float]) -> Distributions:
        """The same distributions for other temperatures."""
        return Distributions(self._rows, self.shape, self._index, temperatures)

    @property
    def modes(self) -> Tensor:
        """(B, h, w) int64: the most probable bin; of several equal ones, the first."""
        return self._of_pixels(self._modes)

    def mean_ab(self, temperature: float) -> Tensor:
        """(B, 2, h, w) ab: the mean color of the distribution at one of the temperatures, CIELAB units."""
        return self._of_pixels(self._at[temperature].ab).movedim(-1, 1)

    def top_probability(self, temperature: float) -> Tensor:
        """(B, h, w): the probability of the most probable bin at one of the temperatures."""
        return self._of_pixels(self._at[temperature].log_sum).neg().exp()

    @property
    def entropy(self) -> Tensor:
        """(B, h, w) float32: the entropy of the distributions at T = 1 in nats, from 0 to log Q."""
        at_once = _rows_at_once(self._rows)
        parts = [torch.special.entr(part.float().softmax(dim=1)).sum(dim=1) for part in self._rows.split(at_once)]
        return self._of_pixels(torch.cat(parts))

    def log_probabilities(self, bins: Tensor, temperature: float = 1.0) -> Tensor:
        """Log probabilities of some bins of each pixel.

        Args:
            bins: (B, h, w, K) int64.
            temperature: one of the temperatures.

        Returns:
            (B, h, w, K) float32.
        """
        if self._index is None:
            logits = self._rows.gather(1, bins.flatten(0, 2)).view(bins.shape)
        else:
            logits = self._rows[self._index[..., None], bins]
        below_top = logits.float() - self._of_pixels(self._tops)[..., None]
        return below_top / temperature - self._of_pixels(self._at[temperature].log_sum)[..., None]

    def rank(self, bins: Tensor) -> Tensor:
        """The number of bins that are more probable than given bins of each pixel: (B, h, w, K) -> (B, h, w, K)."""
        if self._index is None:
            return _rank(self._rows, bins.flatten(0, 2)).view(bins.shape)
        not_above = torch.searchsorted(self._rows.sort(dim=1).values, self._rows, right=True)  # (R, Q), of every bin
        return (self._rows.shape[1] - not_above)[self._index[..., None], bins]

    def _of_pixels(self, values: Tensor) -> Tensor:
        """(R, ...) values of the rows -> (B, h, w, ...)."""
        return values.view(*self.shape, *values.shape[1:]) if self._index is None else values[self._index]

    @cached_property
    def _modes(self) -> Tensor:
        return gamut.argmax(self._rows)  # (R,)

    @cached_property
    def _tops(self) -> Tensor:
        """(R,) float32: the logits of the modes."""
        return self._rows.gather(1, self._modes[:, None])[:, 0].float()

    @cached_property
    def _at(self) -> dict[float, _Softmax]:
        return _softmax(self._rows, self._tops, self._temperatures)


class _Softmax(NamedTuple):
    """Properties of the distributions of R rows at one temperature."""

    log_sum: Tensor  # (R,) logarithm of the sum of exp((logit - largest logit) / T)
    ab: Tensor  # (R, 2) mean color, CIELAB units


def _softmax(rows: Tensor, tops: Tensor, temperatures: Sequence[float]) -> dict[float, _Softmax]:
    """Compute the softmax at all temperatures, for a few rows at a time, so that these stay in the cache."""
    ab = gamut.gamut_ab(rows.device).t()
    sums_of = torch.cat([torch.ones_like(ab[:1]), ab])  # (3, Q): 1, a and b of each bin
    sums = rows.new_empty(len(temperatures), 3, len(rows), dtype=torch.float32)
    at_once = _rows_at_once(rows)
    for start in range(0, len(rows), at_once):
        part = slice(start, start + at_once)
        below_top = rows[part].float() - tops[part, None]
        for temperature, found in zip(temperatures, sums, strict=True):
            exponents = (below_top / temperature).clamp_min_(_LOWEST)
            found[:, part] = sums_of @ exponents.exp_().t()
    return {
        temperature: _Softmax(found[0].log(), (found[1:] / found[0]).t())
        for temperature, found in zip(temperatures, sums, strict=True)
    }


def _rank(rows: Tensor, bins: Tensor) -> Tensor:
    """For each row, the number of logits larger than those of K bins: (R, Q) and (R, K) -> (R, K) float.

    `topk` would take ten times as long.
    """
    at_once = _rows_at_once(rows)
    ranks = rows.new_empty(bins.shape[1], len(rows))
    is_above, ones = rows.new_empty(at_once, rows.shape[1]), rows.new_ones(rows.shape[1])
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        limits = part.gather(1, bins[start : start + at_once])  # (n, K)
        for limit, rank in zip(limits.split(1, dim=1), ranks, strict=True):
            # 0 or 1 as floats: a matrix product then adds them up
            torch.mv(torch.gt(part, limit, out=is_above[: len(part)]), ones, out=rank[start : start + at_once])
    return ranks.t()


def _rows_at_once(rows: Tensor) -> int:
    return len(rows) if rows.is_cuda else _CACHED_ROWS
