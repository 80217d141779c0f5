"""Join the L of a photo with predicted ab, at full size: the fast form of the plain formula.

The plain formula is: enlarge ab bilinearly to the size of the photo, `cielab.rgb_to_lab` for L, `cielab.fit_to_gamut`,
`cielab.lab_to_rgb`. tests/photos/test_join.py has it, and compares: the result is within one 8-bit level everywhere.

Here, each pixel needs one value of the photo, its gray level, and all functions of this level are tables:

- A gray photo has 256 or 65,536 levels. Of a color photo, L is expressed as a gray level of 16 bits.
- X is the cube of f(L) + a / 500, Z that of f(L) - b / 200, with the straight line of CIELAB below its knee. All is
  scaled so that linear light is at once the index into a table of sRGB levels (levels.py).
- A color is outside sRGB exactly if one of its three indices is outside this table. Only these pixels are fitted.

The loops over the pixels are compiled (kernels.py); threads take bands of rows. Every number depends only on its own
pixel, so the bytes of a result do not depend on bands and threads.

Two layouts: RGB, and planes of YCbCr with chroma at half size, which a JPEG of 4:2:0 stores. For the planes, colors are
computed at half size only. The luma of a pixel is its gray level plus an offset, the difference between the luma of the
color and the gray level of the same L. So the decoded photo keeps L as well as if full-size RGB had been encoded.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize.photos import kernels, levels
from colorize.photos.photo import without_color

_BAND = 1 << 18  # pixels of a band: the task of a thread
_LARGEST_AB = 256.0  # twice the largest of sRGB


class Planes(NamedTuple):
    """YCbCr of full range (JFIF, BT.601), as `simplejpeg.encode_jpeg_yuv_planes` takes it."""

    Y: np.ndarray  # (H, W) uint8: the upper left part of an array of even sides, because the encoder reads all of it
    Cb: np.ndarray  # (ceil(H / 2), ceil(W / 2)) uint8
    Cr: np.ndarray  # (ceil(H / 2), ceil(W / 2)) uint8


class Joined(NamedTuple):
    """A photo in color; one of `rgb` and `planes` is None."""

    rgb: np.ndarray | None  # (H, W, 3) uint8, or uint16 for a photo of uint16
    planes: Planes | None
    fitted_fraction: float  # fraction of pixels whose chroma was reduced; of the pixels of half size for planes


def join(
    pixels: np.ndarray,
    ab: Tensor,
    layout: str = "rgb",
    advance: Callable[[int], None] = lambda rows: None,
    threads: int | None = None,
) -> Joined:
    """Join the L of a photo with predicted ab.

    Args:
        pixels: sRGB: (H, W, 3) uint8, (H, W) uint8 or (H, W) uint16.
        ab: (2, h, w) float32, CIELAB units, on any device; covers the whole photo.
        layout: `rgb`, or `yuv420` for planes with chroma at half size.
        advance: called after each band with the number of its rows, by the calling thread.
        threads: number of threads; by default, as many as torch uses.

    Returns:
        the photo in color.
    """
    height = len(pixels)
    pixels = np.ascontiguousarray(without_color(pixels))
    job = _Planes(pixels, ab) if layout == "yuv420" else _Rgb(pixels, ab)
    threads = threads or torch.get_num_threads()
    rows = min(job.band_rows, -(-job.height // threads))
    tops = range(0, job.height, rows)
    threads = min(threads, len(tops))
    num_fitted = 0
    with ThreadPoolExecutor(threads) as pool:  # starts its threads with the first task
        each = (pool.map if threads > 1 else map)(lambda top: job.band(top, top + rows), tops)
        for top, fitted in zip(tops, each, strict=True):
            num_fitted += fitted
            advance(min((top + rows) * job.step, height) - top * job.step)
    return Joined(job.rgb, job.planes, num_fitted / (job.height * job.width))


class _Job:
    """What both layouts share."""

    def __init__(self, pixels: np.ndarray, ab: Tensor, step: int, num_levels: int, bits: int):
        self.step = step  # side of a pixel of the job, in pixels of the photo
        self.height, self.width = (-(-side // step) for side in pixels.shape[:2])
        self.band_rows = max(1, _BAND // self.width)
        self._pixels = pixels
        scale = levels.Scale.of(levels.ENTRIES[bits])
        self._formula, self._tables = levels.Formula.of(scale), levels.of_gray(num_levels, scale.entries)
        self._slopes = _slopes(ab, self.height, self.width, scale)

    def band(self, top: int, bottom: int) -> int:
        """Join rows `top` to `bottom`; return the number of pixels whose chroma was reduced."""
        above, share, values = self._slopes
        slopes = levels.Slopes(above[top:bottom], share[top:bottom], values)
        return self._write(self._gray(top * self.step, bottom * self.step), slopes, top, bottom)

    def _write(self, gray: np.ndarray, slopes: levels.Slopes, top: int, bottom: int) -> int:
        """Write rows `top` to `bottom` of the result; return the number of pixels whose chroma was reduced."""
        raise NotImplementedError

    def _gray(self, top: int, bottom: int) -> np.ndarray:
        """Gray levels of rows `top` to `bottom` of the photo, (rows, W) uint8 or uint16."""
        pixels = self._pixels[top:bottom]
        if pixels.ndim == 2:
            return pixels
        gray = np.empty(pixels.shape[:2], np.uint16)
        kernels.gray_levels(pixels, *levels.gray_of_color(), gray)
        return gray


class _Rgb(_Job):
    """RGB of 8 bits, or of 16 bits if the photo has 16 bits."""

    planes = None

    def __init__(self, pixels: np.ndarray, ab: Tensor):
        is_gray8 = pixels.ndim == 2 and pixels.dtype == np.uint8
        bits = 8 * pixels.dtype.itemsize
        super().__init__(pixels, ab, 1, 256 if is_gray8 else levels.DEEP + 1, bits)
        self._srgb = levels.rounded(self._formula.entries, (1 << bits) - 1)
        self.rgb = np.empty((self.height, self.width, 3), pixels.dtype)

    def _write(self, gray: np.ndarray, slopes: levels.Slopes, top: int, bottom: int) -> int:
        return kernels.write_rgb(gray, self._tables, self._formula, slopes, self._srgb, self.rgb[top:bottom])


class _Planes(_Job):
    """YCbCr with chroma at half size; 8 bits."""

    rgb = None

    def __init__(self, pixels: np.ndarray, ab: Tensor):
        # the level of a pixel of half size is the sum of four levels, of 16 bits their mean
        is_gray8 = pixels.ndim == 2 and pixels.dtype == np.uint8
        super().__init__(pixels, ab, 2, 4 * 255 + 1 if is_gray8 else levels.DEEP + 1, 8)
        self._shift = 0 if is_gray8 else 2
        self._srgb = levels.luma_levels(self._formula.entries)
        self._luma = np.empty((2 * self.height, 2 * self.width), np.uint8)
        whole = self._luma[: pixels.shape[0], : pixels.shape[1]]
        self.planes = Planes(whole, *np.empty((2, self.height, self.width), np.uint8))

    def _write(self, gray: np.ndarray, slopes: levels.Slopes, top: int, bottom: int) -> int:
        planes = self._luma[2 * top : 2 * bottom], self.planes.Cb[top:bottom], self.planes.Cr[top:bottom]
        return kernels.write_planes(gray, self._shift, self._tables, self._formula, slopes, self._srgb, planes)


def _slopes(ab: Tensor, height: int, width: int, scale: levels.Scale) -> levels.Slopes:
    """The slopes of f for bilinear enlarging of ab to (height, width)."""
    rows = min(ab.shape[1], height)  # a photo smaller than the output: average, do not enlarge
    ab = ab.float()
    ab = ab * (_LARGEST_AB / ab.abs().amax(dim=0).clamp_min(_LARGEST_AB))  # keeps the hue; else cubes overflow
    wide = torch.nn.functional.interpolate(ab[None], (rows, width), mode="bilinear", antialias=True)[0]
    per_unit = np.array([scale.f / 500, scale.f / -200], np.float32)
    # As in F.interpolate: the center of row i is at i + 0.5, and the border rows are repeated.
    position = ((np.arange(height) + 0.5) * rows / height - 0.5).clip(0, rows - 1)  # (H,)
    above = position.astype(np.int64)
    return levels.Slopes(above, (position - above).astype(np.float32), wide.cpu().numpy() * per_unit[:, None, None])
