"""Divide a photo into tiles, assign each tile to a split, and draw random crops that lie in the tiles of one split."""

import functools
from typing import NamedTuple

import numpy as np

SYMBOLS = {"train": ".", "val": "v", "test": "t"}  # letters of the map


class Box(NamedTuple):
    """A square crop of a photo, in pixels of the photo."""

    left: int
    top: int
    side: int


def check_map(tiles: str) -> str:
    """Return a map of tiles, which has one line per row of tiles and one letter per tile.

    Raises:
        ValueError: the lines have different lengths, a split has no tile, or a letter is unknown.
    """
    rows = tiles.split()
    if not rows or len({len(row) for row in rows}) != 1:
        raise ValueError("the lines of the map must have the same length")
    if set("".join(rows)) != set(SYMBOLS.values()):
        raise ValueError(
            f"the map must contain tiles of every split and no other letters: {' '.join(SYMBOLS.values())}"
        )
    return tiles


class Tiling:
    """A photo of `width` x `height` pixels that a map divides into tiles."""

    def __init__(self, tiles: str, width: int, height: int):
        """Scale the map to the photo."""
        rows = tiles.split()
        self.width, self.height = width, height
        self.labels = np.array([list(row) for row in rows])  # (rows, columns) of letters
        self.column_edges = np.round(np.linspace(0, width, len(rows[0]) + 1)).astype(int)  # pixels
        self.row_edges = np.round(np.linspace(0, height, len(rows) + 1)).astype(int)
        self._corners: dict[tuple[int, int], np.ndarray] = {}

    @functools.cached_property
    def components(self) -> np.ndarray:
        """(rows, columns) int: number of the connected component of each tile; tiles that touch by a corner connect.

        Two crops share pixels, or pixels side by side, only if they lie in one component.
        """
        numbers = np.zeros(self.labels.shape, dtype=int)  # 0: not yet known
        for first in np.ndindex(numbers.shape):
            waiting = [] if numbers[first] else [first]
            number = numbers.max() + 1
            while waiting:
                row, column = waiting.pop()
                numbers[row, column] = number
                around = (slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2))
                alike = (self.labels[around] == self.labels[row, column]) & (numbers[around] == 0)
                waiting += [(int(r) + around[0].start, int(c) + around[1].start) for r, c in np.argwhere(alike)]
        return numbers

    def components_of(self, split: str) -> list[int]:
        """Numbers of the components of one split."""
        return np.unique(self.components[self.labels == SYMBOLS[split]]).tolist()

    def corners(self, component: int, side: int) -> np.ndarray:
        """(N, 2) int: left and top edge of each square with this side that lies in one component; all in pixels."""
        if (component, side) not in self._corners:
            self._corners[component, side] = self._find_corners(component, side)
        return self._corners[component, side]

    def _find_corners(self, component: int, side: int) -> np.ndarray:
        tiles = self.components == component
        # the bounding box of the component
        rows, columns = (slice(found.min(), found.max() + 1) for found in np.nonzero(tiles))
        heights, widths = np.diff(self.row_edges)[rows], np.diff(self.column_edges)[columns]
        pixels = tiles[rows, columns].repeat(heights, axis=0).repeat(widths, axis=1)
        # number of the component's pixels above and to the left of each corner of a pixel
        count = np.pad(pixels.cumsum(0, np.int32).cumsum(1), ((1, 0), (1, 0)))
        inside = count[side:, side:] - count[side:, :-side] - count[:-side, side:] + count[:-side, :-side]
        top, left = np.nonzero(inside == side * side)
        left, top = left + self.column_edges[columns.start], top + self.row_edges[rows.start]
        return np.column_stack([left, top]).astype(np.int32)

    def draw(self, rng: np.random.Generator, component: int, side: int) -> Box:
        """Draw a random crop in one component. Its position is uniform among all positions in the component."""
        left, top = rng.choice(self.corners(component, side)).tolist()
        return Box(left, top, side)
